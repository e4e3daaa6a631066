/// One cache line of a ring: a 32-bit header, 4 bytes of nothing, then seven slots of 8 bytes (Spec 2 §4).
///
/// The header has eight fields of 4 bits. The lowest one is the lap, by which a line of this lap is told from one of the
/// lap before; the others, one for each slot, are the tags.
@safe
@usableFromInline
struct Line {
  @usableFromInline static var size: Int { 64 }
  @usableFromInline static var slots: UInt32 { 7 }
  @usableFromInline static var payloadSize: Int { 56 }

  /// Nothing is in the slot yet.
  @usableFromInline static var nothing: UInt32 { 0 }
  // 1 to 8: a message's last slot, with so many bytes.
  /// A full slot of a message that goes on in the next one.
  @usableFromInline static var more: UInt32 { 9 }
  /// The rest of the line stays empty: the next message begins in the next line.
  @usableFromInline static var skip: UInt32 { 15 }
  /// `more` in every slot, and in the lap's place.
  @usableFromInline static var allMore: UInt32 { 0x9999_9999 }

  /// Slots that a message of `size` bytes takes.
  @inlinable @inline(__always)
  static func slots(for size: Int) -> UInt32 { UInt32(truncatingIfNeeded: (size &+ 7) / 8) }

  @usableFromInline let pointer: UnsafeMutableRawPointer

  /// The line in which `position` lies. A position counts slots of 8 bytes, 8 to a line with its header.
  ///
  /// - Parameter lineCount: Lines of the ring, a power of two.
  @inlinable @inline(__always)
  init(_ ring: UnsafeMutableRawPointer, _ lineCount: UInt32, at position: UInt32) {
    unsafe pointer = ring + Int(truncatingIfNeeded: position / 8 & (lineCount &- 1)) &* Line.size
  }

  @inlinable @inline(__always)
  var header: SharedWord { unsafe SharedWord(at: pointer) }

  /// - Parameter index: 1...7.
  @inlinable @inline(__always)
  func slot(_ index: UInt32) -> UInt64 { unsafe loadSlot(pointer + Int(truncatingIfNeeded: index) &* 8) }

  @inlinable @inline(__always)
  func setSlot(_ index: UInt32, _ value: UInt64) { unsafe storeSlot(pointer + Int(truncatingIfNeeded: index) &* 8, value) }

  /// All seven slots from private memory.
  @inline(__always)
  func setSlots(_ words: UnsafeMutablePointer<UInt64>) {
    for index in 0..<Self.slots { unsafe setSlot(index &+ 1, words[Int(truncatingIfNeeded: index)]) }
  }

  /// All seven slots into private memory.
  @inline(__always)
  func readSlots(into words: UnsafeMutablePointer<UInt64>) {
    for index in 0..<Self.slots { unsafe words[Int(truncatingIfNeeded: index)] = slot(index &+ 1) }
  }

  @inline(__always)
  func prefetch() { unsafe prefetchForWriting(pointer) }
}

/// Which time round the ring `position` is, modulo 16.
@inlinable @inline(__always)
func lap(of position: UInt32, _ lineCount: UInt32) -> UInt32 { (position &>> UInt32(truncatingIfNeeded: lineCount.trailingZeroBitCount &+ 3)) & 15 }
