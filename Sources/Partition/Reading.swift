import BrokerProtocol
import DeviceTree
import Text

extension Partition {
  package static var maximumLinks: Int { 64 }
  package static var maximumPeripherals: Int { 256 }
  /// As many as the links that could lead to them.
  package static var maximumClients: Int { 64 }
  /// More than the 112 addresses of an I2C bus; a request names at most 64 GPIO lines.
  package static var maximumElements: Int { 128 }
  package static var maximumLines: Int { 64 }

  /// The guestbroker node of a tree: a child of the root.
  package static func guestNode(in tree: DeviceTree) -> Node? {
    tree.root.children.first { $0.isCompatible(with: "guestbroker,guest-v1") && $0.isOkay }
  }

  /// Reads the guestbroker node and everything that it refers to.
  ///
  /// - Parameter withExports: False for who only borrows: then `exports` is empty, and `exportNames` is all there is of them.
  public init(_ tree: DeviceTree, withExports: Bool = true) throws(PartitionError) {
    guard let guest = Self.guestNode(in: tree) else { throw .noGuestNode }
    guestName = try guest.name("guest-name", "this guest's name")
    let linkNodes = try guest.entries("links", limit: Self.maximumLinks)
    links = try linkNodes.map { node throws(PartitionError) in try Link(node, tree) }
    // A link may be called as its region. What is called as its node can't be there twice.
    for (index, link) in links.enumerated() where links[..<index].contains(where: { sameText($0.name, link.name) }) {
      throw .duplicate(what: "links", name: link.name)
    }
    exports = []
    imports = []
    let exported = try Self.peripherals("exports", of: guest, &notes)
    exportNames = exported.map { $0.0.name }
    if withExports {
      for (node, peripheralClass) in exported { try readExport(node, peripheralClass, tree) }
    }
    for (node, peripheralClass) in try Self.peripherals("imports", of: guest, &notes) {
      imports.append(try Import(node, peripheralClass, linkNodes, links))
    }
  }

  private mutating func readExport(_ node: Node, _ peripheralClass: PeripheralClass, _ tree: DeviceTree) throws(PartitionError)
  {
    let export = try Export(node, peripheralClass, tree)
    exports.append(export)
    if export.elements.isEmpty && peripheralClass != .uart {
      notes.append(
        "\(node.path) grants nothing: it needs a child with a reg for each \(peripheralClass == .i2c ? "address" : "chip select")"
      )
    }
    if peripheralClass.isServed, export.onClientLoss != .hold {
      notes.append("\(node.path): this version does not act on on-client-loss")
    }
  }

  /// The nodes of "exports" or "imports" whose class this version knows. The others get a note, and so do those of a class that it
  /// doesn't serve.
  private static func peripherals(
    _ what: String, of guest: Node, _ notes: inout [String]
  ) throws(PartitionError) -> [(Node, PeripheralClass)] {
    var peripherals: [(Node, PeripheralClass)] = []
    for node in try guest.entries(what, limit: maximumPeripherals) {
      try checkName(node.name, at: node)
      let text = try node.text("class", "\"uart\", \"i2c\", \"spi\" or \"gpio\"")
      guard let known = PeripheralClass(text) else {
        notes.append("\(node.path) is left out: this version does not know class \"\(text)\"")
        continue
      }
      if !known.isServed { notes.append("\(node.path) cannot be used yet: this version serves class \"uart\" only") }
      peripherals.append((node, known))
    }
    return peripherals
  }
}

extension Import {
  /// - Parameter linkNodes: Those of `links`, in the same order.
  init(_ node: Node, _ peripheralClass: PeripheralClass, _ linkNodes: [Node], _ links: [Link]) throws(PartitionError) {
    name = node.name
    self.peripheralClass = peripheralClass
    let wanted = try node.require("link", "a phandle of one of this guest's link nodes").cell
    guard let wanted, let found = linkNodes.firstIndex(where: { $0.phandle == wanted }) else {
      throw node.dangling("link", "one of this guest's link nodes")
    }
    guard links[found].role == .borrower else {
      throw node.invalid("link", "a phandle of a link whose role is \"borrower\"")
    }
    link = found
    remoteName =
      node.property("remote-name") == nil ? node.name : try node.name("remote-name", "the export's name at its owner")
  }
}

