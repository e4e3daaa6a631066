import DeviceTree
import Text
import Partition

/// A whole board's tree, with the domains that it is to be divided into and the links between them (Spec, system tree).
public struct SystemTree: Sendable {
  public let tree: DeviceTree
  public internal(set) var domains: [Domain] = []
  public internal(set) var links: [SystemLink] = []

  /// Each node's references to others.
  let references: SystemReferences
  /// The domain that each node is given to, with what is above it: an index of `domains`, or -1.
  private(set) var claims: [Int32] = []
  /// What a node is for, when it isn't simply a device.
  private(set) var roles: [Role] = []

  enum Role: UInt8 {
    case plain, root, cluster, cpu, memory, reservedMemory, chosen, aliases
    /// `/domains` and what dtc adds: in no guest's tree.
    case dropped
  }
}

/// What one guest is given.
public struct Domain: Sendable {
  /// The domain node's name without a unit address.
  public var name: String
  public var id: UInt32
  /// The domain node's path.
  public var path: String
  var node: Int
  /// The node with its processors, and which of its children they are.
  var cluster: Int
  var cpus: [Int]
  public var memory: [AddressRange]
  /// The nodes that it is given, by `access`.
  var access: [Int]
  /// The nodes that its hypervisor emulates for it.
  var emulated: [Int]
}

/// A region that two domains share, and what the one lends the other over it.
public struct SystemLink: Sendable {
  public var name: String
  /// The link node's path.
  public var path: String
  var node: Int
  /// Indices of domains.
  public var owner: Int
  public var borrower: Int
  public var memory: Memory
  /// The nodes of what is exported.
  var exports: [Int]

  public enum Memory: Sendable {
    /// The region's node, its name and where it is.
    case region(Int, id: String, AddressRange)
    /// An ivshmem device's place on the PCI bus in either guest.
    case ivshmem(owner: String, borrower: String, id: String)
  }
}

/// Why a system tree can't be split. `text` is a sentence without its full stop.
public enum SystemTreeError: Error, Sendable {
  case noDomains
  case missing(node: String, property: String, shouldBe: String)
  case invalid(node: String, property: String, shouldBe: String)
  /// A phandle that refers to nothing, or to the wrong thing.
  case dangling(node: String, property: String, shouldBe: String)
  /// Two things that exclude each other.
  case conflict(node: String, String)
  case tooMany(what: String, limit: Int)
  case tree(DeviceTreeError)
  case source(guest: String, SourceError)

  public var text: String {
    switch self {
    case .noDomains:
      "/domains has no child that is compatible with \"openamp,domain-v1\"; add one for each guest"
    case .missing(let node, let property, let shouldBe): "\(node): property \(property) is missing; it should be \(shouldBe)"
    case .invalid(let node, let property, let shouldBe): "\(node): property \(property) should be \(shouldBe)"
    case .dangling(let node, let property, let shouldBe):
      "\(node): property \(property) refers to something else, or to nothing; it should be \(shouldBe)"
    case .conflict(let node, let text): "\(node): \(text)"
    case .tooMany(let what, let limit): "there are more than \(limit) \(what); no board has so many"
    case .tree(let error): "the tree \(error.text)"
    case .source(let guest, let error): "the tree of \(guest) can't be written: \(error.text)"
    }
  }
}

extension SystemTree {
  public static var maximumDomains: Int { 64 }
  static var maximumLinks: Int { 64 }
  /// These bound the time that a tree can take.
  static var maximumNodes: Int { 1 << 14 }
  static var maximumProperties: Int { 256 }
  static var maximumAliases: Int { 1024 }
  static var maximumChildren: Int { 8192 }
  /// Bytes of `ranges`, for all nodes together.
  static var maximumTranslation: Int { 64 << 20 }
  static var maximumExports: Int { 256 }

  /// Whether a tree has domains, so that it is a whole system's and not one guest's.
  public static func isOne(_ tree: DeviceTree) -> Bool {
    tree.root.child("domains").map { domainNodes(below: $0, 0, "openamp,domain-v1").isEmpty == false } ?? false
  }

