extension Records {
  /// The longest name: longer than the specification's 31 characters, since Linux doesn't mind.
  package static var maximumName: Int { 255 }

  init(blob: [UInt8]) throws(DeviceTreeError) {
    guard blob.count <= DeviceTree.maximumSize else { throw .tooLarge }
    bytes = blob
    func header(_ offset: Int) -> UInt32? { blob.count >= offset + 4 ? bigEndianWord(blob, at: offset) : nil }
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
    let reservationsEnd = try readReservations(from: Int(reservations), end: Int(totalSize))
    let stringsBlock = Int(strings)..<Int(strings) + Int(stringsSize)
    let structureEnd = try readStructure(Int(structure)..<end, strings: stringsBlock)
    try checkNames()

    let blocks: [(start: Int, end: Int, field: Int)] = [
      (0, version >= 17 ? 40 : 36, 0), (Int(structure), version >= 17 ? end : structureEnd, 8),
      (stringsBlock.lowerBound, stringsBlock.upperBound, 12), (Int(reservations), reservationsEnd, 16),
    ]
    for (index, block) in blocks.enumerated() {
      for other in blocks[..<index] where max(block.start, other.start) < min(block.end, other.end) {
        throw .overlap(offset: block.field)
      }
    }
  }

  /// Returns where the block ends, behind the entry of size 0.
  private mutating func readReservations(from start: Int, end: Int) throws(DeviceTreeError) -> Int {
    var offset = start
    while true {
      guard end - offset >= 16 else { throw .truncated(offset: 16, path: "") }
      let words = (0..<4).map { UInt64(word(offset + 4 * $0)) }
      let range = AddressRange(address: words[0] << 32 | words[1], size: words[2] << 32 | words[3])
      offset += 16
      if range.size == 0 { return offset }
      reservations.append(range)
    }
  }

  /// Reads nodes and properties. Returns where the structure ends, behind its last token.
  private mutating func readStructure(_ block: Range<Int>, strings: Range<Int>) throws(DeviceTreeError) -> Int {
    let nameLengths = nameLengths(strings)
    // What most trees need; growing costs a copy.
    nodes.reserveCapacity(block.count / 64)
    properties.reserveCapacity(block.count / 24)
    let end = block.upperBound
    var offset = block.lowerBound
    var depth = 0
    /// The node that is open, -1 outside of the root, and the last of its children so far, -1 for none.
    var node: Int32 = -1
    var lastChild: Int32 = -1
    while true {
      let place = offset
      guard end - offset >= 4 else { throw .truncated(offset: offset, path: path(of: node)) }
      let token = word(offset)
      offset += 4
      switch token {
      case 1:  // FDT_BEGIN_NODE: a name
        guard depth < DeviceTree.maximumDepth else { throw .tooDeep(offset: place, path: path(of: node)) }
        // One root only.
        guard node >= 0 || nodes.isEmpty else { throw .badToken(token, offset: place, path: path(of: node)) }
        guard let length = nameLength(at: offset, before: end) else { throw .badString(offset: offset, path: path(of: node)) }
        let name = Extent(start: Int32(offset), count: Int32(length))
        if isOverlay(name, depth: depth) { throw .overlay }
        node = addNode(name: name, parent: node, after: lastChild)
        lastChild = -1
        depth += 1
        offset = (offset + length + 1 + 3) & ~3
      case 2:  // FDT_END_NODE
        guard node >= 0 else { throw .badToken(token, offset: place, path: path(of: node)) }
        lastChild = node
        node = nodes[Int(node)].parent
        depth -= 1
      case 3:  // FDT_PROP: the value's size, the name's offset in the strings, the value
        // Properties come before child nodes, so that they stand together.
        guard node >= 0, lastChild < 0 else { throw .badToken(token, offset: place, path: path(of: node)) }
        guard end - offset >= 8 else { throw .truncated(offset: offset, path: path(of: node)) }
        let size = Int(clamping: word(offset))
        let nameOffset = Int(clamping: word(offset + 4))
        offset += 8
        guard size <= end - offset else { throw .truncated(offset: offset, path: path(of: node)) }
        guard nameOffset < nameLengths.count, nameLengths[nameOffset] >= 0 else {
          throw .badString(offset: offset - 4, path: path(of: node))
        }
        properties.append(
          PropertyRecord(
            name: Extent(start: Int32(strings.lowerBound + nameOffset), count: Int32(nameLengths[nameOffset])),
            value: Extent(start: Int32(offset), count: Int32(size))))
        nodes[Int(node)].propertyCount += 1
        offset = (offset + size + 3) & ~3
      case 4:  // FDT_NOP
        continue
      case 9:  // FDT_END
        guard node < 0, !nodes.isEmpty else { throw .badToken(token, offset: place, path: path(of: node)) }
        return offset
      default:
        throw .badToken(token, offset: place, path: path(of: node))
      }
    }
  }

