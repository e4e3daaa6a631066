import DeviceTree

/// Which node has which phandle.
///
/// Made once by whoever looks up many: `DeviceTree.node(phandle:)` looks at every node each time. 8 bytes for each phandle.
public struct PhandleTable: Sendable {
  public let tree: DeviceTree
  /// A phandle in the upper half, the index of its node in the lower one; ascending.
  private let entries: [UInt64]

  /// - Complexity: O(properties + phandles · log phandles).
  public init(_ tree: DeviceTree) {
    self.tree = tree
    var entries: [UInt64] = []
    for index in tree.nodes.indices {
      guard let phandle = Node(tree: tree, index: index).phandle, phandle != 0, phandle != .max else { continue }
      entries.append(UInt64(phandle) << 32 | UInt64(index))
    }
    entries.sort()
    self.entries = entries
  }

  /// The node; the first in the order of the tree, when several have the same phandle.
  ///
  /// - Complexity: O(log phandles).
  public subscript(phandle: UInt32) -> Node? {
    let wanted = UInt64(phandle) << 32
    var low = 0
    var high = entries.count
    while low < high {
      let middle = (low + high) / 2
      if entries[middle] < wanted { low = middle + 1 } else { high = middle }
    }
    guard low < entries.count, entries[low] >> 32 == wanted >> 32 else { return nil }
    return Node(tree: tree, index: Int(truncatingIfNeeded: entries[low] & 0xffff_ffff))
  }

  /// Nodes whose phandle another one before them has: nothing can refer to them.
  public var duplicates: [Node] {
    zip(entries, entries.dropFirst()).filter { $0 >> 32 == $1 >> 32 }.map {
      Node(tree: tree, index: Int(truncatingIfNeeded: $1 & 0xffff_ffff))
    }
  }
}
