import Linux

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

  public var text: String {
    switch self {
    case .noParent(let node): "\(node): has interrupts, but nothing says where they go: an interrupt-parent is missing"
    case .dangling(let node, let property, let phandle):
      "\(node): \(property) refers to phandle 0x\(String(phandle, radix: 16)), which no node has"
    case .noCells(let node, let controller):
      "\(node): its interrupts go to \(controller), whose #interrupt-cells is missing or is no number from 1 to 64"
    case .badLength(let node, let property): "\(node): \(property) is not made of whole entries"
    case .notMapped(let node, let nexus): "\(node): the interrupt-map of \(nexus) has no entry for one of its interrupts"
    case .endless(let node):
      "\(node): its interrupt parents lead in a circle, or there are more than \(Node.maximumInterruptParents)"
    }
  }
}

extension Node {
  /// The longest way from a node to its controller.
  public static var maximumInterruptParents: Int { 64 }

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
    var interrupts: [Interrupt] = []
    if let property = property("interrupts-extended") {
      guard let cells = property.cells else { throw .badLength(node: path, property: "interrupts-extended") }
      var place = 0
      while place < cells.count {
        let phandle = cells[place]
        place += 1
        if phandle == 0 { continue }
        guard let parent = phandles[phandle] else {
          throw .dangling(node: path, property: "interrupts-extended", phandle: phandle)
        }
        let count = try interruptCells(of: parent)
        guard count <= cells.count - place else { throw .badLength(node: path, property: "interrupts-extended") }
        interrupts.append(try follow(Array(cells[place..<place + count]), to: parent, phandles))
        place += count
      }
    } else if let property = property("interrupts") {
      guard let cells = property.cells else { throw .badLength(node: path, property: "interrupts") }
      if cells.isEmpty { return [] }
      guard let parent = try interruptParent(phandles) else { throw .noParent(node: path) }
      let count = try interruptCells(of: parent)
      guard cells.count % count == 0 else { throw .badLength(node: path, property: "interrupts") }
      for place in stride(from: 0, to: cells.count, by: count) {
        interrupts.append(try follow(Array(cells[place..<place + count]), to: parent, phandles))
      }
    }
    return interrupts
  }

  private func interruptCells(of controller: Node) throws(InterruptError) -> Int {
    guard let cells = controller.property("#interrupt-cells")?.cell, (1...64).contains(cells) else {
      throw .noCells(node: path, controller: controller.path)
    }
    return Int(cells)
  }

  /// Follows one of this node's interrupts from its parent to the controller.
  private func follow(_ specifier: [UInt32], to parent: Node, _ phandles: PhandleTable) throws(InterruptError) -> Interrupt {
    var specifier = specifier
    var parent = parent
    // Of the first nexus this node's own address is asked, of the next one what the one before it says.
    var address = property("reg")?.cells ?? []
    for _ in 0..<Self.maximumInterruptParents {
      guard let map = parent.property("interrupt-map") else {
        if parent.isInterruptController { return Interrupt(controller: parent, cells: specifier) }
        // Linux passes what is neither a controller nor a nexus by; what has nothing above it must be the controller.
        guard let next = try parent.interruptParent(phandles) else { return Interrupt(controller: parent, cells: specifier) }
        guard try interruptCells(of: next) == specifier.count else { throw .noCells(node: path, controller: next.path) }
        parent = next
        continue
      }
      guard let cells = map.cells else { throw .badLength(node: parent.path, property: "interrupt-map") }
      let addressCells = parent.inheritedAddressCells
      guard addressCells <= 64 else { throw .badLength(node: parent.path, property: "interrupt-map") }
      let mask = parent.property("interrupt-map-mask")?.cells
      let key = address.prefix(addressCells) + specifier
      let width = addressCells + specifier.count
      guard mask.map({ $0.count == width }) ?? true else { throw .badLength(node: parent.path, property: "interrupt-map-mask") }
      // A device without an address can only be meant by a map that doesn't look at it.
      let isComplete = key.count == width
      var found: (parent: Node, address: [UInt32], specifier: [UInt32])?
      var place = 0
      while found == nil, place < cells.count {
        guard cells.count - place > width else { throw .badLength(node: parent.path, property: "interrupt-map") }
        let phandle = cells[place + width]
        guard let target = phandles[phandle] else {
          throw .dangling(node: parent.path, property: "interrupt-map", phandle: phandle)
        }
        let targetAddress = target.property("#address-cells").map { Int(clamping: $0.cell ?? .max) } ?? 0
        let targetCells = try interruptCells(of: target)
        let start = place + width + 1
        guard targetAddress <= cells.count - start, targetCells <= cells.count - start - targetAddress else {
          throw .badLength(node: parent.path, property: "interrupt-map")
        }
        let matches = (0..<width).allSatisfy { index in
          let bits = mask?[index] ?? .max
          if bits == 0 { return true }
          let offset = isComplete ? index : index - (width - key.count)
          return (isComplete || index >= addressCells) && (cells[place + index] ^ key[offset]) & bits == 0
        }
        if matches {
          found = (
            target, Array(cells[start..<start + targetAddress]),
            Array(cells[start + targetAddress..<start + targetAddress + targetCells])
          )
        }
        place = start + targetAddress + targetCells
      }
      guard let found else { throw .notMapped(node: path, nexus: parent.path) }
      // Some controllers have a map onto themselves.
      if found.parent.index == parent.index { return Interrupt(controller: parent, cells: found.specifier) }
      (parent, address, specifier) = found
    }
    throw .endless(node: path)
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
