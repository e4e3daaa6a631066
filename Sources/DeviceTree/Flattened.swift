import Linux

extension Records {
  /// The longest name: longer than the specification's 31 characters, since Linux doesn't mind.
  package static var maximumName: Int { 255 }

  init(blob: [UInt8]) throws(DeviceTreeError) {
    guard blob.count <= DeviceTree.maximumSize else { throw .tooLarge }
    bytes = blob
    // SAFETY: an array's own bytes, for as long as this parameter lives.
    let span = unsafe blob.span.bytes
    func header(_ offset: Int) -> UInt32? { blob.count >= offset + 4 ? word(span, at: offset) : nil }
    guard let magic = header(0), magic == 0xd00d_feed else { throw .notADeviceTree }
    guard
      let totalSize = header(4), let structure = header(8), let strings = header(12), let reservations = header(16),
      let version = header(20), let compatible = header(24), let bootCPU = header(28), let stringsSize = header(32)
    else { throw .truncated(offset: 0, path: "") }
    guard version >= 16, compatible <= 17 else { throw .unsupportedVersion(version) }
    guard totalSize <= UInt32(blob.count) else { throw .truncated(offset: 4, path: "") }
    guard structure <= totalSize, structure % 4 == 0 else { throw .truncated(offset: 8, path: "") }
    guard strings <= totalSize, stringsSize <= totalSize - strings else { throw .truncated(offset: 12, path: "") }
    guard reservations <= totalSize else { throw .truncated(offset: 16, path: "") }
    var end = Int(totalSize)
    if version >= 17 {
      guard let structureSize = header(36), structureSize <= totalSize - structure else {
        throw .truncated(offset: 36, path: "")
      }
      end = Int(structure) + Int(structureSize)
    }
    self.bootCPU = bootCPU
    let reservationsEnd = try readReservations(span, from: Int(reservations), end: Int(totalSize))
    let stringsEnd = Int(strings) + Int(stringsSize)
    var reader = StructureReader(
      end: end, stringsStart: Int(strings), stringsEnd: stringsEnd, offset: Int(structure))
    try reader.read(span, into: &self)
    if version < 17 { end = reader.offset }

    let blocks: [(start: Int, end: Int, field: Int)] = [
      (0, version >= 17 ? 40 : 36, 0), (Int(structure), end, 8), (Int(strings), stringsEnd, 12),
      (Int(reservations), reservationsEnd, 16),
    ]
    for (index, block) in blocks.enumerated() {
      for other in blocks[..<index] where max(block.start, other.start) < min(block.end, other.end) {
        throw .overlap(offset: block.field)
      }
    }
  }

  /// Returns where the block ends, behind the entry of size 0.
  private mutating func readReservations(_ span: RawSpan, from start: Int, end: Int) throws(DeviceTreeError) -> Int {
    var offset = start
    while true {
      guard end - offset >= 16 else { throw .truncated(offset: 16, path: "") }
      func number(_ offset: Int) -> UInt64 { UInt64(word(span, at: offset)) << 32 | UInt64(word(span, at: offset + 4)) }
      let range = AddressRange(address: number(offset), size: number(offset + 8))
      offset += 16
      if range.size == 0 { return offset }
      reservations.append(range)
    }
  }
}

/// Reads the structure block.
private struct StructureReader {
  /// Where the structure block ends at the latest, and the strings. All offsets are at most `DeviceTree.maximumSize` and a little.
  let end: Int
  let stringsStart: Int
  let stringsEnd: Int
  var offset: Int

  /// A node that is open.
  struct Open {
    var node: Int32
    var lastChild: Int32 = -1
    var children = 0
    /// A bit for each child's name: two children whose bits differ have different names.
    var marks: UInt64 = 0
  }

  /// So many names are compared with each other one by one, more are sorted first.
  static var few: Int { 16 }

