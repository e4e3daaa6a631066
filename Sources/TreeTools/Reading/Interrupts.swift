import DeviceTree
import Text

/// An interrupt of a node, at the controller that handles it.
public struct Interrupt: Sendable {
  public let controller: Node
  /// The specifier: as many cells as the controller's `#interrupt-cells`. What they mean is the controller's.
  public let cells: [UInt32]
}

/// Why it can't be told what a node's interrupts are. `text` is a clause for behind the file's name.
public enum InterruptError: Error, Sendable {
  /// Nothing above the node says where its interrupts go.
  case noParent(node: String)
  case dangling(node: String, property: String, phandle: UInt32)
  /// The controller says no `#interrupt-cells`, or none that make sense.
  case noCells(node: String, controller: String)
  /// The value is not made of whole entries.
  case badLength(node: String, property: String)
  /// The nexus's `interrupt-map` has no entry for this interrupt.
  case notMapped(node: String, nexus: String)
  /// Interrupt parents or nexuses in a circle, or more than `Node.maximumInterruptParents` behind each other.
  case endless(node: String)
  /// More than `Node.maximumInterrupts`.
  case tooMany(node: String)

  public var text: String {
    switch self {
    case .noParent(let node): "\(node): has interrupts, but nothing says where they go: an interrupt-parent is missing"
    case .dangling(let node, let property, let phandle):
      "\(node): \(property) refers to phandle \(hexadecimal(phandle)), which no node has"
    case .noCells(let node, let controller):
      "\(node): its interrupts go to \(controller), whose #interrupt-cells is missing or is no number from 1 to 64"
    case .badLength(let node, let property): "\(node): \(property) is not made of whole entries"
    case .notMapped(let node, let nexus): "\(node): the interrupt-map of \(nexus) has no entry for one of its interrupts"
    case .tooMany(let node): "\(node): has more than \(Node.maximumInterrupts) interrupts, which nothing has"
    case .endless(let node):
      "\(node): its interrupt parents lead in a circle, or there are more than \(Node.maximumInterruptParents)"
    }
  }
}

extension Node {
  /// The longest way from a node to its controller.
  public static var maximumInterruptParents: Int { 64 }

  /// The most interrupts of a node.
  public static var maximumInterrupts: Int { 4096 }

  public var isInterruptController: Bool { property("interrupt-controller") != nil }

  /// Where the interrupts of this node go: what the nearest `interrupt-parent`, its own first, refers to; without one, the bus
  /// that it is on. What has no `#interrupt-cells` is passed by, as Linux does.
  ///
  /// It can be a nexus: `interrupts` says where they arrive in the end.
  ///
  /// - Returns: Nil when there is none.
  public func interruptParent(_ phandles: PhandleTable) throws(InterruptError) -> Node? {
    var node = self
    for _ in 0..<Self.maximumInterruptParents {
      if let property = node.property("interrupt-parent") {
        guard let phandle = property.cell, let parent = phandles[phandle] else {
          throw .dangling(node: node.path, property: "interrupt-parent", phandle: property.cell ?? 0)
        }
        node = parent
      } else {
        guard let parent = node.parent else { return nil }
        node = parent
      }
      if node.property("#interrupt-cells") != nil { return node }
    }
    throw .endless(node: path)
  }

  /// The interrupts that this node raises: `interrupts-extended`, or else `interrupts`, each followed through the
  /// `interrupt-map` of nexuses to the controller that handles it (Devicetree Specification §2.4).
  ///
  /// An entry of `interrupts-extended` that is 0 is left out.
  public func interrupts(_ phandles: PhandleTable) throws(InterruptError) -> [Interrupt] {
    let isExtended = property("interrupts-extended") != nil
    let name = isExtended ? "interrupts-extended" : "interrupts"
    guard let property = property(name) else { return [] }
    guard let cells = property.cells else { throw .badLength(node: path, property: name) }
    var parent: Node?
    var way = InterruptWay(start: self, phandles: phandles)
    var interrupts: [Interrupt] = []
    var place = 0
    while place < cells.count {
      if isExtended {
        let phandle = cells[place]
        place += 1
        if phandle == 0 { continue }
        parent = phandles[phandle]
        if parent == nil { throw .dangling(node: path, property: name, phandle: phandle) }
      } else if parent == nil {
        parent = try interruptParent(phandles)
      }
      guard let parent else { throw .noParent(node: path) }
      let count = try parent.interruptCells(askedBy: self)
      guard count <= cells.count - place else { throw .badLength(node: path, property: name) }
      guard interrupts.count < Self.maximumInterrupts else { throw .tooMany(node: path) }
      interrupts.append(try way.follow(Array(cells[place..<place + count]), to: parent))
      place += count
    }
    return interrupts
  }

  /// Controllers whose `interrupt-map` has a meaning of its own: Linux knows them by name, and so do we. The parents' addresses
  /// are left out of it.
  var hasOwnInterruptMap: Bool {
    return !controllersWithOwnMap.isDisjoint(with: property("compatible")?.strings ?? [])
  }

  fileprivate func interruptCells(askedBy node: Node) throws(InterruptError) -> Int {
    guard let cells = property("#interrupt-cells")?.cell, (1...64).contains(cells) else {
      throw .noCells(node: node.path, controller: path)
    }
    return Int(cells)
  }

