import Linux
import Text

/// A device tree in memory: nodes and properties as the Devicetree Specification has them, and nothing about what they
/// mean to anybody.
///
/// It keeps the bytes that it was read from once, and small records that point into them, so that it takes memory in
/// proportion to its input.
public final class DeviceTree: Sendable {
  /// The largest blob, and the largest sum of property values of a directory, in bytes.
  public static var maximumSize: Int { 16 << 20 }
  /// The deepest nesting of nodes.
  public static var maximumDepth: Int { 64 }

  package let bytes: [UInt8]
  /// In the order of the tree, parents before their children; the root is first.
  package let nodes: [NodeRecord]
  package let properties: [PropertyRecord]
  /// Memory that a blob's reservation block says is taken. A directory has none.
  public let reservations: [AddressRange]
  /// The processor that a blob says the machine starts on. 0 for a directory.
  public let bootCPU: UInt32

  package init(_ records: Records) {
    bytes = records.bytes
    nodes = records.nodes
    properties = records.properties
    reservations = records.reservations
    bootCPU = records.bootCPU
  }

  /// Reads a flattened tree (Devicetree Specification, chapter 5), format version 16 or 17. An overlay is refused: what it says
  /// is only true together with its base.
  public convenience init(blob: [UInt8]) throws(DeviceTreeError) { self.init(try Records(blob: blob)) }

  /// Reads what Linux shows at /proc/device-tree: a directory for each node, a file for each property.
  ///
  /// The order of nodes and properties is that of their names, since the file system keeps none.
  public convenience init(directory: String) throws(DeviceTreeError) { self.init(try Records(directory: directory)) }

  /// Reads a blob (a regular file) or what Linux shows of a tree (a directory, as /proc/device-tree).
  public convenience init(path: String) throws(DeviceTreeError) {
    if fileKind(path) == .directory {
      try self.init(directory: path)
      return
    }
    let blob: [UInt8]
    do throws(Errno) {
      blob = try readFile(path, limit: Self.maximumSize, waits: false)
    } catch {
      throw error == .fileTooBig ? .tooLarge : .unreadable(error)
    }
    try self.init(blob: blob)
  }

  /// A tree has a root, whichever way it was read.
  public var root: Node { Node(tree: self, index: 0) }

  package func slice(_ extent: Extent) -> ArraySlice<UInt8> {
    bytes[Int(extent.start)..<Int(extent.start) + Int(extent.count)]
  }

  func has(_ extent: Extent, _ text: [UInt8]) -> Bool {
    slice(extent).elementsEqual(text)
  }
}

/// A tree that is being read, or made.
package struct Records {
  package var bytes: [UInt8] = []
  package var nodes: [NodeRecord] = []
  package var properties: [PropertyRecord] = []
  var reservations: [AddressRange] = []
  var bootCPU: UInt32 = 0

  package init() {}

  /// Adds a node behind its last sibling. Returns its index.
  package mutating func addNode(name: Extent, parent: Int32, after sibling: Int32) -> Int32 {
    let index = Int32(nodes.count)
    nodes.append(NodeRecord(name: name, parent: parent, firstProperty: Int32(properties.count)))
    if sibling >= 0 {
      nodes[Int(sibling)].nextSibling = index
    } else if parent >= 0 {
      nodes[Int(parent)].firstChild = index
    }
    return index
  }

  func path(of node: Int32) -> String { nodePath(Int(node), nodes, bytes) }
}

/// From the root: "/soc/serial@7e201000". A '/' within a name, which no node has, shows as '?'.
func nodePath(_ node: Int, _ nodes: [NodeRecord], _ bytes: [UInt8]) -> String {
  var names: [Extent] = []
  var node = node
  // Parents come before their children, so that this ends.
  while node >= 0, nodes[node].parent >= 0 {
    names.append(nodes[node].name)
    node = Int(nodes[node].parent)
  }
  if names.isEmpty { return "/" }
  var path: [UInt8] = []
  for name in names.reversed() {
    path.append(0x2f)
    for byte in bytes[Int(name.start)..<Int(name.start) + Int(name.count)] {
      path.append(byte != 0x2f ? byte : 0x3f)
    }
  }
  return String(decoding: path, as: UTF8.self)
}

/// Some of a tree's bytes.
package struct Extent: Sendable {
  package var start: Int32
  package var count: Int32

  package init(start: Int32, count: Int32) {
    self.start = start
    self.count = count
  }
}

package struct NodeRecord: Sendable {
  package var name: Extent
  package var parent: Int32
  package var firstChild: Int32 = -1
  package var nextSibling: Int32 = -1
  package var firstProperty: Int32
  package var propertyCount: Int32 = 0
}

package struct PropertyRecord: Sendable {
  package var name: Extent
  package var value: Extent

  package init(name: Extent, value: Extent) {
    self.name = name
    self.value = value
  }
}

/// Why bytes are no device tree. `text` is a clause for behind the file's name.
///
/// Offsets are those in a blob, nil in a directory. Paths are those of the innermost node that is known, empty in the header.
public indirect enum DeviceTreeError: Error, Equatable, Sendable {
  case unreadable(Errno)
  /// More than `DeviceTree.maximumSize`.
  case tooLarge
  /// No 0xd00dfeed at the start.
  case notADeviceTree
  /// Neither 17 nor compatible with 16.
  case unsupportedVersion(UInt32)
  /// What changes another tree, and is none itself.
  case overlay
  /// Something reaches beyond the end, or beyond the size that the header states.
  case truncated(offset: Int, path: String)
  /// Two blocks of the blob lie over each other.
  case overlap(offset: Int)
  /// A token that is none, or not here.
  case badToken(UInt32, offset: Int, path: String)
  /// A name that is not terminated, too long, not printable ASCII, or outside the strings block.
  case badString(offset: Int?, path: String)
  /// A property or a child of a node that has another one of that name.
  case duplicate(offset: Int, path: String)
  /// Nodes nested beyond `DeviceTree.maximumDepth`.
  case tooDeep(offset: Int?, path: String)

  public var text: String {
    func inside(_ path: String) -> String { path.utf8.isEmpty ? "" : " in \(path)" }
    func at(_ offset: Int?) -> String {
      guard let offset else { return "" }
      return " at offset \(hexadecimal(offset))"
    }
    return switch self {
    case .unreadable(let errno): "cannot be read: \(errno.text)"
    case .tooLarge: "is larger than \(DeviceTree.maximumSize >> 20) MiB, which no device tree is"
    case .notADeviceTree: "is not a flattened device tree (no 0xd00dfeed at its start); compile it with dtc"
    case .unsupportedVersion(let version): "has format version \(version); versions 16 and 17 can be read"
    case .overlay:
      "is an overlay, not a whole tree: apply it to its base with fdtoverlay (-i BASE.dtb -o WHOLE.dtb OVERLAY.dtbo) and give what comes out"
    case .truncated(let offset, let path):
      "is truncated\(inside(path)): what offset \(hexadecimal(offset)) refers to is missing"
    case .overlap(let offset): "is damaged: the block that offset \(hexadecimal(offset)) names lies over another one"
    case .badToken(let token, let offset, let path): "is damaged\(inside(path)): unexpected token \(token)\(at(offset))"
    case .badString(let offset, let path):
      "is damaged\(inside(path)): the name\(at(offset)) is outside its block, not terminated, too long or not printable"
    case .duplicate(let offset, let path): "is damaged\(inside(path)): a second property or node of the same name\(at(offset))"
    case .tooDeep(let offset, let path):
      "is damaged\(inside(path)): nodes nested deeper than \(DeviceTree.maximumDepth)\(at(offset))"
    }
  }
}