  mutating func read(_ span: RawSpan, into records: inout Records) throws(DeviceTreeError) {
    // Locals: the compiler keeps them in registers.
    let end = self.end
    let stringsStart = self.stringsStart
    let stringsEnd = self.stringsEnd
    let stringsSize = UInt32(truncatingIfNeeded: stringsEnd - stringsStart)
    var offset = self.offset
    var nodes: [NodeRecord] = []
    var properties: [PropertyRecord] = []
    // What most trees need; growing costs a copy.
    nodes.reserveCapacity((end - offset) / 64)
    properties.reserveCapacity((end - offset) / 24)
    var open: [Open] = []
    open.reserveCapacity(DeviceTree.maximumDepth)
    var current = Open(node: -1)
    /// Of the current node: where its properties begin, and a bit for each one's name.
    var firstProperty = 0
    var marks: UInt64 = 0
    /// Nodes with so many children, or properties, that they are compared at the end.
    var crowded: [Int32] = []

    func path() -> String { nodePath(Int(current.node), nodes, records.bytes) }

    while true {
      guard end - offset >= 4 else { throw .truncated(offset: offset, path: path()) }
      let token = word(span, at: offset)
      let place = offset
      offset += 4
      switch token {
      case 3:  // FDT_PROP
        // Properties come before child nodes, so that they stand together.
        guard current.node >= 0, current.lastChild < 0 else { throw .badToken(token, offset: place, path: path()) }
        guard end - offset >= 8 else { throw .truncated(offset: offset, path: path()) }
        let count = word(span, at: offset)
        let nameOffset = word(span, at: offset + 4)
        offset += 8
        guard count <= UInt32(truncatingIfNeeded: end - offset) else { throw .truncated(offset: offset, path: path()) }
        guard nameOffset < stringsSize, let name = string(span, at: stringsStart + Int(nameOffset), end: stringsEnd) else {
          throw .badString(offset: offset - 4, path: path())
        }
        let size = properties.count - firstProperty
        if size < Self.few {
          let mark = name.mark
          if marks & mark != 0, properties[firstProperty...].contains(where: { same(span, $0.name, name.extent) }) {
            throw .duplicate(offset: place, path: path())
          }
          marks |= mark
        } else if size == Self.few {
          crowded.append(current.node)
        }
        properties.append(
          PropertyRecord(name: name.extent, value: Extent(start: Int32(offset), count: Int32(truncatingIfNeeded: count))))
        offset = (offset + Int(count) + 3) & ~3
      case 1:  // FDT_BEGIN_NODE
        guard open.count < DeviceTree.maximumDepth else { throw .tooDeep(offset: place, path: path()) }
        // One root only.
        guard current.node >= 0 || nodes.isEmpty else { throw .badToken(token, offset: place, path: path()) }
        guard let name = string(span, at: offset, end: end) else { throw .badString(offset: offset, path: path()) }
        let index = Int32(truncatingIfNeeded: nodes.count)
        if current.node >= 0 {
          if current.lastChild < 0 {
            nodes[Int(current.node)].propertyCount = Int32(truncatingIfNeeded: properties.count - firstProperty)
            nodes[Int(current.node)].firstChild = index
          } else {
            nodes[Int(current.lastChild)].nextSibling = index
          }
          if current.children < Self.few {
            if current.marks & name.mark != 0 {
              var sibling = nodes[Int(current.node)].firstChild
              while sibling >= 0, sibling != index {
                if same(span, nodes[Int(sibling)].name, name.extent) { throw .duplicate(offset: place, path: path()) }
                sibling = nodes[Int(sibling)].nextSibling
              }
            }
            current.marks |= name.mark
          } else if current.children == Self.few {
            crowded.append(current.node)
          }
          current.children += 1
          current.lastChild = index
          if open.count <= 2, isOverlay(span, name.extent, depth: open.count) { throw .overlay }
        }
        offset = (offset + Int(name.extent.count) + 4) & ~3
        nodes.append(
          NodeRecord(name: name.extent, parent: current.node, firstProperty: Int32(truncatingIfNeeded: properties.count)))
        open.append(current)
        current = Open(node: index)
        firstProperty = properties.count
        marks = 0
      case 2:  // FDT_END_NODE
        guard current.node >= 0, let parent = open.popLast() else { throw .badToken(token, offset: place, path: path()) }
        if current.lastChild < 0 {
          nodes[Int(current.node)].propertyCount = Int32(truncatingIfNeeded: properties.count - firstProperty)
        }
        current = parent
      case 4:  // FDT_NOP
        continue
      case 9:  // FDT_END
        guard current.node < 0, !nodes.isEmpty else { throw .badToken(token, offset: place, path: path()) }
        self.offset = offset
        records.nodes = nodes
        records.properties = properties
        for node in crowded { try compareNames(of: node, span, records) }
        return
      default:
        throw .badToken(token, offset: place, path: path())
      }
    }
  }

