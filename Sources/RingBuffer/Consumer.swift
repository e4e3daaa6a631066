/// The receiving end of a ring. Exactly one exists for a ring, in exactly one thread.
@safe
public struct Consumer: ~Copyable {
  @usableFromInline let ring: UnsafeMutableRawPointer
  /// Lines in the ring, a power of two.
  @usableFromInline let lineCount: UInt32
  /// Our word: the position up to which we have read.
  @usableFromInline let credit: SharedWord
  /// Position of the line that is being read. Ours alone, never read back from shared memory.
  @usableFromInline var line: UInt32 = 0
  /// Its header as it was when last looked at, in 64 bits, so that there is nothing behind the last tag; 0 before.
  @usableFromInline var header: UInt64 = 0
  /// Four times the slot that comes next, the distance to its tag in the header: 4...32.
  @usableFromInline var shift: UInt32 = 4
  /// What the credit word holds.
  @usableFromInline var given: UInt32 = 0

  init(_ region: SharedRegion, offset: Int, lineCount: Int, credit: SharedWord) {
    unsafe ring = region.lines(at: offset, count: lineCount)
    self.lineCount = UInt32(lineCount)
    self.credit = credit
  }

  /// Longest message in bytes that an honest producer sends here.
  @inlinable
  public var maximumMessageSize: Int { Int(truncatingIfNeeded: lineCount) / 4 * Line.payloadSize }

  /// Up to where we have read.
  @inlinable
  var position: UInt32 { shift == 4 ? line : line &+ shift / 4 }

  /// Expects the next message in the line at `start`, and gives the producer the whole ring.
  ///
  /// - Ordering: releases the credit word: a producer of the session before, which finds it impossible, then sees the new
  ///   session too (Spec 3 §5).
  mutating func reset(start: UInt32) {
    line = start
    header = 0
    shift = 4
    given = start
    credit.storeReleasing(start)
  }

  /// Whether something is to be received, be it a message or a violation.
  @inlinable @inline(__always)
  public var isReady: Bool {
    let tag = UInt32(truncatingIfNeeded: header &>> UInt64(shift)) & 15
    if tag != Line.nothing, tag != Line.skip { return true }
    let isOver = tag == Line.skip || shift == 32
    let at = isOver ? line &+ 8 : line
    let found = unsafe Line(ring, lineCount, at: at).header.loadAcquiring()
    if found & 15 == lap(of: at, lineCount) { return found &>> (isOver ? 4 : shift) & 15 != Line.nothing }
    guard isOver || shift == 4 else { return true }
    return found != 0 && found & 15 != lap(of: at &- lineCount &* 8, lineCount)
  }

  /// Copies the oldest unread message out of shared memory. Its lines are given back some time later: a quarter of the ring
  /// at once, or when there is nothing more to receive, or by `giveCredit`.
  ///
  /// The bytes are copied before they are looked at: the peer can change shared memory at any time.
  ///
  /// - Parameter message: Receives the bytes, its `count` is set. With room for `maximumMessageSize` no honest message
  ///   is refused.
  /// - Returns: False when the ring is empty. Empty is a state, not an error.
  /// - Throws: `RingError` when the peer wrote what no honest producer writes (Spec 2 §4).
  /// - Ordering: acquires the header of the message's first line (SP-1); releases the credit word (SP-2).
  /// - Concurrency: the single consumer.
  /// - Complexity: O(size). No allocation, no lock, no system call.
  @inlinable
  public mutating func receive(into message: inout MessageBuffer) throws(RingError) -> Bool {
    var tag = UInt32(truncatingIfNeeded: header &>> UInt64(shift)) & 15
    if tag == Line.nothing || tag == Line.skip {
      guard try look() else { return false }
      tag = UInt32(truncatingIfNeeded: header &>> UInt64(shift)) & 15
    }
    guard tag < Line.more, Int(truncatingIfNeeded: tag) <= message.capacity else { return try receiveSlots(into: &message) }
    // SAFETY: a buffer has at least one word; `look` and `receiveSlots` leave a tag only of slots 1...7.
    unsafe message.words[0] = Line(ring, lineCount, at: line).slot(shift / 4)
    message.used = Int(truncatingIfNeeded: tag)
    shift &+= 4
    return true
  }

