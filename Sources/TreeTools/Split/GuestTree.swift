import DeviceTree
import Partition

/// A guest's own tree, made of a system's.
public struct GuestTree: Sendable {
  public var guestName: String
  public var root: Draft
  /// What the board's tree reserves of this guest's memory.
  public var reservations: [AddressRange]
}

extension SystemTree {
  /// Each guest's tree, in the order of the domains.
  public func guestTrees() throws(SystemTreeError) -> [GuestTree] {
    let addressed = addressedNodes()
    let labels = labels()
    let aliases = tree.aliases
    var trees: [GuestTree] = []
    for guest in domains.indices {
      var builder = GuestTreeBuilder(GuestNodes(self, guest: guest, addressed: addressed), labels, aliases)
      let reservations = tree.reservations.filter { taken in domains[guest].memory.contains { $0.contains(taken) } }
      trees.append(GuestTree(guestName: domains[guest].name, root: try builder.root(), reservations: reservations))
    }
    return trees
  }

  /// The labels of each node, out of `__symbols__`. None where looking them up would take long: they are for readers only.
  func labels() -> [[String]] {
    var labels = [[String]](repeating: [], count: tree.nodeCount)
    guard (tree.root.child("__symbols__")?.propertyNames.count ?? 0) <= Self.maximumSymbols else { return labels }
    for symbol in tree.symbols {
      if let node = symbol.node { labels[node.place].append(symbol.name) }
    }
    return labels
  }

  private static var maximumSymbols: Int { 8192 }
}

extension GuestTree {
  /// As source for dtc.
  public func source(comment: [String] = []) throws(SystemTreeError) -> String {
    do throws(SourceError) {
      return try root.source(comment: comment, reservations: reservations)
    } catch {
      throw .source(guest: guestName, error)
    }
  }

  /// As a tree in memory.
  public func tree() throws(SystemTreeError) -> DeviceTree {
    do throws(DeviceTreeError) {
      return try DeviceTree(root)
    } catch {
      throw .tree(error)
    }
  }
}

private struct GuestTreeBuilder {
  let nodes: GuestNodes
  let system: SystemTree
  let guest: Int
  let domain: Domain
  private let labels: [[String]]
  private let aliases: [NodeLabel]
  /// Memory nodes of which this guest has a part.
  private var hasMemory: [Bool]
  private var nextPhandle: UInt32 = 1

  init(_ nodes: GuestNodes, _ labels: [[String]], _ aliases: [NodeLabel]) {
    self.nodes = nodes
    system = nodes.system
    guest = nodes.guest
    domain = nodes.system.domains[nodes.guest]
    self.labels = labels
    self.aliases = aliases
    hasMemory = [Bool](repeating: false, count: nodes.system.tree.nodeCount)
    for node in nodes.system.tree.root.children where nodes.system.roles[node.place] == .memory {
      hasMemory[node.place] = memory(node) != nil
    }
  }

  mutating func root() throws(SystemTreeError) -> Draft {
    var root = draft(0) ?? Draft("")
    root.children.append(try guestNode())
    return root
  }

  /// What becomes of a node; nil when nothing does.
  private func draft(_ place: Int) -> Draft? {
    let node = system.tree.node(place: place)
    let role = system.roles[place]
    if role == .memory { return memory(node) }
    guard nodes.isKept(place) else { return nil }
    var draft = Draft(role == .cluster ? "cpus" : node.name)
    draft.labels = labels[place]
    switch role {
    case .aliases:
      for alias in aliases {
        if let target = alias.node, nodes.isKept(target.place), system.roles[target.place] == .plain {
          draft.properties.append(DraftProperty(alias.name, value: node.property(alias.name)?.bytes ?? []))
        }
      }
    case .chosen: draft.properties = chosen(node)
    default:
      draft.properties = node.propertyNames.map { DraftProperty($0, value: node.property($0)?.bytes ?? []) }
      for reference in system.references.ofNode[place] { draft.mark(reference) }
      if !prune(&draft, place), role != .root { return nil }
    }
    if role == .cluster {
      if node.isCompatible(with: "cpus,cluster") { draft.removeProperty("compatible") }
      for name in ["#cpus-mask-cells", "address-map", "#ranges-address-cells", "#ranges-size-cells"] {
        draft.removeProperty(name)
      }
    }
    if nodes.isReserved(place) { draft.set(DraftProperty("status", "reserved")) }
    let children = node.children
    for child in children {
      if let kept = self.draft(child.place) { draft.children.append(kept) }
    }
    // A core of a cpu-map whose processor went takes its cluster along.
    if draft.children.isEmpty, !children.isEmpty, draft.properties.isEmpty, role == .plain { return nil }
    return draft
  }