  /// Cells of an address in an `interrupt-map`: Linux looks above the nexus when it doesn't say so itself.
  var inheritedAddressCells: Int {
    var node: Node? = self
    while let current = node {
      if let property = current.property("#address-cells") { return Int(clamping: property.cell ?? .max) }
      node = current.parent
    }
    return 2
  }
}

private let controllersWithOwnMap: Set = [
  "fsl,ls1021a-extirq", "fsl,ls1043a-extirq", "fsl,ls1088a-extirq", "renesas,rza1-irqc", "realtek,rtl-intc",
  "CBEA,platform-spider-pic", "sti,platform-spider-pic",
]

/// Follows the interrupts of one node to their controllers.
private struct InterruptWay {
  let start: Node
  let phandles: PhandleTable
  /// The maps that were met, read once.
  private var maps: [(nexus: Int, map: InterruptMap)] = []

  init(start: Node, phandles: PhandleTable) {
    self.start = start
    self.phandles = phandles
  }

  mutating func follow(_ specifier: [UInt32], to parent: Node) throws(InterruptError) -> Interrupt {
    var specifier = specifier
    var parent = parent
    // Of the first nexus this node's own address is asked, of the next one what the one before it says.
    var address = start.property("reg")?.cells ?? []
    var passed: [Int] = []
    while true {
      // Whoever comes to a node a second time comes a third time.
      guard !passed.contains(parent.index), passed.count < Node.maximumInterruptParents else {
        throw .endless(node: start.path)
      }
      passed.append(parent.index)
      guard let map = try map(of: parent) else {
        if parent.isInterruptController { return Interrupt(controller: parent, cells: specifier) }
        // Linux passes what is neither a controller nor a nexus by; what has nothing above it must be the controller.
        guard let next = try parent.interruptParent(phandles) else { return Interrupt(controller: parent, cells: specifier) }
        guard try next.interruptCells(askedBy: start) == specifier.count else {
          throw .noCells(node: start.path, controller: next.path)
        }
        parent = next
        continue
      }
      guard let entry = map.entry(for: specifier, at: address) else { throw .notMapped(node: start.path, nexus: parent.path) }
      address = Array(map.cells[entry.address])
      specifier = Array(map.cells[entry.specifier])
      // Some controllers have a map onto themselves.
      if entry.parent.index == parent.index { return Interrupt(controller: parent, cells: specifier) }
      parent = entry.parent
    }
  }

  private mutating func map(of nexus: Node) throws(InterruptError) -> InterruptMap? {
    if let known = maps.first(where: { $0.nexus == nexus.index }) { return known.map }
    guard let property = nexus.property("interrupt-map"), !nexus.hasOwnInterruptMap else { return nil }
    let map = try InterruptMap(property, of: nexus, askedBy: start, phandles)
    maps.append((nexus.index, map))
    return map
  }
}

/// A nexus's `interrupt-map` (Devicetree Specification §2.4.3).
private struct InterruptMap {
  struct Entry {
    /// Where its cells begin: the address and specifier to compare with.
    let key: Int
    let parent: Node
    /// What the parent is asked with.
    let address: Range<Int>
    let specifier: Range<Int>
  }
  let cells: [UInt32]
  private let addressCells: Int
  private let width: Int
  private let mask: [UInt32]?
  private var entries: [Entry] = []

  init(_ property: Property, of nexus: Node, askedBy start: Node, _ phandles: PhandleTable) throws(InterruptError) {
    func damaged(_ name: String) -> InterruptError { .badLength(node: nexus.path, property: name) }
    addressCells = nexus.inheritedAddressCells
    guard let cells = property.cells, addressCells <= 64 else { throw damaged("interrupt-map") }
    self.cells = cells
    width = addressCells + (try nexus.interruptCells(askedBy: start))
    mask = nexus.property("interrupt-map-mask")?.cells
    if nexus.property("interrupt-map-mask") != nil, mask?.count != width { throw damaged("interrupt-map-mask") }
    var place = 0
    while place < cells.count {
      guard cells.count - place > width else { throw damaged("interrupt-map") }
      let phandle = cells[place + width]
      guard let parent = phandles[phandle] else {
        throw .dangling(node: nexus.path, property: "interrupt-map", phandle: phandle)
      }
      let parentAddress = parent.property("#address-cells").map { Int(clamping: $0.cell ?? .max) } ?? 0
      let parentCells = try parent.interruptCells(askedBy: start)
      let first = place + width + 1
      guard parentAddress <= cells.count - first, parentCells <= cells.count - first - parentAddress else {
        throw damaged("interrupt-map")
      }
      let second = first + parentAddress
      entries.append(Entry(key: place, parent: parent, address: first..<second, specifier: second..<second + parentCells))
      place = second + parentCells
    }
  }

  /// The first entry that fits what the mask leaves of an address and a specifier. A device without an address can only be
  /// meant by a map that doesn't look at it.
  func entry(for specifier: [UInt32], at address: [UInt32]) -> Entry? {
    guard specifier.count == width - addressCells else { return nil }
    return entries.first { entry in
      (0..<width).allSatisfy { index in
        let bits = mask?[index] ?? .max
        if bits == 0 { return true }
        if index >= addressCells { return (cells[entry.key + index] ^ specifier[index - addressCells]) & bits == 0 }
        return index < address.count && (cells[entry.key + index] ^ address[index]) & bits == 0
      }
    }
  }
}
