/// The receiving end of a ring. Exactly one exists for a ring, in exactly one thread.
@safe
public struct Consumer: ~Copyable {
  @usableFromInline let lines: Lines
  /// Our word: the position up to which we have read.
  @usableFromInline let credit: SharedWord
  /// Position of the line that is being read. Ours alone, never read back from shared memory.
  @usableFromInline var line: UInt32 = 0
  /// That line.
  @usableFromInline var current: Line
  /// The lap that its header must have.
  @usableFromInline var currentLap: UInt32 = 0
  /// Its header as it was when last looked at, in 64 bits, so that there is nothing behind the last tag; 0 before.
  @usableFromInline var header: UInt64 = 0
  /// The header with which there was nothing to be received when last looked at; `.max`, which no header is, before.
  @usableFromInline var idle = UInt64.max
  /// Four times the slot that comes next, the distance to its tag in the header: 4...32.
  @usableFromInline var shift: UInt32 = 4
  /// What the credit word holds.
  @usableFromInline var given: UInt32 = 0
  @usableFromInline let needsFences: Bool

  init(_ region: SharedRegion, offset: Int, lineCount: Int, credit: SharedWord) {
    lines = Lines(region, offset: offset, count: lineCount)
    self.credit = credit
    current = lines[0]
    needsFences = region.needsFences
  }

  /// Longest message in bytes that an honest producer sends here.
  @inlinable
  public var maximumMessageSize: Int { lines.maximumMessageSize }

  /// Up to where we have read.
  @inlinable
  var position: UInt32 { shift == 4 ? line : line &+ shift / 4 }

  /// Expects the next message in the line at `start`, and gives the producer the whole ring.
  ///
  /// - Ordering: releases the credit word: a producer of the session before, which finds it impossible, then sees the new
  ///   session too (Spec 3 §5).
  mutating func reset(start: UInt32) {
    begin(start)
    given = start
    credit.storeReleasing(start)
  }