  /// Says up to where this side has read, if it hasn't said so yet.
  ///
  /// - Ordering: releases the credit word (SP-2).
  public mutating func giveCredit() {
    guard given != position else { return }
    given = position
    credit.storeReleasing(given)  // SP-2
  }

  /// Looks into the ring for the slot that comes next.
  ///
  /// - Returns: Whether there is a tag for it in `header`: of a message, or one that can't be there.
  @usableFromInline
  mutating func look() throws(RingError) -> Bool {
    var isOver = shift == 32 || (header &>> UInt64(shift)) & 15 != 0
    while true {
      if isOver { nextLine() }
      let found = unsafe Line(ring, lineCount, at: line).header.loadAcquiring()  // SP-1
      let tag = found &>> shift & 15
      if found & 15 != lap(of: line, lineCount) {
        // What an honest ring holds in a line that is not begun: nothing since the session began, or the previous lap's messages.
        guard shift == 4, found == 0 || found & 15 == lap(of: line &- lineCount &* 8, lineCount) else {
          throw .badHeader(position: position)
        }
      } else if tag != Line.nothing {
        if tag == Line.skip {
          // A line with nothing in it is not skipped.
          guard shift != 4 else { throw .badHeader(position: position) }
          isOver = true
          continue
        }
        header = UInt64(found)
        return true
      }
      giveCredit()
      return false
    }
  }

  private mutating func nextLine() {
    line &+= 8
    header = 0
    shift = 4
    giveCreditSometimes()
  }

  /// A quarter of the ring at once: each time that the word is stored, the producer's processor has to fetch it.
  private mutating func giveCreditSometimes() {
    if line &- given >= lineCount &* 2 { giveCredit() }
  }

  /// As `receive`, for a message of several slots, or one that is a violation.
  @usableFromInline
  mutating func receiveSlots(into message: inout MessageBuffer) throws(RingError) -> Bool {
    let limit = min(maximumMessageSize, message.capacity)
    let wordLimit = (limit + 7) / 8
    var at = line
    var found = UInt32(truncatingIfNeeded: header)
    var slot = shift / 4
    var word = 0
    while true {
      let source = unsafe Line(ring, lineCount, at: at)
      if slot == 1, found &>> 4 == Line.allMore &>> 4 {
        guard wordLimit &- word >= 7 else { throw .tooLong(position: position) }
        // SAFETY: the buffer has wordLimit words.
        unsafe source.readSlots(into: message.words + word)
        word &+= 7
      } else {
        var tag = Line.nothing
        while slot < 8 {
          tag = found &>> (slot &* 4) & 15
          guard tag != Line.nothing, tag <= Line.more else { throw .badHeader(position: position) }
          guard word < wordLimit else { throw .tooLong(position: position) }
          // SAFETY: the guards.
          unsafe message.words[word] = source.slot(slot)
          word &+= 1
          slot &+= 1
          if tag != Line.more { break }
        }
        if tag != Line.more {
          let size = (word &- 1) &* 8 &+ Int(truncatingIfNeeded: tag)
          guard size <= limit else { throw .tooLong(position: position) }
          message.used = size
          line = at
          header = UInt64(found)
          shift = slot &* 4
          giveCreditSometimes()
          return true
        }
      }
      // The message goes on, and was published whole: the next line is there.
      at &+= 8
      slot = 1
      found = unsafe Line(ring, lineCount, at: at).header.load()
      guard found & 15 == lap(of: at, lineCount) else { throw .badHeader(position: position) }
    }
  }
}
