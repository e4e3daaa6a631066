/// The sending end of a ring. Exactly one exists for a ring, in exactly one thread.
@safe
public struct Producer: ~Copyable {
  @usableFromInline let lines: Lines
  /// The consumer's word: the position up to which it has read.
  private let credit: SharedWord
  /// Position of the line that is being filled. Runs freely; ours alone, never read back from shared memory.
  @usableFromInline var line: UInt32 = 0 &- 8
  /// That line.
  @usableFromInline var current: Line
  /// Its header, as it has to become.
  @usableFromInline var header: UInt32 = 0
  /// Four times the slot that comes next, the distance to its tag in the header: 4...32.
  @usableFromInline var shift: UInt32 = 32
  /// Whether something was appended since the last `publish`, or only `publish` may publish.
  @usableFromInline var isAppending: Bool
  private let needsFences: Bool
  /// Whether the current line's header says less than `header`.
  @usableFromInline var isBehind = false
  /// The first line that is filled and not published, with its header: whoever sees that one may look at all that follow.
  private var held: (line: Line, header: UInt32)?
  /// The newest credit that was looked at.
  private var creditSeen: UInt32 = 0
  /// The first line that the consumer may not have finished reading, a lap later: where the room ends.
  private var limit: UInt32 = 0

  /// - Parameter offset: Of the ring in `region`, from `LinkLayout`.
  init(_ region: SharedRegion, offset: Int, lineCount: Int, credit: SharedWord) {
    lines = Lines(region, offset: offset, count: lineCount)
    self.credit = credit
    current = lines[line]
    needsFences = region.needsFences
    isAppending = needsFences
  }

  /// Up to where the ring is used: what to remember of a message before it is sent.
  @inlinable
  public var position: UInt32 { shift == 4 ? line : line &+ shift / 4 }

  /// Longest message in bytes: a quarter of the ring, so that one message never waits for an empty ring.
  @inlinable
  public var maximumMessageSize: Int { lines.maximumMessageSize }

  /// Lines in the ring.
  var lineCount: UInt32 { lines.count }

  /// Makes the ring empty, with the next message in the line at `start`.
  ///
  /// Only while the peer does not read, and after `clear` of every line (Spec 3 §3).
  mutating func reset(start: UInt32) {
    line = start &- 8
    current = lines[line]
    shift = 32
    isAppending = needsFences
    isBehind = false
    held = nil
    creditSeen = start
    limit = start &+ lines.count &* 8
  }

