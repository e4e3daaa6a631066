import DeviceTree

/// A child of `/reserved-memory` (Devicetree Specification §3.5).
public struct ReservedMemory: Sendable {
  public let node: Node
  /// Where it is: its `reg` by physical addresses. Nil when Linux chooses the place, or it can't be told.
  public let ranges: [AddressRange]?
  /// How many bytes, of which alignment, Linux chooses a place for.
  public let size: UInt64?
  public let alignment: UInt64?
  /// Linux doesn't map it.
  public let isNoMap: Bool
  public let isReusable: Bool
}

extension DeviceTree {
  /// The nodes of main memory: those whose `device_type` is "memory" (Devicetree Specification §3.4), whatever their status.
  public var memoryNodes: [Node] {
    root.children.filter { $0.property("device_type")?.string == "memory" }
  }

  /// Main memory by physical addresses, in the order of the tree. Empty ranges, which firmware fills in, are left out.
  public var memory: [AddressRange] {
    memoryNodes.flatMap { $0.isOkay ? $0.physicalRanges ?? [] : [] }.filter { $0.size > 0 }
  }

  /// The children of `/reserved-memory`, whatever their status.
  public var reservedMemory: [ReservedMemory] {
    guard let parent = root.child("reserved-memory") else { return [] }
    return parent.children.map { node in
      ReservedMemory(
        node: node, ranges: node.physicalRanges, size: node.property("size")?.number,
        alignment: node.property("alignment")?.number,
        isNoMap: node.property("no-map") != nil, isReusable: node.property("reusable") != nil)
    }
  }
}

extension Property {
  /// The value as one number of one or two cells.
  public var number: UInt64? {
    guard let cells, !cells.isEmpty, cells.count <= 2 else { return nil }
    return cells[...].number
  }
}
