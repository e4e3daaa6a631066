/// The sending end of a ring. Exactly one exists for a ring, in exactly one thread.
@safe
public struct Producer: ~Copyable {
  @usableFromInline let ring: UnsafeMutableRawPointer
  /// Lines in the ring, a power of two.
  @usableFromInline let lineCount: UInt32
  /// The consumer's word: the position up to which it has read.
  @usableFromInline let credit: SharedWord
  /// Position of the line that is being filled. Runs freely; ours alone, never read back from shared memory.
  @usableFromInline var line: UInt32 = 0
  /// Its slots that are not used yet.
  @usableFromInline var free: UInt32 = 0
  /// Its header, as it has to become.
  @usableFromInline var header: UInt32 = 0
  /// Whether the header in the ring says less than `header`.
  @usableFromInline var isBehind = false
  /// The first line that is filled and not published, with its header: whoever sees that one may look at all that follow.
  @usableFromInline var held: (line: UInt32, header: UInt32)?
  /// The newest credit that was looked at.
  @usableFromInline var creditSeen: UInt32 = 0

  /// - Parameter offset: Of the ring in `region`, from `LinkLayout`.
  init(_ region: SharedRegion, offset: Int, lineCount: Int, credit: SharedWord) {
    unsafe ring = region.lines(at: offset, count: lineCount)
    self.lineCount = UInt32(lineCount)
    self.credit = credit
  }

  /// Up to where the ring is used: what to remember of a message before it is sent.
  @inlinable
  public var position: UInt32 { free == Line.slots ? line : line &+ 8 &- free }

  /// Longest message in bytes: a quarter of the ring, so that one message never waits for an empty ring.
  @inlinable
  public var maximumMessageSize: Int { Int(truncatingIfNeeded: lineCount) / 4 * Line.payloadSize }

  /// Makes the ring empty, with the next message in the line at `start`.
  ///
  /// Only while the peer does not read, and after `clear` of every line (Spec 3 §3).
  mutating func reset(start: UInt32) {
    line = start &- 8
    free = 0
    isBehind = false
    held = nil
    creditSeen = start
  }

  /// Makes lines hold nothing. Old contents are never assumed to: a predecessor or the peer may have written any.
  ///
  /// - Parameter lines: Those of them that the ring has.
  func clear(_ lines: Range<UInt32>) {
    for index in lines.clamped(to: 0..<lineCount) { unsafe Line(ring, lineCount, at: index * 8).header.store(0) }
  }

  /// Whether `count` messages of `size` bytes fit now. Looks at the consumer's credit only when the last one seen isn't
  /// enough.
  ///
  /// - Throws: `RingError.badCredit`.
  /// - Ordering: acquires the credit word (SP-2): the consumer has finished reading the lines that it gives back.
  public mutating func hasRoom(for count: Int = 1, of size: Int) throws(RingError) -> Bool {
    try hasRoom(lines: UInt32(truncatingIfNeeded: count) &* ((Line.slots(for: size) &+ Line.slots &- 1) / Line.slots))
  }

  /// Whether that many lines can be had besides the current one.
  private mutating func hasRoom(lines: UInt32) throws(RingError) -> Bool {
    // From the line that the consumer is at to the current one.
    if lineCount &- (line &+ 8 &- creditSeen & ~7) / 8 >= lines { return true }
    let newest = credit.loadAcquiring()
    guard newest &- creditSeen <= position &- creditSeen else { throw .badCredit(newest) }
    creditSeen = newest
    return lineCount &- (line &+ 8 &- creditSeen & ~7) / 8 >= lines
  }

  /// Publishes a message.
  ///
  /// - Parameter message: 1...`maximumMessageSize` bytes.
  /// - Returns: False when the ring is full. Full is a state, not an error; nothing was written.
  /// - Throws: `RingError.badCredit`.
  /// - Ordering: releases the header of the message's first line, last of all (SP-1).
  /// - Concurrency: the single producer.
  /// - Complexity: O(size). No allocation, no lock, no system call.
  @inlinable
  public mutating func send(_ message: borrowing MessageBuffer) throws(RingError) -> Bool {
    guard try append(message) else { return false }
    // Of a next message as long as this one, only a part would go into this line: leaves the rest to nobody, so that one
    // line has it whole. A message of several lines has no line of its own to gain.
    let slots = Line.slots(for: message.used)
    if free &- 1 < slots &- 1, slots <= Line.slots { skipRest() }
    publish()
    return true
  }

