import DeviceTree

/// A place in a node's properties that refers to another node by its phandle.
public struct Reference: Sendable {
  public let node: Node
  public let property: String
  /// Which cell of the property's value the phandle is.
  public let cell: Int
  public let phandle: UInt32
  /// Nil when no node has this phandle.
  public let target: Node?
  /// The cells behind the phandle that are for the target.
  public let arguments: [UInt32]
  public let flaw: Flaw?
  /// How many cells behind this one can't be told apart, since it isn't known how many of them belong to it. They are the last
  /// ones of the property; there may be other references among them.
  public let unreadCells: Int

  public enum Flaw: Sendable {
    /// No node has this phandle.
    case dangling
    /// The target doesn't have the property, "#clock-cells" for example, that says how many cells are for it.
    case noCells(String)
    /// The property ends before the last cell that is for the target.
    case tooShort
  }
}

/// Finds the references that a tree's properties make by phandle: those of the Devicetree Specification, of Linux's
/// bindings, and of this project's.
///
/// The name of a property says whether and how it refers to nodes, as Linux and dtc have it: `ReferenceForms` lists the names.
/// References by path are `DeviceTree.aliases`, `symbols` and `standardOutput`.
public struct References: Sendable {
  public let phandles: PhandleTable

  /// - Complexity: That of `PhandleTable`.
  public init(_ tree: DeviceTree) {
    phandles = PhandleTable(tree)
  }

  public var tree: DeviceTree { phandles.tree }

  /// What a node refers to, in the order of its properties and of their cells, found while they are asked for. An entry of a
  /// list that is 0, which means "none", is left out, and so is a value that isn't made of cells.
  public func of(_ node: Node) -> NodeReferences { NodeReferences(node, phandles) }

  /// Every reference of the tree that leads to `target`.
  ///
  /// - Complexity: O(properties) each time: for more than a few targets, go through all nodes once.
  public func to(_ target: Node) -> [Reference] {
    var references: [Reference] = []
    for index in tree.nodes.indices {
      for reference in of(Node(tree: tree, index: index)) where reference.target?.index == target.index {
        references.append(reference)
      }
    }
    return references
  }
}

/// The references that one node makes.
///
/// A sequence, not an array: a reference can be 4 bytes of a tree, and is 30 times as large here.
public struct NodeReferences: Sequence, IteratorProtocol, Sendable {
  private let node: Node
  private let phandles: PhandleTable
  /// Properties that were not looked at yet.
  private var records: ArraySlice<PropertyRecord>
  private var reader: ReferenceReader?

  init(_ node: Node, _ phandles: PhandleTable) {
    self.node = node
    self.phandles = phandles
    records = node.isOfNames ? [] : node.records
  }

  public mutating func next() -> Reference? {
    while true {
      if let reference = reader?.next() { return reference }
      guard let record = records.popFirst() else { return nil }
      reader = nil
      guard record.value.count > 0, record.value.count % 4 == 0 else { continue }
      let name = String(decoding: node.tree.slice(record.name), as: UTF8.self)
      guard let form = ReferenceForms.form(of: name, in: node) else { continue }
      reader = ReferenceReader(node: node, property: name, value: record.value, form: form, phandles: phandles)
    }
  }
}

extension Node {
  /// Whether it is one whose properties are called as somebody likes: aliases, and what dtc adds to the root for overlays.
  fileprivate var isOfNames: Bool {
    var node = self
    while let parent = node.parent {
      if parent.parent == nil { return node.name == "aliases" || node.name.hasPrefix("__") }
      node = parent
    }
    return false
  }
}

/// Goes through a property's references.
private struct ReferenceReader: Sendable {
  let node: Node
  let property: String
  let value: Extent
  let form: ReferenceForm
  let phandles: PhandleTable
  var place = 0

  private var count: Int { Int(value.count) / 4 }
  private func cell(_ index: Int) -> UInt32 { bigEndianWord(node.tree.bytes, at: Int(value.start) + 4 * index) }

  mutating func next() -> Reference? {
    while place < count {
      guard let lead = leadingCells, lead < count - place else {
        place = count
        return nil
      }
      let at = place + lead
      let phandle = cell(at)
      let behind = count - at - 1
      if phandle == 0, lead == 0 {
        if case .first = form { place = count } else { place = at + 1 }
        continue
      }
      let target = phandles[phandle]
      let wanted = argumentCells(of: target, behind: behind)
      let taken = min(wanted ?? 0, behind)
      place = wanted == nil ? count : at + 1 + taken
      let flaw: Reference.Flaw? =
        if target == nil { .dangling } else if let wanted { wanted > behind ? .tooShort : nil } else {
          .noCells(form.cellsName)
        }
      return Reference(
        node: node, property: property, cell: at, phandle: phandle,
        target: target, arguments: (at + 1..<at + 1 + taken).map { cell($0) }, flaw: flaw,
        unreadCells: wanted == nil ? behind : 0)
    }
    return nil
  }

  /// Cells before the phandle; nil when it can't be known.
  private var leadingCells: Int? {
    switch form {
    case .list, .first, .fixed, .counted: 0
    case .idMap: 1
    case .interruptMap: number("#interrupt-cells", of: node).map { sum($0, node.inheritedAddressCells) }
    case .specifierMap(let name): number(name, of: node)
    }
  }

  /// Cells behind the phandle that belong to it; nil when it can't be known.
  private func argumentCells(of target: Node?, behind: Int) -> Int? {
    switch form {
    case .list: return 0
    case .first: return behind
    case .fixed(let count): return count
    case .idMap: return 2
    case .counted(let name, let isOptional):
      guard let target else { return nil }
      return isOptional && target.property(name) == nil ? 0 : number(name, of: target)
    case .specifierMap(let name): return target.flatMap { number(name, of: $0) }
    case .interruptMap:
      guard let target, let cells = number("#interrupt-cells", of: target) else { return nil }
      return sum(
        cells,
        target.property("#address-cells") == nil || node.hasOwnInterruptMap ? 0 : number("#address-cells", of: target) ?? .max)
    }
  }

  private func number(_ name: String, of node: Node) -> Int? { node.property(name)?.cell.map { Int(clamping: $0) } }

  private func sum(_ a: Int, _ b: Int) -> Int {
    let (sum, overflow) = a.addingReportingOverflow(b)
    return overflow ? .max : sum
  }
}