  /// Takes out what would lead to nothing. Returns false when nothing remains of the node.
  private func prune(_ draft: inout Draft, _ place: Int) -> Bool {
    var missing: [String] = []
    for reference in system.references.ofNode[place] where !stays(reference.target) {
      if missing.last != reference.property { missing.append(reference.property) }
    }
    for name in missing {
      guard let index = draft.properties.firstIndex(where: { $0.name == name }) else { continue }
      // Of a list of processors, those of this guest remain.
      if !nodes.isReserved(place), let rest = withoutOthersProcessors(draft.properties[index], place) {
        if name == "interrupt-affinity" {
          keepInterrupts(&draft, rest.kept, of: draft.properties[index].references.count)
        }
        draft.properties[index] = rest.property
        continue
      }
      draft.removeReference(name)
      // A node that is nothing without it: a core of a cpu-map, a map of cooling devices.
      if ["cpu", "cooling-device"].contains(name) { return false }
    }
    return true
  }

  /// Whether a node is still there to be referred to.
  private func stays(_ target: Int) -> Bool {
    hasMemory[target] || nodes.isKept(target)
  }

  /// A list of references of which only processors are gone, without these, and which of its entries remain; nil when others are
  /// gone too, or nothing would remain.
  private func withoutOthersProcessors(_ property: DraftProperty, _ place: Int) -> (property: DraftProperty, kept: [Int])? {
    guard let cells = Property(bytes: property.value).cells, property.references.first == 0 else { return nil }
    var rest: [UInt32] = []
    var references: [Int] = []
    var kept: [Int] = []
    for (entry, start) in property.references.enumerated() {
      let end = entry + 1 < property.references.count ? property.references[entry + 1] : cells.count
      guard start < end, end <= cells.count, let target = system.node(cells[start]) else { return nil }
      if stays(target.place) {
        kept.append(entry)
        references.append(rest.count)
        rest += cells[start..<end]
      } else if system.roles[target.place] != .cpu {
        return nil
      }
    }
    return kept.isEmpty ? nil : (DraftProperty(property.name, cells: rest, references: references), kept)
  }

  /// Of a processor's own interrupts, those of the processors that remain.
  private func keepInterrupts(_ draft: inout Draft, _ kept: [Int], of count: Int) {
    guard let property = draft.property("interrupts"), let cells = Property(bytes: property.value).cells, count > 0,
      cells.count % count == 0
    else { return }
    let width = cells.count / count
    draft.set(DraftProperty("interrupts", cells: kept.flatMap { cells[$0 * width..<($0 + 1) * width] }))
  }

  /// The part of a memory node that this guest has.
  private func memory(_ node: Node) -> Draft? {
    let whole = node.physicalRanges ?? []
    let ranges = domain.memory.filter { range in whole.contains { $0.contains(range) } }
    guard let first = ranges.first else { return nil }
    let root = system.tree.root
    var draft = Draft("\(node.name.before("@"))@\(String(first.address, radix: 16))")
    draft.labels = labels[node.place]
    draft.properties = node.propertyNames.map { DraftProperty($0, value: node.property($0)?.bytes ?? []) }
    draft.set(
      DraftProperty(
        "reg",
        cells: ranges.flatMap { cells(of: $0.address, count: root.addressCells) + cells(of: $0.size, count: root.sizeCells) }))
    return draft
  }

