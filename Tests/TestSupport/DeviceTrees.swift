import DeviceTree

/// A node to be written as a blob, or compared with one that was read.
public struct Model: Equatable, Sendable {
  public var name: String
  public var properties: [Pair] = []
  public var children: [Model] = []

  public struct Pair: Equatable, Sendable {
    public var name: String
    public var value: [UInt8]

    public init(name: String, value: [UInt8]) {
      self.name = name
      self.value = value
    }
  }

  public init(_ name: String, _ properties: [(String, [UInt8])] = [], _ children: [Model] = []) {
    self.name = name
    self.properties = properties.map { Pair(name: $0.0, value: $0.1) }
    self.children = children
  }

  /// Everything that a tree says.
  public init(_ node: Node) {
    name = node.name
    properties = node.propertyNames.map { Pair(name: $0, value: node.property($0)?.bytes ?? []) }
    children = node.children.map { Model($0) }
  }

  /// In the order of names, as a directory has it.
  public var sorted: Model {
    var copy = self
    copy.properties.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    copy.children = children.map { $0.sorted }.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    return copy
  }
}

/// Writes flattened trees (Devicetree Specification, chapter 5), also ones that are wrong.
public struct BlobWriter {
  public var structure: [UInt8] = []
  public var strings: [UInt8] = []
  public var version: UInt32 = 17
  public var compatible: UInt32 = 16

  public init() {}

  public static func bytes(_ words: UInt32...) -> [UInt8] {
    words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (24 - 8 * $0)) } }
  }

  public mutating func token(_ words: UInt32...) { for word in words { structure += Self.bytes(word) } }

  public mutating func pad() { while structure.count % 4 != 0 { structure.append(0) } }

  public mutating func begin(_ name: String) {
    token(1)
    structure += Array(name.utf8) + [0]
    pad()
  }

  public mutating func property(_ name: String, _ value: [UInt8]) {
    token(3, UInt32(value.count), UInt32(strings.count))
    strings += Array(name.utf8) + [0]
    structure += value
    pad()
  }

  public mutating func add(_ node: Model) {
    begin(node.name)
    for pair in node.properties { property(pair.name, pair.value) }
    for child in node.children { add(child) }
    token(2)
  }

  /// Header, empty reservation block, structure, strings.
  public var blob: [UInt8] {
    let header = 40
    let structureStart = header + 16
    let stringsStart = structureStart + structure.count
    let total = stringsStart + strings.count
    return Self.bytes(
      0xd00d_feed, UInt32(total), UInt32(structureStart), UInt32(stringsStart), UInt32(header), version, compatible, 0,
      UInt32(strings.count), UInt32(structure.count)) + [UInt8](repeating: 0, count: 16) + structure + strings
  }

  public static func blob(_ root: Model) -> [UInt8] {
    var writer = BlobWriter()
    writer.add(root)
    writer.token(9)
    return writer.blob
  }
}

public func cells(_ words: UInt32...) -> [UInt8] { words.flatMap { BlobWriter.bytes($0) } }
public func text(_ strings: String...) -> [UInt8] { strings.flatMap { Array($0.utf8) + [0] } }

/// A small board.
public let board = Model(
  "", [("#address-cells", cells(1)), ("#size-cells", cells(1)), ("model", text("a board")), ("empty", [])],
  [
    Model("aliases", [("serial0", text("/soc/serial@1000")), ("bad", text("serial0"))]),
    Model(
      "soc", [("#address-cells", cells(1)), ("#size-cells", cells(1)), ("ranges", cells(0, 0x4000_0000, 0x10000))],
      [
        Model("serial@1000", [("reg", cells(0x1000, 0x100)), ("phandle", cells(7)), ("compatible", text("a,b", "c,d"))]),
        Model("serial@2000", [("reg", cells(0x2000, 0x100)), ("status", text("reserved"))]),
      ]),
  ])