extension Link {
  init(_ node: Node, _ tree: DeviceTree) throws(PartitionError) {
    guard node.isCompatible(with: "guestbroker,link-v1") else {
      throw node.invalid("compatible", "\"guestbroker,link-v1\"")
    }
    peerName = try node.name("peer-name", "the name of the guest at the other end")
    role = try node.choice("role", ["owner", "borrower"], "\"owner\" or \"borrower\"") == 0 ? .owner : .borrower

    let idNode: Node
    if node.property("pci-address") != nil {
      let shouldBe = "an ivshmem device's place on the PCI bus, as \"0000:00:06.0\", without a memory-region beside it"
      let address = try node.text("pci-address", shouldBe)
      guard isPCIAddress(address), node.property("memory-region") == nil else {
        throw node.invalid("pci-address", shouldBe)
      }
      memory = .ivshmem(address)
      idNode = node
    } else {
      let region = try node.require("memory-region", "a phandle of the shared memory's node").cell
      guard let region, let memoryNode = tree.node(phandle: region) else {
        throw node.dangling("memory-region", "the shared memory's node")
      }
      guard let range = memoryNode.physicalRanges?.first else {
        throw memoryNode.invalid("reg", "the region's address and size")
      }
      if let offset = memoryNode.property("xen,offset"), !offset.bytes.allSatisfy({ $0 == 0 }) {
        throw memoryNode.invalid("xen,offset", "0: a link begins where the shared memory does")
      }
      guard range.size > 0, range.address % 4096 == 0, range.size % 4096 == 0,
        !range.address.addingReportingOverflow(range.size).overflow
      else {
        throw memoryNode.invalid("reg", "whole pages of 4096 bytes, and at least one")
      }
      memory = .physical(range, node: memoryNode.path)
      idNode = memoryNode
    }
    let idName = idNode.property("guestbroker,id") == nil ? "xen,id" : "guestbroker,id"
    if let id = idNode.property(idName) {
      guard let text = id.string, text.utf8.count <= 15 else {
        throw idNode.invalid(idName, "a name of at most 15 characters")
      }
      try checkName(text, at: idNode)
      name = text
    } else {
      try checkName(node.name, at: node, atSignToo: true)
      name = node.name
    }

    channels = try node.number("channels", 1...8, default: 4)
    pollInterval = UInt32(clamping: try node.number("poll-interval-us", 10...1_000_000, default: 200))
    let rule = "\"futex\", \"poll\", \"uio\" (with a memory-region) or \"ivshmem\" (with a pci-address)"
    let chosen = node.property("doorbell") == nil ? 1 : try node.choice("doorbell", ["futex", "poll", "uio", "ivshmem"], rule)
    let ring = try node.registerWrite()
    if ring != nil, chosen != 2 {
      throw node.invalid("doorbell-write", "absent, as doorbell is not \"uio\"")
    }
    switch (chosen, memory) {
    case (0, _): doorbell = .futex
    case (1, _): doorbell = .poll
    case (2, .physical): doorbell = .uio(ring: ring)
    case (3, .ivshmem): doorbell = .ivshmem
    default: throw node.invalid("doorbell", rule)
    }
    if node.property("mapping") != nil {
      let attributes: [Attribute] = [.cached, .writeCombined, .device]
      mapping =
        attributes[
          try node.choice("mapping", attributes.map { $0.name }, "\"cached\", \"write-combined\" or \"device\"")]
    }
  }
}

extension Export {
  init(_ node: Node, _ peripheralClass: PeripheralClass, _ tree: DeviceTree) throws(PartitionError) {
    name = node.name
    self.peripheralClass = peripheralClass
    let isBus = peripheralClass == .i2c || peripheralClass == .spi
    grant = try Grant(node, otherwise: Grant(), needsClients: !isBus)
    onClientLoss = try Self.onClientLoss(node, peripheralClass)
    if peripheralClass == .gpio {
      elements = try Self.lines(node, grant, tree)
      devicePath = elements.first?.devicePath ?? ""
      return
    }
    let wanted = try node.require("device", "a phandle of the device's node").cell
    guard let wanted, let device = tree.node(phandle: wanted) else {
      throw node.dangling("device", "the device's node")
    }
    guard device.isReachable else { throw .notOkay(export: node.name, device: device.path) }
    devicePath = device.path
    if isBus {
      maximumTransferBytes = try node.limit("max-transfer-bytes")
      for child in node.children where child.isOkay {
        guard elements.count < Partition.maximumElements else {
          throw .tooMany(what: "children of \(node.path)", limit: Partition.maximumElements)
        }
        elements.append(try element(child))
      }
    } else {
      maximumBaud = try node.limit("max-baud")
    }
  }

