import DeviceTree

/// A name for a node: an alias, or a source's label.
public struct NodeLabel: Sendable {
  public let name: String
  /// What the property says: a path from the root, for an alias also below another alias. Empty when it is no string.
  public let path: String
  /// Nil when there is no node at that path.
  public let node: Node?
}

extension DeviceTree {
  /// `/aliases` (Devicetree Specification §3.3).
  public var aliases: [NodeLabel] { labels("aliases") }

  /// The labels of the source, which dtc keeps when it is called with -@.
  public var symbols: [NodeLabel] { labels("__symbols__") }

  private func labels(_ name: String) -> [NodeLabel] {
    guard let node = root.child(name) else { return [] }
    var labels: [NodeLabel] = []
    for property in node.propertyNames where property != "phandle" && property != "name" {
      let path = node.property(property)?.string ?? ""
      labels.append(NodeLabel(name: property, path: path, node: path.isEmpty ? nil : self.node(at: path)))
    }
    return labels
  }

  /// Where `/chosen` says that the console is (Devicetree Specification §3.6): what is behind ':' are options.
  ///
  /// - Returns: Nil without such a property; else what it says, and the node, if there is one.
  public var standardOutput: NodeLabel? { consolePath("stdout-path") }
  public var standardInput: NodeLabel? { consolePath("stdin-path") }

  private func consolePath(_ name: String) -> NodeLabel? {
    guard let property = root.child("chosen")?.property(name) else { return nil }
    let path = property.string?.before(":") ?? ""
    return NodeLabel(name: name, path: path, node: path.isEmpty ? nil : node(at: path))
  }
}