  /// The board's, or what the domain says instead.
  private func chosen(_ node: Node) -> [DraftProperty] {
    let own = system.tree.node(place: domain.node).child("chosen-properties")
    var draft = Draft("chosen")
    for name in node.propertyNames {
      let property = node.property(name) ?? Property(bytes: [])
      if name == "stdout-path" || name == "stdin-path" {
        let path = property.string?.before(":") ?? ""
        guard let target = system.tree.node(at: path), nodes.fates[target.place] == .kept else { continue }
      }
      draft.properties.append(DraftProperty(name, value: property.bytes))
    }
    for name in own?.propertyNames ?? [] { draft.set(DraftProperty(name, value: own?.property(name)?.bytes ?? [])) }
    return draft.properties
  }

  // MARK: What is shared

  private mutating func freePhandle() -> UInt32 {
    while system.node(nextPhandle) != nil { nextPhandle += 1 }
    nextPhandle += 1
    return nextPhandle - 1
  }

  private mutating func guestNode() throws(SystemTreeError) -> Draft {
    var links = Draft("links")
    var exports = Draft("exports")
    var imports = Draft("imports")
    for link in system.links where link.owner == guest || link.borrower == guest {
      var end = linkEnd(link)
      if link.owner == guest {
        for export in link.exports { try add(export, of: link, to: &exports) }
      } else {
        let phandle = freePhandle()
        if !link.exports.isEmpty { end.set(DraftProperty("phandle", cells: [phandle])) }
        for export in link.exports { try add(export, of: link, phandle, to: &imports) }
      }
      links.children.append(end)
    }
    let children = [links, exports, imports].filter { !$0.children.isEmpty }
    return Draft(
      "guestbroker", [DraftProperty("compatible", "guestbroker,guest-v1"), DraftProperty("guest-name", domain.name)], children)
  }

  /// What this guest's tree calls a link: as the guest at its other end, if there is no other link to that one, and the region has
  /// a name by which the two ends know each other; else as the system's tree does.
  private func endName(_ link: SystemLink) -> String {
    let peer = link.owner == guest ? link.borrower : link.owner
    let holder: Int
    switch link.memory {
    case .region(let region, _, _): holder = region
    case .ivshmem: holder = link.node
    }
    let node = system.tree.node(place: holder)
    let isNamed = node.property("guestbroker,id") != nil || node.property("xen,id") != nil
    let between = system.links.filter { ($0.owner, $0.borrower) == (guest, peer) || ($0.owner, $0.borrower) == (peer, guest) }
    return isNamed && between.count == 1 ? system.domains[peer].name : link.name
  }

  /// This guest's end of a link: what the system's link node says beside the two ends, and what it says of this one.
  private func linkEnd(_ link: SystemLink) -> Draft {
    let isOwner = link.owner == guest
    let node = system.tree.node(place: link.node)
    var draft = Draft(endName(link))
    if !isOwner, !link.exports.isEmpty { draft.labels = [draft.name] }
    draft.properties = [
      DraftProperty("compatible", "guestbroker,link-v1"),
      DraftProperty("peer-name", system.domains[isOwner ? link.borrower : link.owner].name),
      DraftProperty("role", isOwner ? "owner" : "borrower"),
    ]
    if case .ivshmem(let owner, let borrower, _) = link.memory {
      draft.properties.append(DraftProperty("pci-address", isOwner ? owner : borrower))
    }
    let fixed: Set = [
      "compatible", "peer-name", "role", "owner", "borrower", "pci-address", "phandle", "linux,phandle", "status",
    ]
    for source in [node, node.child(isOwner ? "at-owner" : "at-borrower")] {
      guard let source else { continue }
      for name in source.propertyNames where !fixed.contains(name) {
        draft.set(DraftProperty(name, value: source.property(name)?.bytes ?? []))
      }
      for reference in system.references[source] where stays(reference.target) { draft.mark(reference) }
    }
    return draft
  }

