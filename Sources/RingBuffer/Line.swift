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

  @inlinable @inline(__always)
  init(_ pointer: UnsafeMutableRawPointer) { unsafe self.pointer = pointer }

  @inlinable @inline(__always)
  var header: SharedWord { unsafe SharedWord(at: pointer) }

  /// - Parameter index: 1...7.
  @inlinable @inline(__always)
  func slot(_ index: UInt32) -> UInt64 { unsafe loadSlot(pointer + Int(truncatingIfNeeded: index) &* 8) }

  @inlinable @inline(__always)
  func setSlot(_ index: UInt32, _ value: UInt64) { unsafe storeSlot(pointer + Int(truncatingIfNeeded: index) &* 8, value) }

  /// `count` slots from slot `first` on from private memory: without a loop, since they are 7 at most.
  @inline(__always)
  func setSlots(_ first: UInt32, _ count: Int, _ words: UnsafeMutablePointer<UInt64>) {
    // SAFETY, both: the caller's slots are at most slot 7, and there are so many words.
    var to = unsafe pointer + Int(truncatingIfNeeded: first) &* 8
    var from = unsafe words
    if count & 4 != 0 {
      unsafe storeSlot(to, from[0])
      unsafe storeSlot(to + 8, from[1])
      unsafe storeSlot(to + 16, from[2])
      unsafe storeSlot(to + 24, from[3])
      unsafe to += 32
      unsafe from += 4
    }
    if count & 2 != 0 {
      unsafe storeSlot(to, from[0])
      unsafe storeSlot(to + 8, from[1])
      unsafe to += 16
      unsafe from += 2
    }
    if count & 1 != 0 { unsafe storeSlot(to, from[0]) }
  }

  /// `count` slots from slot `first` on into private memory.
  @inline(__always)
  func readSlots(_ first: UInt32, _ count: Int, into words: UnsafeMutablePointer<UInt64>) {
    var from = unsafe pointer + Int(truncatingIfNeeded: first) &* 8
    var to = unsafe words
    if count & 4 != 0 {
      unsafe to[0] = loadSlot(from)
      unsafe to[1] = loadSlot(from + 8)
      unsafe to[2] = loadSlot(from + 16)
      unsafe to[3] = loadSlot(from + 24)
      unsafe from += 32
      unsafe to += 4
    }
    if count & 2 != 0 {
      unsafe to[0] = loadSlot(from)
      unsafe to[1] = loadSlot(from + 8)
      unsafe from += 16
      unsafe to += 2
    }
    if count & 1 != 0 { unsafe to[0] = loadSlot(from) }
  }

  /// All seven slots from private memory.
  @inline(__always)
  func fill(_ words: UnsafeMutablePointer<UInt64>) {
    // SAFETY: slots 1 to 7 lie in this line.
    unsafe storeSlot(pointer + 8, words[0])
    unsafe storeSlots(pointer + 16, words + 1)
    unsafe storeSlots(pointer + 32, words + 3)
    unsafe storeSlots(pointer + 48, words + 5)
  }

  @inline(__always)
  func prefetch() { unsafe prefetchForWriting(pointer) }
}

/// The lines of a ring.
@safe
@usableFromInline
struct Lines {
  private let base: UnsafeMutableRawPointer
  /// A power of two.
  let count: UInt32
  private let lapShift: UInt32

  init(_ region: SharedRegion, offset: Int, count: Int) {
    unsafe base = region.lines(at: offset, count: count)
    self.count = UInt32(count)
    lapShift = UInt32(count.trailingZeroBitCount) + 3
  }

  /// The line in which `position` lies. A position counts slots of 8 bytes, 8 to a line with its header.
  @inline(__always)
  subscript(_ position: UInt32) -> Line {
    // SAFETY: the index is masked.
    unsafe Line(base + Int(truncatingIfNeeded: position / 8 & (count &- 1)) &* Line.size)
  }

  /// Which time round the ring `position` is, modulo 16.
  @inline(__always)
  func lap(of position: UInt32) -> UInt32 { position &>> lapShift & 15 }

  /// Longest message in bytes: a quarter of the ring, so that one message never waits for an empty ring.
  @usableFromInline
  var maximumMessageSize: Int { Int(truncatingIfNeeded: count) / 4 * Line.payloadSize }
}