  /// An address or chip select of this bus.
  private func element(_ node: Node) throws(PartitionError) -> Element {
    try checkName(node.name, at: node, atSignToo: true)
    let isI2C = peripheralClass == .i2c
    let rule =
      isI2C
      ? "one I2C address from 0x08 to 0x77, which no other child has"
      : "one chip select from 0 to 255, which no other child has"
    guard let number = try node.require("reg", rule).cell, isI2C ? 0x08...0x77 ~= number : number <= 255,
      !elements.contains(where: { $0.number == number })
    else { throw node.invalid("reg", rule) }
    return Element(
      name: node.name, number: number, devicePath: devicePath,
      grant: try Grant(node, otherwise: grant, needsClients: grant.clients.isEmpty),
      maximumFrequency: isI2C ? nil : try node.limit("spi-max-frequency"))
  }

  /// The lines that `gpios` lists.
  private static func lines(_ node: Node, _ grant: Grant, _ tree: DeviceTree) throws(PartitionError) -> [Element] {
    let rule =
      "up to 64 different lines: a phandle of a controller with #gpio-cells = <2>, the line's number and its flags each"
    guard let cells = try node.require("gpios", rule).cells, !cells.isEmpty, cells.count % 3 == 0,
      cells.count / 3 <= Partition.maximumLines
    else { throw node.invalid("gpios", rule) }
    var names: [String]?
    if let property = node.property("gpio-line-names") {
      names = property.strings
      guard names?.count == cells.count / 3 else {
        throw node.invalid("gpio-line-names", "a name for each of gpios")
      }
    }
    var lines: [Element] = []
    var controller: Node?
    while lines.count < cells.count / 3 {
      let place = lines.count * 3
      if place == 0 || cells[place] != cells[place - 3] { controller = tree.node(phandle: cells[place]) }
      guard let controller else {
        throw node.dangling("gpios", "a GPIO controller's node")
      }
      guard controller.isReachable else { throw .notOkay(export: node.name, device: controller.path) }
      let name = names?[lines.count] ?? ""
      if names != nil { try checkName(name, at: node) }
      let line = Element(
        name: name, number: cells[place + 1], devicePath: controller.path, grant: grant, flags: cells[place + 2])
      var isNew = controller.property("#gpio-cells")?.cell == 2
      for other in lines {
        if other.number == line.number && sameText(other.devicePath, line.devicePath) { isNew = false }
        if names != nil && sameText(other.name, name) { throw .duplicate(what: "lines", name: name) }
      }
      guard isNew else { throw node.invalid("gpios", rule) }
      lines.append(line)
    }
    return lines
  }

  private static func onClientLoss(_ node: Node, _ peripheralClass: PeripheralClass) throws(PartitionError) -> OnClientLoss {
    guard node.property("on-client-loss") != nil else { return .hold }
    let rule =
      switch peripheralClass {
      case .uart: "\"hold\" or \"discard\""
      case .gpio: "\"hold\", \"input\" or \"inactive\""
      case .i2c, .spi, .broker: "\"hold\""
      }
    let text = try node.text("on-client-loss", rule)
    if sameText(text, "hold") { return .hold }
    if peripheralClass == .uart, sameText(text, "discard") { return .discard }
    if peripheralClass == .gpio, sameText(text, "input") { return .input }
    if peripheralClass == .gpio, sameText(text, "inactive") { return .inactive }
    throw node.invalid("on-client-loss", rule)
  }
}

extension Grant {
  /// What a node says; what it doesn't, as `base`.
  init(_ node: Node, otherwise base: Grant, needsClients: Bool) throws(PartitionError) {
    self = base
    if needsClients || node.property("clients") != nil {
      let rule = "the names of the guests that may use it"
      guard let names = try node.require("clients", rule).strings else {
        throw node.invalid("clients", rule)
      }
      guard names.count <= Partition.maximumClients else {
        throw .tooMany(what: "clients in \(node.path)", limit: Partition.maximumClients)
      }
      for name in names { try checkName(name, at: node) }
      clients = names
    }
    if node.property("access") != nil {
      let rule = "\"rw\", \"ro\" or \"wo\""
      guard let access = Access(try node.text("access", rule)) else {
        throw node.invalid("access", rule)
      }
      self.access = access
    }
    priority = UInt8(clamping: try node.number("priority", 0...7, default: Int(priority)))
    maximumOperationsPerSecond = try node.limit("max-ops-per-second") ?? maximumOperationsPerSecond
    maximumBytesPerSecond = try node.limit("max-bytes-per-second") ?? maximumBytesPerSecond
  }
}