  /// Whether something is to be received, be it a message or a violation. A look, which orders nothing.
  public var isReady: Bool {
    let tag = UInt32(truncatingIfNeeded: header &>> UInt64(shift)) & 15
    if tag != Line.nothing, tag != Line.skip { return true }
    let isOver = tag == Line.skip || shift == 32
    let at = isOver ? line &+ 8 : line
    let found = lines[at].header.load()
    if found & 15 == lines.lap(of: at) { return found &>> (isOver ? 4 : shift) & 15 != Line.nothing }
    guard isOver || shift == 4 else { return true }
    return found != 0 && found & 15 != (lines.lap(of: at) &- 1) & 15
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
  @inlinable @_optimize(speed)
  public mutating func receive(into message: inout MessageBuffer) throws(RingError) -> Bool {
    var tag = UInt32(truncatingIfNeeded: header &>> UInt64(shift)) & 15
    if tag &- 1 >= 8 {
      if tag == Line.nothing || tag == Line.skip {
        if shift == 32 || tag == Line.skip { nextLine() }
        // A header that is as it was need not be acquired, which costs a barrier on armv7.
        if UInt64(current.header.load()) == idle { return false }
        let found = current.header.loadAcquiring()  // SP-1
        if needsFences { combiningFence() }
        tag = found &>> shift & 15
        guard found & 15 == currentLap, tag != Line.nothing else { return try nothing(found) }
        header = UInt64(found)
      }
      if tag &- 1 >= 8 { return try receiveSlots(into: &message) }
    }
    // SAFETY: a buffer has room for 8 bytes; shift / 4 is 1...7, as there is no tag elsewhere.
    unsafe message.words[0] = current.slot(shift / 4)
    message.used = Int(truncatingIfNeeded: tag)
    shift &+= 4
    return true
  }

  /// Nothing is to be received, or a violation is: `found` is the current line's header.
  @usableFromInline
  mutating func nothing(_ found: UInt32) throws(RingError) -> Bool {
    // What an honest ring holds in a line that is not begun: nothing since the session began, or the previous lap's messages.
    guard found & 15 == currentLap || shift == 4 && (found == 0 || found & 15 == (currentLap &- 1) & 15) else {
      throw .badHeader(position: position)
    }
    idle = UInt64(found)
    giveCredit()
    return false
  }

  /// Says up to where this side has read, if it hasn't said so yet.
  ///
  /// - Ordering: releases the credit word (SP-2).
  public mutating func giveCredit() {
    guard given != position else { return }
    given = position
    if needsFences { combiningFence() }
    credit.storeReleasing(given)  // SP-2
    if needsFences { combiningFence() }
  }

  /// Goes to the line at `position`, of which nothing is known.
  private mutating func begin(_ position: UInt32) {
    line = position
    current = lines[position]
    currentLap = lines.lap(of: position)
    header = 0
    idle = .max
    shift = 4
  }

  /// A quarter of the ring is given back at once: each time that the word is stored, the producer's processor has to fetch it.
  @usableFromInline
  mutating func nextLine() {
    begin(line &+ 8)
    if line &- given >= lines.count &* 2 { giveCredit() }
  }

  /// As `receive`, for whatever isn't a message of one slot; its first tag is in `header`.
  @usableFromInline @_optimize(speed)
  mutating func receiveSlots(into message: inout MessageBuffer) throws(RingError) -> Bool {
    let tags = UInt32(truncatingIfNeeded: header &>> UInt64(shift))
    let more = UInt32(truncatingIfNeeded: (tags ^ Line.allMore).trailingZeroBitCount) / 4
    let tag = tags &>> (4 &* more) & 15
    guard more > 0, shift &+ 4 &* more < 32, tag &- 1 < 8 else { return try receiveLines(into: &message) }
    // All of it is in this line.
    let size = Int(truncatingIfNeeded: 8 &* more &+ tag)
    guard size <= message.capacity else { throw .tooLong(position: position) }
    // SAFETY: the buffer has so many words; the slots end before the line does.
    unsafe current.readSlots(shift / 4, Int(truncatingIfNeeded: more &+ 1), into: message.words)
    message.used = size
    shift &+= 4 &* (more &+ 1)
    return true
  }

  /// As `receive`, for what doesn't end in this line: a message of several lines, the line itself, or a violation.
  @inline(never)
  private mutating func receiveLines(into message: inout MessageBuffer) throws(RingError) -> Bool {
    if UInt32(truncatingIfNeeded: header &>> UInt64(shift)) & 15 == Line.skip {
      // A line with nothing in it is not skipped.
      guard shift != 4 else {
        header = 0
        throw .badHeader(position: position)
      }
      return try receive(into: &message)
    }
    let limit = min(maximumMessageSize, message.capacity)
    let start = position
    // The end of this line.
    let first = shift / 4
    let count = Int(truncatingIfNeeded: 8 &- first)
    guard UInt32(truncatingIfNeeded: header &>> UInt64(shift)) == Line.allMore &>> shift else {
      throw .badHeader(position: start)
    }
    guard 8 &* count < limit else { throw .tooLong(position: start) }
    // SAFETY, all: the guards before them.
    var words = unsafe message.words
    unsafe current.readSlots(first, count, into: words)
    unsafe words += count
    var size = 8 &* count
    // Full lines. The message was published whole: they are there.
    var at = line &+ 8
    var source = lines[at]
    var found = source.header.load()
    while found == Line.allMore & ~15 | lines.lap(of: at) {
      guard size &+ Line.payloadSize < limit else { throw .tooLong(position: start) }
      unsafe source.readSlots(1, 7, into: words)
      unsafe words += 7
      size &+= Line.payloadSize
      at &+= 8
      source = lines[at]
      found = source.header.load()
    }
    // The beginning of the last one.
    let more = UInt32(truncatingIfNeeded: (found &>> 4 ^ Line.allMore).trailingZeroBitCount) / 4
    let tag = found &>> (4 &+ 4 &* more) & 15
    guard found & 15 == lines.lap(of: at), more < 7, tag &- 1 < 8 else { throw .badHeader(position: start) }
    size &+= Int(truncatingIfNeeded: 8 &* more &+ tag)
    guard size <= limit else { throw .tooLong(position: start) }
    unsafe source.readSlots(1, Int(truncatingIfNeeded: more &+ 1), into: words)
    message.used = size
    line = at &- 8
    nextLine()
    header = UInt64(found)
    shift = 8 &+ 4 &* more
    return true
  }
}