  /// Makes lines hold nothing. Old contents are never assumed to: a predecessor or the peer may have written any.
  ///
  /// - Parameter range: Those of them that the ring has.
  func clear(_ range: Range<UInt32>) {
    for index in range.clamped(to: 0..<lines.count) { lines[index * 8].header.store(0) }
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
  @inline(__always)
  private mutating func hasRoom(lines count: UInt32) throws(RingError) -> Bool {
    (limit &- line &- 8) / 8 >= count ? true : try hasNewRoom(lines: count)
  }

  @inline(never)
  private mutating func hasNewRoom(lines count: UInt32) throws(RingError) -> Bool {
    let newest = credit.loadAcquiring()
    guard newest &- creditSeen <= position &- creditSeen else { throw .badCredit(newest) }
    creditSeen = newest
    limit = (newest & ~7) &+ lines.count &* 8
    return (limit &- line &- 8) / 8 >= count
  }

  /// Publishes a message.
  ///
  /// - Parameter message: 1...`maximumMessageSize` bytes.
  /// - Returns: False when the ring is full. Full is a state, not an error; nothing was written.
  /// - Throws: `RingError.badCredit`.
  /// - Ordering: releases the header of the message's first line, last of all (SP-1).
  /// - Concurrency: the single producer.
  /// - Complexity: O(size). No allocation, no lock, no system call.
  ///
  /// When a next message as long as this one would not fit into the line, it leaves the rest of that to nobody, so that
  /// one line has the next one whole. A message of several lines has no line of its own to gain.
  @inlinable @_optimize(speed)
  public mutating func send(_ message: borrowing MessageBuffer) throws(RingError) -> Bool {
    let size = message.used
    guard UInt(bitPattern: size) &- 1 < 8, !isAppending else { return try sendSlots(message) }
    if shift == 32 { guard try openLine() else { return false } }
    // SAFETY: a buffer has at least one word.
    unsafe current.setSlot(shift / 4, Self.firstBytes(size, of: message.words[0]))
    header |= UInt32(truncatingIfNeeded: size) &<< shift
    shift &+= 4
    current.header.storeReleasing(header)  // SP-1
    return true
  }

  /// Goes on to a fresh line, where nothing is to be published in the current one.
  @usableFromInline
  mutating func openLine() throws(RingError) -> Bool {
    guard try hasRoom(lines: 1) else { return false }
    nextLine()
    return true
  }

  /// As `send`, for whatever isn't a message of one slot.
  @usableFromInline @_optimize(speed)
  mutating func sendSlots(_ message: borrowing MessageBuffer) throws(RingError) -> Bool {
    let size = message.used
    let tags = Self.tagBits(size)
    guard size <= Line.payloadSize, !isAppending, shift &+ tags <= 32 || shift == 32 else { return try sendLines(message) }
    precondition(size > 0, "a message fits in a quarter of the ring")
    if shift == 32 { guard try openLine() else { return false } }
    // All stores follow each other closely: a consumer that polls the line takes it away from this processor once.
    let new = Self.adding(size, to: header, at: shift)
    let next = shift &+ tags
    let isFull = next &+ tags > 32
    // SAFETY: the message has so many slots.
    unsafe put(message.words, size, at: shift / 4)
    header = isFull && next < 32 ? new | Line.skip &<< next : new
    shift = isFull ? 32 : next
    current.header.storeReleasing(header)  // SP-1
    // The next message's line now, while nobody waits for it.
    if isFull, limit &- line &- 8 >= 8 { nextLine() }
    return true
  }

  @inline(never)
  private mutating func sendLines(_ message: borrowing MessageBuffer) throws(RingError) -> Bool {
    if message.used > Line.payloadSize, !isAppending {
      guard let first = try fillLines(message) else { return false }
      current.header.store(header)
      first.line.header.storeReleasing(first.header)  // SP-1
      return true
    }
    guard try append(message) else { return false }
    // See `send`.
    if shift < 32, shift &+ Self.tagBits(message.used) > 32, message.used <= Line.payloadSize { skipRest() }
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
    guard UInt(bitPattern: size) &- 1 < 8, shift < 32 else { return try appendSlots(message) }
    // SAFETY: a buffer has room for 8 bytes.
    unsafe current.setSlot(shift / 4, Self.firstBytes(size, of: message.words[0]))
    header |= UInt32(truncatingIfNeeded: size) &<< shift
    shift &+= 4
    isBehind = true
    isAppending = true
    return true
  }

  /// As `append`, for whatever isn't a message of one slot into a line that has one.
  @usableFromInline
  mutating func appendSlots(_ message: borrowing MessageBuffer) throws(RingError) -> Bool {
    let size = message.used
    precondition(size > 0 && size <= maximumMessageSize, "a message fits in a quarter of the ring")
    let slots = Line.slots(for: size)
    if shift &+ slots &* 4 > 32 {
      if slots > Line.slots { return try appendLines(message) }
      guard try hasRoom(lines: 1) else {
        publish()
        return false
      }
      if shift < 32 {
        skipRest()
        isBehind = true
      }
      nextLine()
    }
    // SAFETY: the message has so many slots.
    unsafe put(message.words, size, at: shift / 4)
    header = Self.adding(size, to: header, at: shift)
    shift &+= 4 &* slots
    isBehind = true
    isAppending = true
    return true
  }

  /// Puts messages of equal size into the ring, as `append` each of them.
  ///
  /// - Parameters:
  ///   - records: The messages, one behind the other.
  ///   - size: Bytes of each: 8, 16, … 56.
  /// - Returns: How many fitted, from the first one on. When not all did, what was appended is published.
  public mutating func append(_ records: borrowing MessageBuffer, each size: Int) throws(RingError) -> Int {
    precondition(size > 0 && size <= Line.payloadSize && size % 8 == 0, "a record is 1 to 7 slots")
    let slots = UInt32(truncatingIfNeeded: size / 8)
    // One record's tags, in the place of slot 1, and as many of them as a line has room for.
    let tags = Self.adding(size, to: 0, at: 4)
    var words = unsafe records.words
    var left = UInt32(truncatingIfNeeded: records.used / size)
    let all = left
    while left > 0 {
      if shift &+ 4 &* slots > 32 {
        guard try hasRoom(lines: 1) else {
          publish()
          break
        }
        if shift < 32 {
          skipRest()
          isBehind = true
        }
        nextLine()
      }
      let count = min(left, (8 &- shift / 4) / slots)
      // SAFETY: count × slots is at most what the line has free, and what is left of the records.
      unsafe current.setSlots(shift / 4, Int(truncatingIfNeeded: count &* slots), words)
      unsafe words += Int(truncatingIfNeeded: count &* slots)
      for _ in 0..<count {
        header |= (tags &>> 4) &<< shift
        shift &+= 4 &* slots
      }
      left &-= count
      isBehind = true
      isAppending = true
    }
    return Int(truncatingIfNeeded: all &- left)
  }

  /// The first `count` bytes of a word, the others as 0: what an earlier message left there is nobody's business.
  @inlinable @inline(__always)
  static func firstBytes(_ count: Int, of word: UInt64) -> UInt64 {
    word & .max &>> UInt64(truncatingIfNeeded: 64 &- count &* 8)
  }

  /// Puts the last `size` bytes of a message into the current line, where they fit.
  @inline(__always)
  private func put(_ words: UnsafeMutablePointer<UInt64>, _ size: Int, at slot: UInt32) {
    let last = Self.last(size)
    // SAFETY, both: the caller has so many words.
    let word = unsafe Self.firstBytes((size &- 1) & 7 &+ 1, of: words[last])
    unsafe current.setSlots(slot, last, words)
    current.setSlot(slot &+ UInt32(truncatingIfNeeded: last), word)
  }

  /// Which of the slots of `size` bytes is the last.
  @inline(__always)
  private static func last(_ size: Int) -> Int { Int(bitPattern: UInt(bitPattern: size &- 1) / 8) }

  /// Bits of their tags.
  @inline(__always)
  private static func tagBits(_ size: Int) -> UInt32 { 4 &* UInt32(truncatingIfNeeded: last(size)) &+ 4 }

  /// A header with their tags.
  @inline(__always)
  private static func adding(_ size: Int, to header: UInt32, at shift: UInt32) -> UInt32 {
    let end = shift &+ tagBits(size) &- 4
    let more = Line.allMore & ((1 &<< end) &- (1 &<< shift))
    return header | more | UInt32(truncatingIfNeeded: (size &- 1) & 7 &+ 1) &<< end
  }

  private mutating func skipRest() {
    header |= Line.skip &<< shift
    shift = 32
  }

  /// Lines ahead of the current one that the processor is asked for: as many as it fetches while it fills one.
  private static var prefetchDistance: UInt32 { 16 }

  /// Goes on to the next line, for which there is credit.
  @inline(__always)
  private mutating func nextLine() {
    if isBehind {
      if held == nil { held = (current, header) } else { current.header.store(header) }
      isBehind = false
    }
    line &+= 8
    current = lines[line]
    header = lines.lap(of: line)
    shift = 4
    let ahead = Self.prefetchDistance &* 8
    // Not what the consumer may still be reading.
    if limit &- line > ahead { lines[line &+ ahead].prefetch() }
  }

  /// As `append`, for a message that one line can't hold.
  private mutating func appendLines(_ message: borrowing MessageBuffer) throws(RingError) -> Bool {
    guard let first = try fillLines(message) else {
      publish()
      return false
    }
    if held == nil { held = first } else { first.line.header.store(first.header) }
    isBehind = true
    isAppending = true
    return true
  }

  /// Puts a message of several lines behind the last one. All but its first and its last line are as they have to be then.
  ///
  /// - Returns: The first line, with its header; nil when the ring is full.
  @inline(__always)
  private mutating func fillLines(_ message: borrowing MessageBuffer) throws(RingError) -> (line: Line, header: UInt32)? {
    precondition(message.used <= maximumMessageSize, "a message fits in a quarter of the ring")
    guard try hasRoom(lines: (Line.slots(for: message.used) &+ Line.slots &- 1) / Line.slots) else { return nil }
    if shift == 32 { nextLine() }
    // SAFETY, all: all puts together are the message's slots.
    var words = unsafe message.words
    var rest = message.used
    let count = Int(truncatingIfNeeded: 8 &- shift / 4)
    unsafe current.setSlots(shift / 4, count, words)
    unsafe words += count
    rest &-= 8 &* count
    let first = (line: current, header: header | Line.allMore &<< shift)
    var (at, target) = (line &+ 8, lines[line &+ 8])
    let ahead = Self.prefetchDistance &* 8
    if limit &- at > ahead { lines[at &+ ahead].prefetch() }
    while rest > Line.payloadSize {
      unsafe target.fill(words)
      target.header.store(Line.allMore & ~15 | lines.lap(of: at))
      unsafe words += 7
      rest &-= Line.payloadSize
      at &+= 8
      target = lines[at]
      if limit &- at > ahead { lines[at &+ ahead].prefetch() }
    }
    line = at
    current = target
    unsafe put(words, rest, at: 1)
    header = Self.adding(rest, to: lines.lap(of: at), at: 4)
    shift = 4 &+ Self.tagBits(rest)
    return first
  }

  /// Lets the consumer see everything that was appended.
  ///
  /// - Ordering: releases the header of the first line that it hasn't seen, last of all (SP-1).
  public mutating func publish() {
    if let held {
      if isBehind { current.header.store(header) }
      release(held.line, held.header)
      self.held = nil
    } else if isBehind {
      release(current, header)
    }
    isBehind = false
    isAppending = needsFences
  }

  private func release(_ line: Line, _ header: UInt32) {
    if needsFences { combiningFence() }
    line.header.storeReleasing(header)  // SP-1
    if needsFences { combiningFence() }
  }

  /// Whether the consumer's credit covers the message that was sent when `position` was `start`.
  ///
  /// - Ordering: acquires the credit word (SP-2).
  func isTaken(start: UInt32) -> Bool { credit.loadAcquiring() &- start &- 1 < lines.count &* 8 }

  /// How far the consumer has come, and up to where there is something: together they tell what was received, however long ago it was
  /// sent.
  ///
  /// - Ordering: acquires the credit word (SP-2).
  var progress: Progress { Progress(credit: credit.loadAcquiring(), position: position) }

  struct Progress {
    var credit: UInt32 = 0
    var position: UInt32 = 0

    /// Whether the message that was sent when `position` was `start` was received; no more than 2^32 slots have been sent since.
    func covers(start: UInt32) -> Bool { position &- start > position &- credit }
  }
}
