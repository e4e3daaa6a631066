import DeviceTree

/// Format versions of a flattened tree that can be read and written.
public enum FlattenedVersion: UInt32, Sendable {
  /// Without the structure block's size.
  case v16 = 16
  case v17 = 17
}

extension DeviceTree {
  /// The tree as a blob: nodes and properties in their order, the reservations, the boot processor.
  ///
  /// - Throws: `tooLarge` when it would have more than `maximumSize` bytes, which could not be read again.
  public func blob(version: FlattenedVersion = .v17) throws(DeviceTreeError) -> [UInt8] {
    var writer = FlattenedWriter(names: bytes)
    var index = 0
    while true {
      let record = nodes[index]
      writer.beginNode(slice(record.name))
      for property in Node(tree: self, index: index).records { writer.property(property.name, slice(property.value)) }
      if record.firstChild >= 0 {
        index = Int(record.firstChild)
        continue
      }
      writer.endNode()
      // Parents come before their children, so that this ends.
      while index > 0, nodes[index].nextSibling < 0 {
        index = Int(nodes[index].parent)
        writer.endNode()
      }
      if index == 0 { break }
      index = Int(nodes[index].nextSibling)
    }
    return try writer.finish(version: version, reservations: reservations, bootCPU: bootCPU)
  }
}

/// Writes a flattened tree (Devicetree Specification, chapter 5): node by node, each with its properties before its children.
///
/// Names of properties are kept once, and once for all that they are the end of.
public struct FlattenedWriter {
  private var structure: [UInt8] = []
  /// Holds the names, and maybe more.
  private var names: [UInt8]
  /// Names of properties, and where in the structure their offset belongs.
  private var used: [(name: Extent, place: Int32)] = []
  private var depth = 0
  private var isTooLarge = false
  private var isTooDeep = false
  /// A name that no reader takes was given.
  private var hasBadName = false

  public init() { self.init(names: []) }

  init(names: [UInt8]) { self.names = names }

  /// The root first, whose name is empty; every other node within another.
  public mutating func beginNode(_ name: String) {
    let bytes = Array(name.utf8)
    beginNode(bytes[...])
  }

  mutating func beginNode(_ name: ArraySlice<UInt8>) {
    precondition(depth > 0 || structure.isEmpty, "a tree has one root")
    checkName(name)
    depth += 1
    if depth > DeviceTree.maximumDepth { isTooDeep = true }
    add(1)
    add(name)
    structure.append(0)
    pad()
  }

  public mutating func endNode() {
    precondition(depth > 0, "a node that ends was begun")
    depth -= 1
    add(2)
  }

  /// A property of the node that was begun last, which has no child yet.
  public mutating func property(_ name: String, _ value: [UInt8]) {
    let bytes = Array(name.utf8)
    checkName(bytes[...])
    guard names.count + bytes.count <= 4 * DeviceTree.maximumSize else {
      isTooLarge = true
      return
    }
    let start = Int32(names.count)
    names += bytes
    property(Extent(start: start, count: Int32(bytes.count)), value[...])
  }

  /// - Parameter name: Lies in `names`.
  mutating func property(_ name: Extent, _ value: ArraySlice<UInt8>) {
    precondition(depth > 0, "a property is one of a node")
    guard structure.count + value.count <= DeviceTree.maximumSize else {
      isTooLarge = true
      return
    }
    add(3)
    add(UInt32(value.count))
    used.append((name, Int32(structure.count)))
    add(0)
    add(value)
    pad()
  }

  /// - Throws: What nobody could read: `tooLarge`, beyond `DeviceTree.maximumSize`; `badString`, a name of more than 255 bytes or
  ///   with one that isn't printable ASCII; `tooDeep`.
  public consuming func finish(
    version: FlattenedVersion = .v17, reservations: [AddressRange] = [], bootCPU: UInt32 = 0
  ) throws(DeviceTreeError) -> [UInt8] {
    precondition(depth == 0 && !structure.isEmpty, "every node that was begun has ended")
    if isTooDeep { throw .tooDeep(offset: nil, path: "") }
    if hasBadName { throw .badString(offset: nil, path: "") }
    if isTooLarge { throw .tooLarge }
    add(9)
    let strings = shareNames()
    let header = 40  // The reservations are aligned to 8; version 16's header has 36 bytes.
    let structureStart = header + 16 * (reservations.count + 1)
    let stringsStart = structureStart + structure.count
    let total = stringsStart + strings.count
    guard total <= DeviceTree.maximumSize else { throw .tooLarge }

    var blob: [UInt8] = []
    blob.reserveCapacity(total)
    for word in [
      0xd00d_feed, UInt32(total), UInt32(structureStart), UInt32(stringsStart), UInt32(header), version.rawValue, 16, bootCPU,
      UInt32(strings.count), version == .v17 ? UInt32(structure.count) : 0,
    ] {
      appendWord(word, to: &blob)
    }
    for range in reservations + [AddressRange(address: 0, size: 0)] {
      for word in cells(of: range.address, count: 2) + cells(of: range.size, count: 2) { appendWord(word, to: &blob) }
    }
    blob += structure
    blob += strings
    return blob
  }

  /// Writes the names' offsets into the structure. Returns the strings block.
  private mutating func shareNames() -> [UInt8] {
    // Names that stand at one place first: that is cheap, and what is left are few.
    used.sort { $0.name.start < $1.name.start }
    /// The indices in `used` where another name begins.
    var distinct: [Int32] = []
    for index in used.indices where index == 0 || used[index].name.start != used[index - 1].name.start {
      distinct.append(Int32(index))
    }
    // By their last bytes: a name comes just before the ones that end with it.
    distinct.sort { comesBefore(used[Int($0)].name, used[Int($1)].name) }
    var strings: [UInt8] = []
    var last: (name: Extent, offset: Int)?
    for index in distinct.reversed() {
      let name = used[Int(index)].name
      let offset: Int
      if let last, last.name.count >= name.count, bytes(name).elementsEqual(bytes(last.name).suffix(Int(name.count))) {
        offset = last.offset + Int(last.name.count - name.count)
      } else {
        offset = strings.count
        strings += bytes(name)
        strings.append(0)
      }
      last = (name, offset)
      var same = Int(index)
      while same < used.count, used[same].name.start == name.start {
        let place = Int(used[same].place)
        for byte in 0..<4 { structure[place + byte] = UInt8(truncatingIfNeeded: offset >> (24 - 8 * byte)) }
        same += 1
      }
    }
    return strings
  }

  private func bytes(_ name: Extent) -> ArraySlice<UInt8> { names[Int(name.start)..<Int(name.start) + Int(name.count)] }

  /// The order of names that are read from their ends.
  private func comesBefore(_ a: Extent, _ b: Extent) -> Bool {
    bytes(a).reversed().lexicographicallyPrecedes(bytes(b).reversed())
  }

  private mutating func add(_ word: UInt32) { appendWord(word, to: &structure) }

  private mutating func add(_ bytes: ArraySlice<UInt8>) {
    guard structure.count + bytes.count <= DeviceTree.maximumSize else {
      isTooLarge = true
      return
    }
    structure += bytes
  }

  private mutating func checkName(_ name: ArraySlice<UInt8>) {
    if name.count > Records.maximumName || !name.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) { hasBadName = true }
  }

  private mutating func pad() { while structure.count % 4 != 0 { structure.append(0) } }
}

func appendWord(_ word: UInt32, to bytes: inout [UInt8]) {
  for shift in [24, 16, 8, 0] as [UInt32] { bytes.append(UInt8(truncatingIfNeeded: word >> shift)) }
}