  /// Reads the domains and links of a system's tree.
  public init(_ tree: DeviceTree) throws(SystemTreeError) {
    self.tree = tree
    try Self.checkSize(tree)
    references = SystemReferences(tree)
    guard let container = tree.root.child("domains") else { throw .noDomains }
    let nodes = Self.domainNodes(below: container, 0, "openamp,domain-v1")
    guard !nodes.isEmpty else { throw .noDomains }
    guard nodes.count <= Self.maximumDomains else { throw .tooMany(what: "domains", limit: Self.maximumDomains) }
    assignRoles()

    var direct = [Int32](repeating: -1, count: tree.nodeCount)
    for node in nodes {
      let domain = try readDomain(node)
      if let other = domains.first(where: { $0.name == domain.name || $0.id == domain.id }) {
        throw .conflict(node: domain.path, "has the name or the id of \(other.path); give it its own")
      }
      for device in domain.access {
        if direct[device] >= 0 {
          let other = Int(direct[device]) == domains.count ? "twice" : "and to \(domains[Int(direct[device])].name)"
          throw .conflict(
            node: domain.path,
            "\(tree.node(place: device).path) is given to \(domain.name) \(other) (access); leave it to one, which can export it"
          )
        }
        direct[device] = Int32(domains.count)
      }
      domains.append(domain)
    }
    claims = direct
    for place in 1..<max(1, tree.nodeCount) where claims[place] < 0 {
      if let parent = tree.node(place: place).parent { claims[place] = claims[parent.place] }
    }
    let addressed = addressedNodes()
    for (index, domain) in domains.enumerated() {
      for place in domain.access where !addressed[place] {
        guard let bus = tree.node(place: place).parent, claims[bus.place] >= 0, claims[bus.place] != Int32(index) else {
          continue
        }
        throw .conflict(
          node: domain.path,
          "\(tree.node(place: place).path) is on \(bus.path), which is \(domains[Int(claims[bus.place])].name)'s; only that can reach it, and export it"
        )
      }
    }
    try checkMemory()
    if let guest = Partition.guestNode(in: tree) {
      throw .conflict(node: guest.path, "a system's tree has no guest node; say in /domains what the guests' are to have")
    }

    for node in Self.domainNodes(below: container, 0, "guestbroker,system-link-v1") {
      guard links.count < Self.maximumLinks else { throw .tooMany(what: "links", limit: Self.maximumLinks) }
      let link = try readLink(node)
      if let other = links.first(where: { $0.name == link.name || $0.id == link.id }) {
        throw .conflict(node: link.path, "has the name or the region of \(other.path); give it its own")
      }
      links.append(link)
    }
  }

  /// Refuses what only somebody who means harm would write.
  static func checkSize(_ tree: DeviceTree) throws(SystemTreeError) {
    guard tree.nodeCount <= maximumNodes else { throw .tooMany(what: "nodes", limit: maximumNodes) }
    /// Bytes of `ranges` from each node up to the root.
    var ranges: [Int] = []
    var translated = 0
    for place in 0..<tree.nodeCount {
      let node = tree.node(place: place)
      let limit: Int
      switch node.name {
      // Labels are passed by when they are too many.
      case "__symbols__": limit = .max
      case "aliases": limit = maximumAliases
      default: limit = maximumProperties
      }
      guard node.propertyNames.count <= limit else { throw .tooMany(what: "properties in \(node.path)", limit: limit) }
      guard node.children.count <= maximumChildren else {
        throw .tooMany(what: "children of \(node.path)", limit: maximumChildren)
      }
      let above = node.parent.map { ranges[$0.place] } ?? 0
      ranges.append(above + (node.property("ranges")?.bytes.count ?? 0))
      translated += above
      guard translated <= maximumTranslation else {
        throw .tooMany(what: "bytes of ranges to go through", limit: maximumTranslation)
      }
    }
  }

  /// Nodes below `node` with this `compatible` and okay, in the order of the tree.
  private static func domainNodes(below node: Node, _ depth: Int, _ name: String) -> [Node] {
    var found: [Node] = []
    for child in node.children where child.isOkay {
      if child.isCompatible(with: name) { found.append(child) }
      found += domainNodes(below: child, depth + 1, name)
    }
    return found
  }