  /// Whether it is a node that overlays have, and whole trees don't.
  private func isOverlay(_ span: RawSpan, _ name: Extent, depth: Int) -> Bool {
    func has(_ text: StaticString) -> Bool {
      Int(name.count) == text.utf8CodeUnitCount
        && (0..<text.utf8CodeUnitCount).allSatisfy { index in
          // SAFETY: `index` is below the length of either.
          unsafe text.utf8Start[index] == byte(span, at: Int(name.start) + index)
        }
    }
    return depth == 1 && has("__fixups__") || depth == 2 && has("__overlay__")
  }

  /// Finds two properties, or two children, of a name, by sorting.
  private func compareNames(of node: Int32, _ span: RawSpan, _ records: Records) throws(DeviceTreeError) {
    let record = records.nodes[Int(node)]
    if record.propertyCount > Self.few {
      let properties = records.properties[Int(record.firstProperty)..<Int(record.firstProperty) + Int(record.propertyCount)]
      if let second = duplicate(span, properties.map { $0.name }) {
        let value = records.properties[Int(record.firstProperty) + second].value
        throw .duplicate(offset: Int(value.start) - 12, path: records.path(of: node))
      }
    }
    var names: [Extent] = []
    var child = record.firstChild
    while child >= 0 {
      names.append(records.nodes[Int(child)].name)
      child = records.nodes[Int(child)].nextSibling
    }
    if names.count > Self.few, let second = duplicate(span, names) {
      throw .duplicate(offset: Int(names[second].start) - 4, path: records.path(of: node))
    }
  }

  /// The place in `names` of one that another before it is equal to.
  private func duplicate(_ span: RawSpan, _ names: [Extent]) -> Int? {
    /// A hash in the upper half, the place in the lower one.
    var keys: [UInt64] = []
    keys.reserveCapacity(names.count)
    for (index, name) in names.enumerated() {
      var hash: UInt32 = 2_166_136_261
      for place in Int(name.start)..<Int(name.start) + Int(name.count) {
        hash = (hash ^ UInt32(byte(span, at: place))) &* 16_777_619
      }
      keys.append(UInt64(hash) << 32 | UInt64(UInt32(truncatingIfNeeded: index)))
    }
    func place(_ key: UInt64) -> Int { Int(truncatingIfNeeded: key & 0xffff_ffff) }
    /// By hash, then by bytes: not even somebody who makes hashes equal makes this quadratic.
    func isBefore(_ a: UInt64, _ b: UInt64) -> Bool {
      if a >> 32 != b >> 32 { return a < b }
      let order = compare(span, names[place(a)], names[place(b)])
      return order < 0 || order == 0 && a < b
    }
    keys.heapSort(by: isBefore)
    var index = 1
    while index < keys.count {
      if keys[index] >> 32 == keys[index - 1] >> 32, same(span, names[place(keys[index])], names[place(keys[index - 1])]) {
        return place(keys[index])
      }
      index += 1
    }
    return nil
  }
}

// ---- Bytes of a blob -----------------------------------------------------------------------------------------------

