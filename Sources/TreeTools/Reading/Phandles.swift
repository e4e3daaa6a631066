import DeviceTree

/// Which node has which phandle.
///
/// Made once by whoever looks up many: `DeviceTree.node(phandle:)` looks at every node each time.
public struct PhandleTable: Sendable {
  public let tree: DeviceTree
  private var indices: [UInt32: Int] = [:]
  /// Nodes whose phandle another one before them has: nothing can refer to them.
  public private(set) var duplicates: [Node] = []

  public init(_ tree: DeviceTree) {
    self.tree = tree
    for index in tree.nodes.indices {
      let node = Node(tree: tree, index: index)
      guard let phandle = node.phandle, phandle != 0, phandle != .max else { continue }
      if indices[phandle] == nil { indices[phandle] = index } else { duplicates.append(node) }
    }
  }

  /// The node; the first in the order of the tree, when several have the same phandle.
  public subscript(phandle: UInt32) -> Node? { indices[phandle].map { Node(tree: tree, index: $0) } }
}