  private mutating func assignRoles() {
    roles = [Role](repeating: .plain, count: tree.nodeCount)
    roles[0] = .root
    for node in tree.root.children {
      switch node.name {
      case "domains", "__symbols__", "__fixups__", "__local_fixups__": roles[node.place] = .dropped
      case _ where node.name == "cpus" || node.isCompatible(with: "cpus,cluster"):
        roles[node.place] = .cluster
        for child in node.children where isCPU(child) { roles[child.place] = .cpu }
      case _ where node.property("device_type")?.string == "memory": roles[node.place] = .memory
      case "reserved-memory": roles[node.place] = .reservedMemory
      case "chosen": roles[node.place] = .chosen
      case "aliases": roles[node.place] = .aliases
      default: break
      }
    }
    for place in 1..<max(1, tree.nodeCount) {
      guard let parent = tree.node(place: place).parent else { continue }
      if roles[parent.place] == .dropped { roles[place] = .dropped }
    }
  }

  private func isCPU(_ node: Node) -> Bool { node.property("device_type")?.string == "cpu" }

  private func readDomain(_ node: Node) throws(SystemTreeError) -> Domain {
    let name = try guestName(node)
    var above = node.parent
    while let current = above {
      if current.isCompatible(with: "openamp,domain-v1") {
        throw .conflict(node: node.path, "is a domain within a domain; put it beside \(current.path)")
      }
      above = current.parent
    }
    guard let idProperty = node.property("id") else {
      throw .missing(node: node.path, property: "id", shouldBe: "one cell, another one in each domain")
    }
    guard let id = idProperty.cell else {
      throw .invalid(node: node.path, property: "id", shouldBe: "one cell, another one in each domain")
    }
    let (cluster, cpus) = try readCPUs(node)
    return Domain(
      name: name, id: id, path: node.path, node: node.place, cluster: cluster, cpus: cpus, memory: try readMemory(node),
      access: try readDevices(node, "access", "#access-flags-cells"),
      emulated: try readDevices(node, "guestbroker,emulated", "#guestbroker,emulated-flags-cells"))
  }

  private func guestName(_ node: Node) throws(SystemTreeError) -> String {
    let name = node.name.before("@")
    guard isName(name) else {
      throw .conflict(node: node.path, "its name can't be a guest's; use 1 to 31 letters, digits and ,._+-")
    }
    return name
  }

  private func readCPUs(_ node: Node) throws(SystemTreeError) -> (cluster: Int, cpus: [Int]) {
    let shouldBe = "<&cluster mask mode>, with a bit of the mask for each of the cluster's cpu nodes, at least one set"
    guard let property = node.property("cpus") else { throw .missing(node: node.path, property: "cpus", shouldBe: shouldBe) }
    guard let cells = property.cells, let first = cells.first else {
      throw .invalid(node: node.path, property: "cpus", shouldBe: shouldBe)
    }
    guard let cluster = self.node(first), roles[cluster.place] == .cluster else {
      throw .dangling(node: node.path, property: "cpus", shouldBe: shouldBe)
    }
    let width = Int(clamping: cluster.property("#cpus-mask-cells")?.cell ?? 1)
    guard (1...64).contains(width), cells.count == 2 + width else {
      throw .invalid(
        node: node.path, property: "cpus",
        shouldBe: "\(shouldBe), of one cluster; its #cpus-mask-cells, 1 if it has none, is the mask's width")
    }
    let mask = cells[1...width]
    var chosen: [Int] = []
    for (index, cpu) in cluster.children.filter({ isCPU($0) }).enumerated() where index < width * 32 {
      // The last cell has the lowest bits.
      if mask[width - index / 32] >> UInt32(index % 32) & 1 == 1 { chosen.append(cpu.place) }
    }
    let bits = mask.reduce(0) { $0 + $1.nonzeroBitCount }
    guard !chosen.isEmpty, bits == chosen.count else { throw .invalid(node: node.path, property: "cpus", shouldBe: shouldBe) }
    return (cluster.place, chosen)
  }

