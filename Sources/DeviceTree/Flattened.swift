import Linux

extension Records {
  init(blob: [UInt8]) throws(DeviceTreeError) {
    guard blob.count <= DeviceTree.maximumSize else { throw .tooLarge }
    let header = BlobReader(bytes: blob, end: blob.count)
    guard let magic = header.word(at: 0), magic == 0xd00d_feed else { throw .notADeviceTree }
    guard
      let totalSize = header.word(at: 4), let structure = header.word(at: 8), let strings = header.word(at: 12),
      let version = header.word(at: 20), let compatible = header.word(at: 24), let stringsSize = header.word(at: 32)
    else { throw .truncated(offset: 0) }
    guard version >= 16, compatible <= 17 else { throw .unsupportedVersion(version) }
    guard totalSize <= UInt32(blob.count) else { throw .truncated(offset: 4) }
    let size = Int(totalSize)
    guard structure <= totalSize, structure % 4 == 0 else { throw .truncated(offset: 8) }
    guard strings <= totalSize, stringsSize <= totalSize - strings else { throw .truncated(offset: 12) }
    var end = size
    if version >= 17 {
      guard let structureSize = header.word(at: 36), structureSize <= totalSize - structure else {
        throw .truncated(offset: 36)
      }
      end = Int(structure) + Int(structureSize)
    }
    bytes = blob
    try readStructure(
      BlobReader(bytes: blob, end: end), from: Int(structure),
      strings: BlobReader(bytes: blob, end: Int(strings) + Int(stringsSize)), stringsStart: Int(strings))
  }

  private mutating func readStructure(
    _ reader: BlobReader, from start: Int, strings: BlobReader, stringsStart: Int
  ) throws(DeviceTreeError) {
    var offset = start
    /// The nodes that are open, outermost first, and each one's newest child.
    var open: [(node: Int32, lastChild: Int32)] = []
    while true {
      guard let token = reader.word(at: offset) else { throw .truncated(offset: offset) }
      let place = offset
      offset += 4
      switch token {
      case 1:  // FDT_BEGIN_NODE
        guard open.count < DeviceTree.maximumDepth else { throw .tooDeep(offset: place) }
        // One root only.
        guard !open.isEmpty || nodes.isEmpty else { throw .badToken(token, offset: place) }
        guard let name = reader.string(at: offset) else { throw .badString(offset: offset) }
        offset = aligned(offset + Int(name.count) + 1)
        let index = addNode(name: name, parent: open.last?.node ?? -1, after: open.last?.lastChild ?? -1)
        if !open.isEmpty { open[open.count - 1].lastChild = index }
        open.append((index, -1))
      case 2:  // FDT_END_NODE
        guard open.popLast() != nil else { throw .badToken(token, offset: place) }
      case 3:  // FDT_PROP
        // Properties come before child nodes, so that they stand together.
        guard let (node, lastChild) = open.last, lastChild == -1 else { throw .badToken(token, offset: place) }
        guard let count = reader.word(at: offset), let nameOffset = reader.word(at: offset + 4) else {
          throw .truncated(offset: offset)
        }
        offset += 8
        guard count <= UInt32(DeviceTree.maximumSize), reader.has(Int(count), at: offset) else {
          throw .truncated(offset: offset)
        }
        guard nameOffset <= UInt32(DeviceTree.maximumSize), let name = strings.string(at: stringsStart + Int(nameOffset)) else {
          throw .badString(offset: offset - 4)
        }
        properties.append(
          PropertyRecord(name: name, value: Extent(start: Int32(offset), count: Int32(count))))
        nodes[Int(node)].propertyCount += 1
        offset = aligned(offset + Int(count))
      case 4:  // FDT_NOP
        continue
      case 9:  // FDT_END
        guard open.isEmpty, !nodes.isEmpty else { throw .badToken(token, offset: place) }
        return
      default:
        throw .badToken(token, offset: place)
      }
    }
  }

  /// Offsets are at most `maximumSize` and a little, so that this can't overflow.
  private func aligned(_ offset: Int) -> Int { (offset + 3) & ~3 }
}

/// Reads big-endian words and strings out of a blob, as far as `end`.
struct BlobReader {
  let bytes: [UInt8]
  let end: Int
  /// The longest name: longer than the specification's 31 characters, since Linux doesn't mind.
  static var maximumName: Int { 255 }

  func has(_ count: Int, at offset: Int) -> Bool { offset >= 0 && offset <= end && count <= end - offset }

  func word(at offset: Int) -> UInt32? {
    guard has(4, at: offset) else { return nil }
    return bigEndianWord(bytes, at: offset)
  }

  /// A string up to its terminating 0.
  func string(at offset: Int) -> Extent? {
    guard offset >= 0, offset < end else { return nil }
    var place = offset
    while place < end, place - offset <= Self.maximumName {
      if bytes[place] == 0 { return Extent(start: Int32(offset), count: Int32(place - offset)) }
      place += 1
    }
    return nil
  }
}

/// - Precondition: Four bytes there.
func bigEndianWord(_ bytes: [UInt8], at offset: Int) -> UInt32 {
  var word: UInt32 = 0
  for byte in bytes[offset..<offset + 4] { word = word << 8 | UInt32(byte) }
  return word
}