/// Names are 1 to 31 bytes of letters, digits and ,._+- (node names of the Devicetree Specification, §2.2.1).
@inline(never)
private func checkName(_ name: String, at node: Node, atSignToo: Bool = false) throws(PartitionError) {
  guard isName(name, atSignToo: atSignToo) else { throw .badName(node: node.path, name: name) }
}

package func isName(_ name: String, atSignToo: Bool = false) -> Bool {
  (1...31).contains(name.utf8.count)
    && Array(name.utf8).allSatisfy {
      switch $0 {
      case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2c, 0x2e, 0x5f, 0x2b, 0x2d: true
      case 0x40: atSignToo
      default: false
      }
    }
}

/// Whether it has the form of a PCI function's name in sysfs: "0000:00:06.0". It becomes part of a path.
package func isPCIAddress(_ text: String) -> Bool {
  let form: [UInt8] = Array("hhhh:hh:hh.h".utf8)
  let bytes = Array(text.utf8)
  return bytes.count == form.count
    && zip(bytes, form).allSatisfy { byte, wanted in
      switch byte {
      case 0x30...0x39, 0x61...0x66: wanted == 0x68
      default: byte == wanted
      }
    }
}

extension Node {
  /// The children of its child `what` that are okay.
  fileprivate func entries(_ what: String, limit: Int) throws(PartitionError) -> [Node] {
    let nodes = (child(what)?.children ?? []).filter { $0.isOkay }
    guard nodes.count <= limit else { throw .tooMany(what: what, limit: limit) }
    return nodes
  }

  /// Which of `words` a property says.
  fileprivate func choice(_ name: String, _ words: [String], _ shouldBe: String) throws(PartitionError) -> Int {
    let text = try text(name, shouldBe)
    guard let index = words.firstIndex(where: { sameText($0, text) }) else {
      throw invalid(name, shouldBe)
    }
    return index
  }

  // Out of line, as what each of dozens of places throws.
  @inline(never)
  fileprivate func invalid(_ property: String, _ shouldBe: String) -> PartitionError {
    .invalid(node: path, property: property, shouldBe: shouldBe)
  }

  @inline(never)
  fileprivate func dangling(_ property: String, _ shouldBe: String) -> PartitionError {
    .dangling(node: path, property: property, shouldBe: shouldBe)
  }

  fileprivate func require(_ name: String, _ shouldBe: String) throws(PartitionError) -> Property {
    guard let property = property(name) else { throw .missing(node: path, property: name, shouldBe: shouldBe) }
    return property
  }

  fileprivate func text(_ name: String, _ shouldBe: String) throws(PartitionError) -> String {
    guard let text = try require(name, shouldBe).string else {
      throw invalid(name, shouldBe)
    }
    return text
  }

  fileprivate func name(_ property: String, _ shouldBe: String) throws(PartitionError) -> String {
    let name = try text(property, shouldBe)
    try checkName(name, at: self)
    return name
  }

  /// `doorbell-write`: an offset, a multiple of 4, and a value.
  fileprivate func registerWrite() throws(PartitionError) -> Link.RegisterWrite? {
    guard let property = property("doorbell-write") else { return nil }
    guard let cells = property.cells, cells.count == 2, cells[0] % 4 == 0, cells[0] < 1 << 24 else {
      throw invalid("doorbell-write", "an offset below 16 MiB, a multiple of 4, and a value: two cells")
    }
    return Link.RegisterWrite(offset: cells[0], value: cells[1])
  }

  fileprivate func number(_ name: String, _ range: ClosedRange<Int>, default standard: Int) throws(PartitionError) -> Int {
    guard let property = property(name) else { return standard }
    guard let cell = property.cell, range.contains(Int(clamping: cell)) else {
      throw invalid(name, "one cell from \(range.lowerBound) to \(range.upperBound)")
    }
    return Int(clamping: cell)
  }

  /// A limit that is not there unless it is set.
  fileprivate func limit(_ name: String) throws(PartitionError) -> UInt32? {
    property(name) == nil ? nil : UInt32(clamping: try number(name, 1...Int(Int32.max), default: 0))
  }
}