  private func readMemory(_ node: Node) throws(SystemTreeError) -> [AddressRange] {
    let shouldBe =
      "<address size> entries, each of whole pages of 4096 bytes, in the root's #address-cells and #size-cells and with #memory-flags-cells behind"
    guard let property = node.property("memory") else {
      throw .missing(node: node.path, property: "memory", shouldBe: shouldBe)
    }
    let addressCells = tree.root.addressCells
    let sizeCells = tree.root.sizeCells
    let flagCells = Int(clamping: node.property("#memory-flags-cells")?.cell ?? 0)
    guard let cells = property.cells, !cells.isEmpty, (1...2).contains(addressCells), (1...2).contains(sizeCells),
      flagCells <= 16, cells.count % (addressCells + sizeCells + flagCells) == 0
    else { throw .invalid(node: node.path, property: "memory", shouldBe: shouldBe) }
    var ranges: [AddressRange] = []
    for start in stride(from: 0, to: cells.count, by: addressCells + sizeCells + flagCells) {
      let size = start + addressCells
      let range = AddressRange(address: cells[start..<size].number, size: cells[size..<size + sizeCells].number)
      guard range.isPages else { throw .invalid(node: node.path, property: "memory", shouldBe: shouldBe) }
      ranges.append(range)
      guard ranges.count <= 256 else { throw .tooMany(what: "entries of memory in a domain", limit: 256) }
    }
    return ranges
  }

  /// A list of phandles of devices, each with so many cells of flags.
  private func readDevices(_ node: Node, _ name: String, _ flagsName: String) throws(SystemTreeError) -> [Int] {
    guard let property = node.property(name) else { return [] }
    let flagCells = Int(clamping: node.property(flagsName)?.cell ?? 0)
    let shouldBe = "phandles of device nodes, each with \(flagsName) (\(flagCells)) cells of flags"
    guard let cells = property.cells, flagCells <= 16, cells.count % (1 + flagCells) == 0 else {
      throw .invalid(node: node.path, property: name, shouldBe: shouldBe)
    }
    var devices: [Int] = []
    for index in stride(from: 0, to: cells.count, by: 1 + flagCells) {
      guard let device = self.node(cells[index]), roles[device.place] == .plain else {
        throw .dangling(node: node.path, property: name, shouldBe: "\(shouldBe); entry \(index / (1 + flagCells) + 1) is none")
      }
      devices.append(device.place)
    }
    return devices
  }

  /// Memory is there, and given to one domain.
  private func checkMemory() throws(SystemTreeError) {
    var physical: [AddressRange] = []
    for node in tree.root.children where roles[node.place] == .memory { physical += node.physicalRanges ?? [] }
    guard physical.count <= 4096 else { throw .tooMany(what: "pieces of memory", limit: 4096) }
    for (index, domain) in domains.enumerated() {
      for (place, range) in domain.memory.enumerated() {
        guard physical.contains(where: { $0.contains(range) }) else {
          throw .conflict(
            node: domain.path, "memory at \(hexadecimal(range.address)) is not within one of the board's memory nodes")
        }
        for (otherIndex, other) in domains[...index].enumerated() {
          for (otherPlace, otherRange) in other.memory.enumerated() {
            if otherIndex == index, otherPlace >= place { break }
            guard !range.overlaps(otherRange) else {
              throw .conflict(
                node: domain.path,
                "memory at \(hexadecimal(range.address)) overlaps that of \(other.name) at \(hexadecimal(otherRange.address)); what two share is a link's region"
              )
            }
          }
        }
      }
    }
  }

