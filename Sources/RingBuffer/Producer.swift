/// The sending end of a ring. Exactly one exists for a ring, in exactly one thread.
@safe
public struct Producer: ~Copyable {
  @usableFromInline let ring: UnsafeMutableRawPointer
  /// Lines in the ring, a power of two.
  @usableFromInline let lineCount: UInt32
  /// The consumer's word: the position up to which it has read.
  @usableFromInline let credit: SharedWord
  /// Where the next message starts. Runs freely; ours alone, never read back from shared memory.
  @usableFromInline var next: UInt32 = 0
  /// The newest credit that was looked at.
  @usableFromInline var creditSeen: UInt32 = 0

  /// - Parameter offset: Of the ring in `region`, from `LinkLayout`.
  init(_ region: SharedRegion, offset: Int, lineCount: Int, credit: SharedWord) {
    unsafe ring = region.lines(at: offset, count: lineCount)
    self.lineCount = UInt32(lineCount)
    self.credit = credit
  }

  /// Where the next message will start: what to remember of a message before it is sent.
  public var position: UInt32 { next }

  /// Longest message in bytes: a quarter of the ring, so that one message never waits for an empty ring.
  public var maximumMessageSize: Int { Int(lineCount) / 4 * Line.payloadSize }

  /// Makes the ring empty, with the next message at `start`.
  ///
  /// Only while the peer does not read, and after `clear` of every line (Spec 3 §3).
  mutating func reset(start: UInt32) {
    next = start
    creditSeen = start
  }

  /// Makes lines hold nothing. Old contents are never assumed to: a predecessor or the peer may have written any.
  ///
  /// - Parameter lines: Those of them that the ring has.
  func clear(_ lines: Range<UInt32>) {
    for index in lines.clamped(to: 0..<lineCount) { unsafe Line(ring, index: index).stamp.store(0) }
  }

  /// Lines that a message of `size` bytes takes.
  @inlinable @inline(__always)
  func lines(for size: Int) -> UInt32 {
    UInt32(truncatingIfNeeded: (size &+ (Line.payloadSize &- 1)) / Line.payloadSize)
  }

  /// Whether `count` messages of `size` bytes fit now. Looks at the consumer's credit only when the last one seen isn't
  /// enough.
  ///
  /// - Throws: `RingError.badCredit`.
  /// - Ordering: acquires the credit word (SP-2): the consumer has finished reading the lines that it gives back.
  @inlinable
  public mutating func hasRoom(for count: Int = 1, of size: Int) throws(RingError) -> Bool {
    let needed = UInt32(truncatingIfNeeded: count) &* lines(for: size)
    if lineCount &- (next &- creditSeen) >= needed { return true }
    let newest = credit.loadAcquiring()
    guard newest &- creditSeen <= next &- creditSeen else { throw .badCredit(newest) }
    creditSeen = newest
    return lineCount &- (next &- creditSeen) >= needed
  }

  /// Publishes a message.
  ///
  /// - Parameter message: 1...`maximumMessageSize` bytes.
  /// - Returns: False when the ring is full. Full is a state, not an error; nothing was written.
  /// - Throws: `RingError.badCredit`.
  /// - Ordering: releases the first line's stamp, last of all (SP-1).
  /// - Concurrency: the single producer.
  /// - Complexity: O(size). No allocation, no lock, no system call.
  @inlinable
  public mutating func send(_ message: borrowing MessageBuffer) throws(RingError) -> Bool {
    let size = message.used
    precondition(size > 0 && size <= maximumMessageSize, "a message fits in a quarter of the ring")
    guard try hasRoom(of: size) else { return false }
    let mask = lineCount &- 1
    let count = lines(for: size)
    let wordSize = MemoryLayout<UInt>.size
    let wholeWords = size / wordSize
    let first = unsafe Line(ring, index: next & mask)

    var line = first
    var word = 0
    var lineIndex: UInt32 = 0
    while true {
      let end = min(word &+ Line.payloadWords, wholeWords)
      var slot = 0
      while word < end {
        // SAFETY: word < wholeWords, inside the message; slot < payloadWords, inside the line.
        unsafe line.setPayload(slot, message.words[word])
        word &+= 1
        slot &+= 1
      }
      let rest = size % wordSize
      if lineIndex &+ 1 == count {
        if rest != 0 {
          // The last word's unused bytes go out as 0: what an earlier message left there is nobody's business.
          // SAFETY: a partial word exists, so it is the message's last and lies in the last line.
          unsafe line.setPayload(slot, message.words[word] & ~(UInt.max << UInt(rest &* 8)))
        }
        break
      }
      lineIndex &+= 1
      line = unsafe Line(ring, index: (next &+ lineIndex) & mask)
      line.stamp.store(0)  // a continuation: no message starts here
    }
    first.length.store(UInt32(truncatingIfNeeded: size))
    first.stamp.storeReleasing(stamp(of: next))  // SP-1
    next &+= count
    return true
  }

  /// Whether the consumer's credit covers the message that was sent when `position` was `start`.
  ///
  /// - Ordering: acquires the credit word (SP-2).
  func isTaken(start: UInt32) -> Bool { credit.loadAcquiring() &- start &- 1 < lineCount }
}