  /// An export's node with all below it, without what is only for the system's tree.
  private func copy(_ place: Int) -> Draft {
    let node = system.tree.node(place: place)
    var draft = Draft(node.name)
    let left: Set = ["clients", "import-name", "phandle", "linux,phandle"]
    for name in node.propertyNames where !left.contains(name) {
      draft.properties.append(DraftProperty(name, value: node.property(name)?.bytes ?? []))
    }
    for reference in system.references.ofNode[place] { draft.mark(reference) }
    draft.children = node.children.filter { $0.isOkay }.map { copy($0.place) }
    return draft
  }

  /// Adds an export to those of its owner: what several guests may use is one export with several clients.
  private func add(_ place: Int, of link: SystemLink, to exports: inout Draft) throws(SystemTreeError) {
    var export = copy(place)
    let client = system.domains[link.borrower].name
    if export.children.isEmpty {
      export.setClients([client])
    } else {
      for index in export.children.indices { export.children[index].setClients([client]) }
    }
    guard let index = exports.childIndex(export.name) else {
      exports.children.append(export)
      return
    }
    guard let merged = exports.children[index].merged(with: export) else {
      throw .conflict(
        node: system.tree.node(place: place).path,
        "says something else of \(export.name) than another link of \(domain.name) does; say the same in both, or give it another name"
      )
    }
    exports.children[index] = merged
  }

  private func add(
    _ place: Int, of link: SystemLink, _ phandle: UInt32, to imports: inout Draft
  ) throws(SystemTreeError) {
    let node = system.tree.node(place: place)
    let name = node.property("import-name")?.string ?? node.name
    guard isName(name), imports.childIndex(name) == nil else {
      throw .conflict(
        node: node.path,
        "\(domain.name) can't import it as '\(name)'; give it an import-name that is a name, and no other import's")
    }
    var draft = Draft(name, [DraftProperty("class", value: node.property("class")?.bytes ?? [])])
    draft.properties.append(DraftProperty("link", cells: [phandle], references: [0]))
    if name != node.name { draft.properties.append(DraftProperty("remote-name", node.name)) }
    imports.children.append(draft)
  }
}

extension Draft {
  /// Removes a property that refers to what is gone, with what says no more than which or how many of these there are.
  mutating func removeReference(_ name: String) {
    removeProperty(name)
    if name == "interrupt-parent" || name == "interrupt-affinity" { removeProperty("interrupts") }
    if name == "interrupts-extended" || name == "interrupt-parent" { removeProperty("interrupt-names") }
    if name.hasSuffix("s") { removeProperty("\(name.dropLast())-names") }
    if name.hasPrefix("pinctrl-") { removeProperty("pinctrl-names") }
  }

  mutating func mark(_ reference: SystemReference) {
    guard let index = properties.firstIndex(where: { $0.name == reference.property }) else { return }
    properties[index].references.append(reference.cell)
  }

  fileprivate mutating func setClients(_ names: [String]) {
    let property = DraftProperty("clients", value: names.reduce(into: []) { $0 += Array($1.utf8) + [0] })
    // Behind the device, as people write it.
    if let index = properties.firstIndex(where: { $0.name == "clients" }) {
      properties[index] = property
    } else if let index = properties.firstIndex(where: { $0.name == "device" || $0.name == "reg" }) {
      properties.insert(property, at: index + 1)
    } else {
      properties.append(property)
    }
  }

  private var clients: [String] { property("clients").flatMap { Property(bytes: $0.value).strings } ?? [] }

  /// This export for the clients of both; nil when they differ in anything else.
  fileprivate func merged(with other: Draft) -> Draft? {
    func rest(_ draft: Draft) -> [DraftProperty] { draft.properties.filter { $0.name != "clients" } }
    let (mine, others) = (rest(self), rest(other))
    guard mine.count == others.count, children.isEmpty == other.children.isEmpty else { return nil }
    for property in mine {
      guard let match = other.property(property.name), match.value == property.value else { return nil }
    }
    var result = self
    let names = clients + other.clients.filter { !clients.contains($0) }
    if !names.isEmpty { result.setClients(names) }
    for child in other.children {
      guard let index = result.childIndex(child.name) else {
        result.children.append(child)
        continue
      }
      guard let merged = result.children[index].merged(with: child) else { return nil }
      result.children[index] = merged
    }
    return result
  }
}