  private func readLink(_ node: Node) throws(SystemTreeError) -> SystemLink {
    guard isName(node.name) else {
      throw .conflict(node: node.path, "its name can't be a link's; use 1 to 31 letters, digits and ,._+-")
    }
    func domain(_ name: String) throws(SystemTreeError) -> Int {
      let shouldBe = "a phandle of a node that is compatible with \"openamp,domain-v1\""
      guard let property = node.property(name) else { throw .missing(node: node.path, property: name, shouldBe: shouldBe) }
      guard let phandle = property.cell, let target = self.node(phandle),
        let index = domains.firstIndex(where: { $0.node == target.place })
      else { throw .dangling(node: node.path, property: name, shouldBe: shouldBe) }
      return index
    }
    let owner = try domain("owner")
    let borrower = try domain("borrower")
    guard owner != borrower else {
      throw .conflict(node: node.path, "its owner and its borrower are both \(domains[owner].name); a link is between two")
    }
    let memory = try readMemory(ofLink: node)
    if case .region(_, _, let range) = memory {
      for domain in domains where domain.memory.contains(where: { $0.overlaps(range) }) {
        throw .conflict(
          node: node.path,
          "its region at \(hexadecimal(range.address)) overlaps the memory of \(domain.name) (\(domain.path)); leave it out there"
        )
      }
      for other in links {
        if case .region(_, _, let otherRange) = other.memory, otherRange.overlaps(range) {
          throw .conflict(node: node.path, "its region overlaps that of \(other.path); each link has its own")
        }
      }
    }

    var exports: [Int] = []
    for export in node.child("exports")?.children ?? [] where export.isOkay {
      guard exports.count < Self.maximumExports else { throw .tooMany(what: "exports of a link", limit: Self.maximumExports) }
      guard isName(export.name) else {
        throw .conflict(node: export.path, "its name can't be a peripheral's; use 1 to 31 letters, digits and ,._+-")
      }
      guard export.property("class")?.string != nil else {
        throw .missing(node: export.path, property: "class", shouldBe: "the peripheral's class, as \"uart\"")
      }
      let lent = references.within(export)
      if lent.isEmpty {
        let shouldBe = "a phandle of a device that the link's owner, \(domains[owner].name), has by its access"
        guard export.property("device") == nil else {
          throw .dangling(node: export.path, property: "device", shouldBe: shouldBe)
        }
        throw .missing(node: export.path, property: "device", shouldBe: shouldBe)
      }
      for reference in lent {
        let target = tree.node(place: reference.target)
        guard claims[reference.target] == Int32(owner) else {
          throw .dangling(
            node: export.path, property: reference.property,
            shouldBe: "a phandle of a device that the link's owner, \(domains[owner].name), has by its access")
        }
        guard target.isReachable else {
          throw .conflict(node: export.path, "\(target.path), or a bus above it, is not okay, so that it can't be lent")
        }
      }
      exports.append(export.place)
    }
    return SystemLink(
      name: node.name, path: node.path, node: node.place, owner: owner, borrower: borrower, memory: memory, exports: exports)
  }

  private func readMemory(ofLink node: Node) throws(SystemTreeError) -> SystemLink.Memory {
    func id(_ holder: Node, _ standard: String) throws(SystemTreeError) -> String {
      let name = holder.property("guestbroker,id") == nil ? "xen,id" : "guestbroker,id"
      guard let property = holder.property(name) else { return standard }
      guard let text = property.string, isName(text), text.utf8.count <= 15 else {
        throw .invalid(node: holder.path, property: name, shouldBe: "a name of at most 15 characters")
      }
      return text
    }
    if let property = node.property("pci-address") {
      let shouldBe =
        "an ivshmem device's place on the PCI bus, as \"0000:00:06.0\": the owner's and the borrower's, or one for both; without a memory-region beside it"
      guard let places = property.strings, (1...2).contains(places.count), places.allSatisfy({ isPCIAddress($0) }),
        node.property("memory-region") == nil
      else { throw .invalid(node: node.path, property: "pci-address", shouldBe: shouldBe) }
      return .ivshmem(owner: places[0], borrower: places[places.count - 1], id: try id(node, node.name))
    }
    let shouldBe = "a phandle of the shared memory's node, a child of /reserved-memory"
    guard let property = node.property("memory-region") else {
      throw .missing(node: node.path, property: "memory-region", shouldBe: shouldBe)
    }
    guard let phandle = property.cell, let region = self.node(phandle), let parent = region.parent,
      roles[parent.place] == .reservedMemory
    else { throw .dangling(node: node.path, property: "memory-region", shouldBe: shouldBe) }
    guard let range = region.physicalRanges?.first, range.isPages else {
      throw .invalid(node: region.path, property: "reg", shouldBe: "whole pages of 4096 bytes, and at least one")
    }
    return .region(region.place, id: try id(region, node.name), range)
  }

  func node(_ phandle: UInt32) -> Node? { references.phandles[phandle] }
}

extension SystemLink {
  /// The region's name, the same in both guests.
  public var id: String {
    switch memory {
    case .region(_, let id, _), .ivshmem(_, _, let id): id
    }
  }
}
