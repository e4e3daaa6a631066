/// Little-endian fields in bytes that a peer wrote: nil where there is nothing, never a trap.
extension RawSpan {
  @inlinable @inline(__always)
  func byte(at offset: Int) -> UInt8? {
    guard offset >= 0, offset < byteCount else { return nil }
    // SAFETY: the guard.
    return unsafe unsafeLoad(fromByteOffset: offset, as: UInt8.self)
  }

  @inlinable @inline(__always)
  func half(at offset: Int) -> UInt16? {
    guard offset >= 0, byteCount >= 2, offset <= byteCount &- 2 else { return nil }
    // SAFETY: the guard.
    return unsafe UInt16(littleEndian: unsafeLoadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }

  @inlinable @inline(__always)
  func word(at offset: Int) -> UInt32? {
    guard offset >= 0, byteCount >= 4, offset <= byteCount &- 4 else { return nil }
    // SAFETY: the guard.
    return unsafe UInt32(littleEndian: unsafeLoadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }

  /// The bytes from `offset` on, as text when they are printable ASCII of at most `limit` bytes.
  func name(at offset: Int, count: Int, limit: Int) -> String? {
    guard count > 0, count <= limit, offset >= 0, offset <= byteCount &- count else { return nil }
    var bytes: [UInt8] = []
    for i in offset..<(offset &+ count) {
      guard let byte = byte(at: i), byte > 0x20, byte < 0x7f else { return nil }
      bytes.append(byte)
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}

/// Little-endian fields of a frame that we make.
extension MutableRawSpan {
  @inlinable @inline(__always)
  mutating func put(_ value: UInt8, at offset: Int) { storeBytes(of: value, toByteOffset: offset, as: UInt8.self) }

  @inlinable @inline(__always)
  mutating func put(_ value: UInt16, at offset: Int) {
    storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt16.self)
  }

  @inlinable @inline(__always)
  mutating func put(_ value: UInt32, at offset: Int) {
    storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt32.self)
  }
}
