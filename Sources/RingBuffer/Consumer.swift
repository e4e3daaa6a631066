/// The receiving end of a ring. Exactly one exists for a ring, in exactly one thread.
@safe
public struct Consumer: ~Copyable {
  @usableFromInline let ring: UnsafeMutableRawPointer
  /// Lines in the ring, a power of two.
  @usableFromInline let lineCount: UInt32
  /// Our word: the position up to which we have read.
  @usableFromInline let credit: SharedWord
  /// Where the next message starts. Ours alone, never read back from shared memory.
  @usableFromInline var position: UInt32 = 0

  init(_ region: SharedRegion, offset: Int, lineCount: Int, credit: SharedWord) {
    unsafe ring = region.lines(at: offset, count: lineCount)
    self.lineCount = UInt32(lineCount)
    self.credit = credit
  }

  /// Longest message in bytes that an honest producer sends here.
  public var maximumMessageSize: Int { Int(lineCount) / 4 * Line.payloadSize }

  /// Expects the next message at `start`, and gives the producer the whole ring.
  ///
  /// - Ordering: releases the credit word: a producer of the session before, which finds it impossible, then sees the new
  ///   session too (Spec 3 §5).
  mutating func reset(start: UInt32) {
    position = start
    credit.storeReleasing(start)
  }

  /// Whether something is to be received, be it a message or a violation.
  @inlinable @inline(__always)
  public var isReady: Bool {
    let found = unsafe Line(ring, index: position & (lineCount &- 1)).stamp.loadAcquiring()
    return found != 0 && found != stamp(of: position &- lineCount)
  }

  /// Copies the oldest unread message out of shared memory and gives its lines back.
  ///
  /// The bytes are copied before they are looked at: the peer can change shared memory at any time.
  ///
  /// - Parameter message: Receives the bytes, its `count` is set. With room for `maximumMessageSize` no honest message
  ///   is refused.
  /// - Returns: False when the ring is empty. Empty is a state, not an error.
  /// - Throws: `RingError` when the peer wrote what no honest producer writes (Spec 2 §4).
  /// - Ordering: acquires the first line's stamp (SP-1); releases the credit word (SP-2).
  /// - Concurrency: the single consumer.
  /// - Complexity: O(size). No allocation, no lock, no system call.
  @inlinable
  public mutating func receive(into message: inout MessageBuffer) throws(RingError) -> Bool {
    let mask = lineCount &- 1
    let first = unsafe Line(ring, index: position & mask)
    let found = first.stamp.loadAcquiring()  // SP-1
    guard found == stamp(of: position) else {
      // What an honest ring holds besides: nothing since the session began, a continuation, or the previous lap's message.
      if found == 0 || found == stamp(of: position &- lineCount) { return false }
      throw .badStamp(position: position)
    }
    let length = first.length.load()
    guard length > 0, length <= UInt32(truncatingIfNeeded: min(maximumMessageSize, message.capacity)) else {
      throw .badLength(position: position, length: length)
    }
    let size = Int(truncatingIfNeeded: length)
    let wordSize = MemoryLayout<UInt>.size
    let wordCount = (size &+ (wordSize &- 1)) / wordSize

    var line = first
    var word = 0
    var lineIndex: UInt32 = 0
    while true {
      let end = min(word &+ Line.payloadWords, wordCount)
      var slot = 0
      while word < end {
        // SAFETY: word < wordCount, within the message's capacity; slot < payloadWords, inside the line.
        unsafe message.words[word] = line.payload(slot)
        word &+= 1
        slot &+= 1
      }
      lineIndex &+= 1
      if word >= wordCount { break }
      line = unsafe Line(ring, index: (position &+ lineIndex) & mask)
    }
    message.used = size
    position &+= lineIndex
    credit.storeReleasing(position)  // SP-2
    return true
  }
}