/// A big-endian word. The caller has seen that there are four bytes at `offset`.
@inline(__always)
private func word(_ span: RawSpan, at offset: Int) -> UInt32 {
  // SAFETY: the caller compared `offset` with the end of a block, which lies in the span.
  unsafe UInt32(bigEndian: span.unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt32.self))
}

/// The caller has seen that there is one.
@inline(__always)
private func byte(_ span: RawSpan, at offset: Int) -> UInt8 {
  // SAFETY: the caller compared `offset` with the end of a block, which lies in the span.
  unsafe span.unsafeLoad(fromUncheckedByteOffset: offset, as: UInt8.self)
}

/// A name that was found, and one bit of 64 that most other names don't have.
private struct FoundName {
  var extent: Extent
  var mark: UInt64
}

/// The name at `offset`, which is below `end`, up to its terminating 0; nil when there is none, when it is too long, or when a
/// byte of it isn't printable ASCII.
@inline(__always)
private func string(_ span: RawSpan, at offset: Int, end: Int) -> FoundName? {
  let limit = min(end - offset, Records.maximumName + 1)
  var place = 0
  var hash: UInt64 = 0
  while place < limit {
    var bytes: UInt64 = 0
    if limit - place >= 8 {
      // SAFETY: eight bytes are left up to `end`.
      bytes = unsafe UInt64(littleEndian: span.unsafeLoadUnaligned(fromUncheckedByteOffset: offset + place, as: UInt64.self))
    } else {
      for index in 0..<limit - place { bytes |= UInt64(byte(span, at: offset + place + index)) << UInt64(8 * index) }
      // What is behind the end is no terminating 0.
      bytes |= ~0 << UInt64(8 * (limit - place))
    }
    // The lowest bit that is set tells the first byte that is 0; those that are below 0x21 or above 0x7e.
    let zeros = (bytes &- 0x0101_0101_0101_0101) & ~bytes & 0x8080_8080_8080_8080
    let odd = (bytes | (bytes &- 0x2121_2121_2121_2121) | (bytes &+ 0x0101_0101_0101_0101)) & 0x8080_8080_8080_8080
    if zeros == 0 {
      if odd != 0 { return nil }
      hash = (hash ^ bytes) &* 0x9e37_79b9_7f4a_7c15
      place += 8
      continue
    }
    let bit = UInt64(zeros.trailingZeroBitCount) & ~7
    let mask = (1 as UInt64) << bit &- 1
    if odd & mask != 0 { return nil }
    hash = (hash ^ bytes & mask) &* 0x9e37_79b9_7f4a_7c15
    let extent = Extent(start: Int32(truncatingIfNeeded: offset), count: Int32(truncatingIfNeeded: place + Int(bit / 8)))
    return FoundName(extent: extent, mark: 1 << (hash >> 58))
  }
  return nil
}

/// Whether two names of the blob have the same bytes.
private func same(_ span: RawSpan, _ a: Extent, _ b: Extent) -> Bool {
  guard a.count == b.count else { return false }
  if a.start == b.start { return true }
  for index in 0..<Int(a.count) where byte(span, at: Int(a.start) + index) != byte(span, at: Int(b.start) + index) {
    return false
  }
  return true
}

/// Below 0 when `a` comes before `b`.
private func compare(_ span: RawSpan, _ a: Extent, _ b: Extent) -> Int {
  if a.start == b.start { return Int(a.count) - Int(b.count) }
  for index in 0..<Int(min(a.count, b.count)) {
    let difference = Int(byte(span, at: Int(a.start) + index)) - Int(byte(span, at: Int(b.start) + index))
    if difference != 0 { return difference }
  }
  return Int(a.count) - Int(b.count)
}

/// - Precondition: Four bytes there.
@inline(never)
package func bigEndianWord(_ bytes: [UInt8], at offset: Int) -> UInt32 {
  var word: UInt32 = 0
  for byte in bytes[offset..<offset + 4] { word = word << 8 | UInt32(byte) }
  return word
}