  /// Whether it is the name of a node that overlays have, and whole trees don't.
  private func isOverlay(_ name: Extent, depth: Int) -> Bool {
    func isCalled(_ text: String) -> Bool {
      bytes[Int(name.start)..<Int(name.start) + Int(name.count)].elementsEqual(text.utf8)
    }
    return depth == 1 && isCalled("__fixups__") || depth == 2 && isCalled("__overlay__")
  }

  // MARK: Names

  /// How long the name at `offset` is, without its terminating 0; nil when there is none before `end`, when it is too long, or when
  /// a byte of it isn't printable ASCII.
  private func nameLength(at offset: Int, before end: Int) -> Int? {
    for place in offset..<max(offset, min(end, offset + Self.maximumName + 1)) {
      let byte = bytes[place]
      if byte == 0 { return place - offset }
      if byte <= 0x20 || byte >= 0x7f { return nil }
    }
    return nil
  }

  /// The same for every place in the strings block at once, -1 for none: each name is that of many properties.
  private func nameLengths(_ strings: Range<Int>) -> [Int16] {
    var lengths = [Int16](repeating: -1, count: strings.count)
    // That of the place behind.
    var length: Int16 = -1
    for place in strings.reversed() {
      let byte = bytes[place]
      if byte == 0 {
        length = 0
      } else if length >= 0, length < Self.maximumName, byte > 0x20, byte < 0x7f {
        length += 1
      } else {
        length = -1
      }
      lengths[place - strings.lowerBound] = length
    }
    return lengths
  }

  /// Refuses two properties, or two children, of a name.
  private func checkNames() throws(DeviceTreeError) {
    var names: [Extent] = []
    for index in nodes.indices {
      let node = nodes[index]
      let first = Int(node.firstProperty)
      names.removeAll(keepingCapacity: true)
      for place in first..<first + Int(node.propertyCount) { names.append(properties[place].name) }
      if let second = duplicate(in: names) {
        // The token, the size and the name's offset stand before the value.
        throw .duplicate(offset: Int(properties[first + second].value.start) - 12, path: path(of: Int32(index)))
      }
      names.removeAll(keepingCapacity: true)
      var child = node.firstChild
      while child >= 0 {
        names.append(nodes[Int(child)].name)
        child = nodes[Int(child)].nextSibling
      }
      if let second = duplicate(in: names) {
        throw .duplicate(offset: Int(names[second].start) - 4, path: path(of: Int32(index)))
      }
    }
  }

  /// The place in `names` of one that another before it is equal to.
  private func duplicate(in names: [Extent]) -> Int? {
    // Few are compared with each other, more are sorted first.
    guard names.count > 16 else {
      return names.indices.first { second in (0..<second).contains { isSame(names[$0], names[second]) } }
    }
    var order = Array(names.indices)
    order.sort { a, b in
      let (x, y) = (names[a], names[b])
      // Names that share their bytes differ in length, so that a comparison of bytes is paid for with bytes of the blob.
      if x.count != y.count { return x.count < y.count }
      return isSame(x, y) ? a < b : slice(x).lexicographicallyPrecedes(slice(y))
    }
    return zip(order, order.dropFirst()).first { isSame(names[$0], names[$1]) }?.1
  }

  private func isSame(_ a: Extent, _ b: Extent) -> Bool {
    a.count == b.count && (a.start == b.start || slice(a).elementsEqual(slice(b)))
  }

  private func slice(_ extent: Extent) -> ArraySlice<UInt8> {
    bytes[Int(extent.start)..<Int(extent.start) + Int(extent.count)]
  }

  // MARK: Words

  /// The big-endian word at `offset`. The caller has seen that it lies in the blob.
  private func word(_ offset: Int) -> UInt32 {
    // SAFETY: any four bytes are a number, and this looks whether they are there.
    unsafe UInt32(bigEndian: bytes.span.bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }
}

/// - Precondition: Four bytes there.
@inline(never)
package func bigEndianWord(_ bytes: [UInt8], at offset: Int) -> UInt32 {
  var word: UInt32 = 0
  for byte in bytes[offset..<offset + 4] { word = word << 8 | UInt32(byte) }
  return word
}
