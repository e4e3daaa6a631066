import Text

/// A node of a tree.
public struct Node: Sendable {
  public let tree: DeviceTree
  /// Its place among the nodes of its tree, from 0 on, in no order but that parents come before their children.
  public let index: Int

  package init(tree: DeviceTree, index: Int) {
    self.tree = tree
    self.index = index
  }

  private var record: NodeRecord { tree.nodes[index] }

  /// With its unit address: "serial@7e201000". Empty for the root.
  @inline(never)
  public var name: String { String(decoding: tree.slice(record.name), as: UTF8.self) }

  /// From the root: "/soc/serial@7e201000". A '/' within a name, which no node has, shows as '?'.
  @inline(never)
  public var path: String { nodePath(index, tree.nodes, tree.bytes) }

  public var parent: Node? { record.parent < 0 ? nil : Node(tree: tree, index: Int(record.parent)) }

  public var children: [Node] {
    var children: [Node] = []
    var child = record.firstChild
    while child >= 0 {
      children.append(Node(tree: tree, index: Int(child)))
      child = tree.nodes[Int(child)].nextSibling
    }
    return children
  }

  @inline(never)
  public func child(_ name: String) -> Node? {
    let wanted = Array(name.utf8)
    return children.first { $0.hasName(wanted) }
  }

  func hasName(_ wanted: [UInt8]) -> Bool { tree.has(record.name, wanted) }

  public var propertyNames: [String] { records.map { String(decoding: tree.slice($0.name), as: UTF8.self) } }

  package var records: ArraySlice<PropertyRecord> {
    tree.properties[Int(record.firstProperty)..<Int(record.firstProperty) + Int(record.propertyCount)]
  }

  /// All of them, in the order of the tree. One after another is faster than by name, where there are many.
  public var properties: [(name: String, value: Property)] {
    records.map { (String(decoding: tree.slice($0.name), as: UTF8.self), Property(bytes: Array(tree.slice($0.value)))) }
  }

  // Out of line, as the like of it: each is asked for at dozens of places, which a guest's program has to carry.
  @inline(never)
  public func property(_ name: String) -> Property? {
    let wanted = Array(name.utf8)
    guard let found = records.first(where: { tree.has($0.name, wanted) }) else { return nil }
    return Property(bytes: Array(tree.slice(found.value)))
  }

  public func isCompatible(with name: String) -> Bool {
    property("compatible")?.strings?.contains { sameText($0, name) } ?? false
  }

  /// Whether it and every bus that it is on are okay: Linux looks no further below one that isn't.
  public var isReachable: Bool {
    var node: Node? = self
    while let current = node {
      if !current.isOkay { return false }
      node = current.parent
    }
    return true
  }

  /// Whether this guest may use it: no `status`, or "okay" (Devicetree Specification §2.3.4).
  @inline(never)
  public var isOkay: Bool {
    guard let status = property("status") else { return true }
    guard let text = status.string else { return false }
    return sameText(text, "okay") || sameText(text, "ok")
  }

  public var phandle: UInt32? { (property("phandle") ?? property("linux,phandle"))?.cell }
}

/// A property's value.
public struct Property: Sendable {
  public let bytes: [UInt8]

  public init(bytes: [UInt8]) { self.bytes = bytes }

  /// The value as big-endian 32-bit cells; nil when it isn't a whole number of them.
  public var cells: [UInt32]? {
    guard bytes.count % 4 == 0 else { return nil }
    return stride(from: 0, to: bytes.count, by: 4).map { bigEndianWord(bytes, at: $0) }
  }

  /// The value as one cell.
  @inline(never)
  public var cell: UInt32? {
    guard let cells, cells.count == 1 else { return nil }
    return cells[0]
  }

  /// The value as strings, each ended by a 0; nil when the last one isn't, or a byte isn't printable ASCII.
  public var strings: [String]? {
    guard bytes.last == 0 else { return nil }
    guard bytes.allSatisfy({ $0 == 0 || $0 >= 0x20 && $0 < 0x7f }) else { return nil }
    var strings: [String] = []
    // As many as there are: growing would take twice as much.
    strings.reserveCapacity(bytes.reduce(0) { $1 == 0 ? $0 + 1 : $0 })
    var start = 0
    for place in bytes.indices where bytes[place] == 0 {
      strings.append(String(decoding: bytes[start..<place], as: UTF8.self))
      start = place + 1
    }
    return strings
  }

  /// The value as one string.
  @inline(never)
  public var string: String? {
    guard let strings, strings.count == 1 else { return nil }
    return strings[0]
  }
}

extension DeviceTree {
  /// The node at a path from the root, or below an alias: "/soc/serial@7e201000", "uart2", "uart2/child".
  public func node(at path: String) -> Node? {
    var parts = path.parts(separatedBy: 0x2f)
    var node = root
    if !path.hasBytePrefix("/") {
      guard let target = root.child("aliases")?.property(parts[0])?.string, target.hasBytePrefix("/"),
        let found = self.node(at: target)
      else { return nil }
      node = found
      parts.removeFirst()
    }
    for part in parts where !part.utf8.isEmpty {
      guard let child = node.child(part) else { return nil }
      node = child
    }
    return node
  }

  public func node(phandle: UInt32) -> Node? {
    guard phandle != 0, phandle != .max else { return nil }
    return nodes.indices.lazy.map { Node(tree: self, index: $0) }.first { $0.phandle == phandle }
  }
}

extension DeviceTree {
  public var nodeCount: Int { nodes.count }

  /// - Precondition: `place` is in `0..<nodeCount`.
  public func node(place: Int) -> Node { Node(tree: self, index: place) }
}

extension Node {
  /// Where it stands in the order of the tree: the root's place is 0, and each node's is behind its parent's.
  public var place: Int { index }
}