  /// Puts a message into the ring that the consumer need not see before `publish`. Several that are published at once cost
  /// less, and take less room, than as many that are sent.
  ///
  /// - Returns: False when the ring is full. Then what was appended before is published, since only the consumer can make room.
  /// - Otherwise as `send`.
  @inlinable
  public mutating func append(_ message: borrowing MessageBuffer) throws(RingError) -> Bool {
    let size = message.used
    precondition(size > 0 && size <= maximumMessageSize, "a message fits in a quarter of the ring")
    let count = Line.slots(for: size)
    if count > free {
      if count > Line.slots { return try appendAcrossLines(message) }
      guard try openLine() else { return false }
    }
    let target = unsafe Line(ring, lineCount, at: line)
    let first = 8 &- free
    var slot: UInt32 = 0
    while slot &+ 1 < count {
      // SAFETY: slot < count, inside the message; first + slot ≤ 7, as count ≤ free.
      unsafe target.setSlot(first &+ slot, message.words[Int(truncatingIfNeeded: slot)])
      slot &+= 1
    }
    // SAFETY: as above.
    let (last, tag) = unsafe lastSlot(of: size, message.words[Int(truncatingIfNeeded: slot)])
    target.setSlot(first &+ slot, last)
    header |= tags(count, last: tag) &<< (first &* 4)
    free &-= count
    isBehind = true
    return true
  }

  /// Lets the consumer see everything that was appended.
  ///
  /// - Ordering: releases the header of the first line that it hasn't seen, last of all (SP-1).
  @inlinable
  public mutating func publish() {
    let current = unsafe Line(ring, lineCount, at: line).header
    if let held {
      if isBehind { current.store(header) }
      unsafe Line(ring, lineCount, at: held.line).header.storeReleasing(held.header)  // SP-1
      self.held = nil
    } else if isBehind {
      current.storeReleasing(header)  // SP-1
    }
    isBehind = false
  }

  /// The bytes of a message's last slot, those that are not in use as 0: what an earlier message left there is nobody's business.
  @inlinable @inline(__always)
  func lastSlot(of size: Int, _ word: UInt64) -> (UInt64, tag: UInt32) {
    let count = UInt32(truncatingIfNeeded: (size &- 1) & 7) &+ 1
    return (word & .max &>> UInt64(64 &- count &* 8), count)
  }

  /// The tags of a message of `count` slots in one line.
  @inlinable @inline(__always)
  func tags(_ count: UInt32, last: UInt32) -> UInt32 {
    let shift = (count &- 1) &* 4
    return Line.allMore & ((1 &<< shift) &- 1) | last &<< shift
  }

  @inlinable @inline(__always)
  mutating func skipRest() {
    header |= Line.skip &<< ((8 &- free) &* 4)
    free = 0
    isBehind = true
  }

  /// Goes on to a fresh line.
  ///
  /// - Returns: False when there is none.
  @usableFromInline
  mutating func openLine() throws(RingError) -> Bool {
    guard try hasRoom(lines: 1) else {
      publish()
      return false
    }
    if free != 0 { skipRest() }
    nextLine()
    return true
  }

  /// Lines ahead of the current one that the processor is asked for: as many as it fetches while it fills one.
  private static var prefetchDistance: UInt32 { 8 }

  private mutating func nextLine() {
    if isBehind {
      if held == nil { held = (line, header) } else { unsafe Line(ring, lineCount, at: line).header.store(header) }
      isBehind = false
    }
    line &+= 8
    free = Line.slots
    header = lap(of: line, lineCount)
    let ahead = Self.prefetchDistance * 8
    // Not what the consumer may still be reading.
    if line &+ ahead &- creditSeen < lineCount &* 8 { unsafe Line(ring, lineCount, at: line &+ ahead).prefetch() }
  }

  /// As `append`, for a message that one line can't hold: it begins where the last one ended, and fills the lines.
  @usableFromInline
  mutating func appendAcrossLines(_ message: borrowing MessageBuffer) throws(RingError) -> Bool {
    var left = Line.slots(for: message.used)
    guard try hasRoom(lines: (left &+ Line.slots &- 1) / Line.slots) else {
      publish()
      return false
    }
    var word = 0
    while true {
      if free == 0 { nextLine() }
      let target = unsafe Line(ring, lineCount, at: line)
      let first = 8 &- free
      let count = min(left, free)
      // SAFETY, all: word + count is at most the message's slots; first + count is at most 8.
      if left <= free {
        for slot in 0..<count &- 1 { unsafe target.setSlot(first &+ slot, message.words[word &+ Int(slot)]) }
        let (last, tag) = unsafe lastSlot(of: message.used, message.words[word &+ Int(count) &- 1])
        target.setSlot(first &+ count &- 1, last)
        header |= tags(count, last: tag) &<< (first &* 4)
        free &-= count
        isBehind = true
        return true
      }
      if count == Line.slots {
        unsafe target.setSlots(message.words + word)
      } else {
        for slot in 0..<count { unsafe target.setSlot(first &+ slot, message.words[word &+ Int(slot)]) }
      }
      header |= Line.allMore &<< (first &* 4)
      free = 0
      isBehind = true
      left &-= count
      word &+= Int(count)
    }
  }

  /// Whether the consumer's credit covers the message that was sent when `position` was `start`.
  ///
  /// - Ordering: acquires the credit word (SP-2).
  func isTaken(start: UInt32) -> Bool { credit.loadAcquiring() &- start &- 1 < lineCount &* 8 }
}
