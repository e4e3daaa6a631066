import DeviceTree

/// A node with everything below it, apart from any tree: to be changed, and written as source (`source`) or made a tree of.
public struct Draft: Sendable {
  /// With its unit address; empty for the root.
  public var name: String
  /// What a source calls it, in `label: name { };`.
  public var labels: [String] = []
  public var properties: [DraftProperty] = []
  public var children: [Draft] = []

  public init(_ name: String, _ properties: [DraftProperty] = [], _ children: [Draft] = []) {
    self.name = name
    self.properties = properties
    self.children = children
  }

  public func property(_ name: String) -> DraftProperty? { properties.first { $0.name == name } }

  /// Replaces the property of that name, or adds it behind the others.
  public mutating func set(_ property: DraftProperty) {
    if let index = properties.firstIndex(where: { $0.name == property.name }) {
      properties[index] = property
    } else {
      properties.append(property)
    }
  }

  public mutating func removeProperty(_ name: String) { properties.removeAll { $0.name == name } }

  public func childIndex(_ name: String) -> Int? { children.firstIndex { $0.name == name } }

  public func child(_ name: String) -> Draft? { childIndex(name).map { children[$0] } }

  public var phandle: UInt32? { property("phandle").flatMap { Property(bytes: $0.value).cell } }
}

public struct DraftProperty: Sendable {
  public var name: String
  public var value: [UInt8]
  /// Which of the value's cells are phandles.
  public var references: [Int] = []

  public init(_ name: String, value: [UInt8] = [], references: [Int] = []) {
    self.name = name
    self.value = value
    self.references = references
  }

  public init(_ name: String, cells: [UInt32], references: [Int] = []) {
    self.init(name, value: bigEndianBytes(cells), references: references)
  }

  public init(_ name: String, _ string: String, _ more: String...) {
    self.init(name, value: ([string] + more).reduce(into: []) { $0 += Array($1.utf8) + [0] })
  }
}

/// A number as one cell or two; of one beyond 32 bits, one cell has the lower ones.
func cells(of number: UInt64, count: Int) -> [UInt32] {
  let low = UInt32(truncatingIfNeeded: number)
  return count == 2 ? [UInt32(truncatingIfNeeded: number >> 32), low] : [low]
}

/// Cells as a property has them.
public func bigEndianBytes(_ cells: [UInt32]) -> [UInt8] {
  var bytes: [UInt8] = []
  bytes.reserveCapacity(cells.count * 4)
  for cell in cells { appendWord(cell, to: &bytes) }
  return bytes
}

extension Draft {
  /// A whole tree. What dtc adds for overlays (`__symbols__`, `__local_fixups__`) becomes labels and references.
  public init(_ tree: DeviceTree) {
    let references = References(tree)
    var labels = [[String]](repeating: [], count: tree.nodeCount)
    for symbol in tree.symbols { if let node = symbol.node { labels[node.place].append(symbol.name) } }
    self.init(tree.root, references, labels)
    children.removeAll { ["__symbols__", "__local_fixups__"].contains($0.name) }
  }

  private init(_ node: Node, _ references: References, _ labels: [[String]]) {
    self.init(node.name)
    self.labels = labels[node.place]
    for name in node.propertyNames { properties.append(DraftProperty(name, value: node.property(name)?.bytes ?? [])) }
    for reference in references.of(node) where reference.target != nil {
      if let index = properties.firstIndex(where: { $0.name == reference.property }) {
        properties[index].references.append(reference.cell)
      }
    }
    children = node.children.map { Draft($0, references, labels) }
  }
}

extension DeviceTree {
  /// A tree of what was drafted. Labels become `__symbols__`, as `dtc -@` does it.
  public convenience init(_ root: Draft) throws(DeviceTreeError) {
    var root = root
    var symbols = Draft("__symbols__")
    root.collectLabels(below: "", into: &symbols)
    if !symbols.properties.isEmpty { root.children.append(symbols) }
    var records = Records()
    try records.add(root, parent: -1, after: -1, depth: 1)
    self.init(records)
  }
}

extension Draft {
  fileprivate func collectLabels(below path: String, into symbols: inout Draft) {
    for label in labels { symbols.properties.append(DraftProperty(label, path.isEmpty ? "/" : path)) }
    for child in children { child.collectLabels(below: "\(path)/\(child.name)", into: &symbols) }
  }
}

extension Records {
  @discardableResult
  fileprivate mutating func add(_ draft: Draft, parent: Int32, after sibling: Int32, depth: Int) throws(DeviceTreeError)
    -> Int32
  {
    guard depth <= DeviceTree.maximumDepth else { throw .tooDeep(offset: bytes.count, path: "") }
    let node = addNode(name: append(Array(draft.name.utf8)), parent: parent, after: sibling)
    for property in draft.properties {
      let name = append(Array(property.name.utf8))
      properties.append(PropertyRecord(name: name, value: append(property.value)))
      nodes[Int(node)].propertyCount += 1
    }
    guard bytes.count <= DeviceTree.maximumSize else { throw .tooLarge }
    var last: Int32 = -1
    for child in draft.children { last = try add(child, parent: node, after: last, depth: depth + 1) }
    return node
  }

  private mutating func append(_ new: [UInt8]) -> Extent {
    let extent = Extent(start: Int32(bytes.count), count: Int32(new.count))
    bytes += new
    return extent
  }
}
