/// One side of one channel: its session, its two rings, and what it needs to sleep and to wake its peer.
///
/// Neither side may assume anything about the other: it may start first or last, die at any instruction and come back, or
/// be hostile. Every word that this side decides by is its own private copy.
public struct Endpoint: ~Copyable {
  /// Where the handshake stands (Spec 3 §2).
  public enum State: Sendable, Equatable {
    /// The peer isn't there, or hasn't been acknowledged.
    case sync
    /// The peer is acknowledged; it hasn't acknowledged this side yet.
    case acknowledged
    /// Both have: messages flow.
    case established
  }

  /// What `refresh` noticed. Whatever it was but `none`, the peer waits for this side's step: ring.
  public enum Event: Sendable, Equatable {
    case none
    /// The peer's session is acknowledged; it has yet to acknowledge this one.
    case acknowledged
    /// A session began. Rings are empty.
    case established
    /// The session is over; whatever was under way is lost. The peer ended it or restarted, or (with a reason) refused
    /// what this side sent.
    case lost(PoisonReason?)
  }

  public private(set) var state = State.sync
  /// Whether messages flow.
  @inline(__always)
  public var isEstablished: Bool { if case .established = state { true } else { false } }
  /// This side's session. Random, never 0.
  public private(set) var session: UInt32 = 0
  /// The peer's session that was acknowledged; 0 for none.
  private var acknowledged: UInt32 = 0
  /// The peer's session that the outgoing ring is being cleared for, and how many of its lines are.
  private var preparing: (session: UInt32, lines: UInt32) = (0, 0)
  /// A peer's session that broke the rules. It gets no second chance; its successor does.
  private var banned: UInt32 = 0

  public var producer: Producer
  public var consumer: Consumer

  private let own: Control
  private let peer: Control
  /// A borrower's. It begins no session while the owner acknowledges an earlier one of this channel: see `mayPrepare`.
  private let isBorrower: Bool
  /// Up to where the peer had read when its last session ended.
  private var final = Producer.Progress()
  /// What an owner says about the link, and where.
  private let identity: (statement: LinkIdentity, region: SharedRegion)?
  /// What this side says about interrupts; stated with each session.
  public var bell = Bell()
  private let needsFences: Bool
  private var heartbeat: UInt32 = 0
  /// Odd while this side sleeps.
  private var sleeps: UInt32 = 0
  private var rings: UInt32 = 0
  /// The peer's sleep that was already rung for.
  private var rungSleep: UInt32 = 0

  /// The words that one side writes about a channel (Spec 2 §3).
  @safe
  private struct Control {
    let session: SharedWord
    let acknowledged: SharedWord
    let heartbeat: SharedWord
    let error: SharedWord
    let sleeps: SharedWord
    let doorbell: SharedWord
    let bell: SharedWord
    let pattern: UnsafeMutableRawPointer
    let credit: SharedWord

    init(_ region: SharedRegion, at offset: Int) {
      session = region.word(at: offset)
      acknowledged = region.word(at: offset + 0x04)
      heartbeat = region.word(at: offset + 0x08)
      error = region.word(at: offset + 0x0c)
      sleeps = region.word(at: offset + 0x10)
      doorbell = region.word(at: offset + 0x14)
      bell = region.word(at: offset + 0x18)
      unsafe pattern = region.lines(at: offset, count: 1) + 0x20
      credit = region.word(at: offset + 0x40)  // a line of its own: it changes with every message
    }

    /// Slot `index` of the pattern that goes with a session.
    private static func pattern(_ index: Int, of session: UInt32) -> UInt64 {
      let product = UInt64(session) &* 0x9e37_79b9_7f4a_7c15
      return index == 0 ? product : product &<< UInt64(16 &* index) | product &>> UInt64(64 &- 16 &* index)
    }

    // SAFETY, both: four slots from 0x20 on lie in the line.
    func storePattern(of session: UInt32) {
      for index in 0..<4 { unsafe storeSlot(pattern + index * 8, Self.pattern(index, of: session)) }
    }

    func hasPattern(of session: UInt32) -> Bool {
      for index in 0..<4 where unsafe loadSlot(pattern + index * 8) != Self.pattern(index, of: session) { return false }
      return true
    }
  }

  /// - Parameter identity: An owner's. It is stated anew with each session of either side: whoever maps the region may have
  ///   overwritten it.
  /// - Precondition: `channel` is one of the layout's, and the layout was made for a region of this size.
  public init(_ region: SharedRegion, layout: LinkLayout, channel: Int, role: Role, identity: LinkIdentity? = nil) {
    precondition(channel >= 0 && channel < layout.channels && layout.size <= region.size)
    self.identity = identity.map { ($0, region) }
    if case .borrower = role { isBorrower = true } else { isBorrower = false }
    needsFences = region.needsFences
    own = Control(region, at: layout.control(role, channel: channel))
    peer = Control(region, at: layout.control(role.peer, channel: channel))
    producer = Producer(
      region, offset: layout.ring(from: role, channel: channel), lineCount: layout.lines, credit: peer.credit)
    consumer = Consumer(
      region, offset: layout.ring(from: role.peer, channel: channel), lineCount: layout.lines, credit: own.credit)
  }

  // ---- Session (Spec 3) ----------------------------------------------------------------------------------------------

  /// Begins a session of this side; ring the doorbell afterwards. What was under way in an earlier one is lost.
  ///
  /// - Parameter session: Random and not 0, so that no earlier one is mistaken for it; the last one's number is not taken again.
  public mutating func start(session: UInt32) {
    precondition(session != 0)
    // The owner of the session before learns what was received in it.
    consumer.giveCredit()
    // A guest without entropy may draw the same number at each boot, and its peer would take it for the one before.
    self.session = session == own.session.load() ? Self.next(session) : session
    state = .sync
    acknowledged = 0
    own.acknowledged.store(0)
    sleepFence()  // SP-7: whoever sees the new pattern sees that
    storeTerms(error: .none)
    own.session.storeReleasing(self.session)  // SP-4: whoever sees it sees acknowledged 0, not a predecessor's
    if needsFences { combiningFence() }
  }

  /// Stores what a session of this side comes with, before its release: whoever maps the region may have written over it.
  private func storeTerms(error: PoisonReason) {
    own.error.store(error.rawValue)
    own.bell.store(bell.word)
    own.storePattern(of: session)
    if let identity { identity.statement.write(to: identity.region) }
    if needsFences { combiningFence() }
  }

  private static func next(_ session: UInt32) -> UInt32 { session == .max ? 1 : session &+ 1 }

  /// Ends the session in good order; wake the peer afterwards. `start` begins another one.
  public mutating func end() {
    // What was received was received: the owner doesn't give those bytes to anybody else.
    consumer.giveCredit()
    own.acknowledged.store(0)
    own.session.storeReleasing(0)
    changeDoorbell()
  }

  /// Ends the session in good order, for good.
  ///
  /// - Returns: Whom to wake.
  public consuming func close() -> Sleeper {
    end()
    return sleeper
  }

  /// Looks at the peer's session words and takes the next step of the handshake.
  ///
  /// - Complexity: two loads while nothing changes. A step stores at most `linesPerStep` words and some more, so that a peer
  ///   that restarts all the time can't keep this side busy.
  @inline(__always)
  public mutating func refresh() -> Event {
    // Nothing follows from words that are as they were: they need not be acquired, which costs a barrier on armv7.
    if peer.session.load() == acknowledged, (peer.acknowledged.load() == session) == isEstablished { return .none }
    return handshake()
  }

  @inline(never)
  private mutating func handshake() -> Event {
    guard session != 0 else { return .none }
    let theirs = peer.session.loadAcquiring()  // SP-4
    let theirAcknowledged = peer.acknowledged.loadAcquiring()  // SP-5
    if theirs != acknowledged {
      let wasEstablished = isEstablished
      if acknowledged != 0 {
        // Before it is taken back: from then on the peer may reset its credit word.
        final = producer.progress
        state = .sync
        acknowledged = 0
        own.acknowledged.storeReleasing(0)
      }
      if theirs != 0, theirs != banned, mayPrepare { prepare(for: theirs) }
      if wasEstablished { return .lost(nil) }
      if state == .acknowledged, theirAcknowledged != session { return .acknowledged }
    }
    if state == .acknowledged, theirAcknowledged == session {
      guard peer.hasPattern(of: acknowledged) else {
        sleepFence()  // SP-7
        // Its next session's pattern comes after it has taken this acknowledgement back.
        guard peer.acknowledged.load() == session else { return .none }
        poison(.badMemory)
        return .lost(.badMemory)
      }
      state = .established
      return .established
    }
    if isEstablished, theirAcknowledged != session {
      // The same peer no longer acknowledges us: it refused something, or forgot. Only a new session mends that.
      let reason = peerRefusal
      final = producer.progress
      start(session: Self.next(session))
      return .lost(reason)
    }
    return .none
  }

  /// Whether this side may reset its rings and its credit word for a session of the peer's.
  ///
  /// A borrower waits until the owner no longer acknowledges this channel's session before: that one's credit word says which
  /// answers were received, and the owner looks at it before it takes its acknowledgement back (Spec 3 §6).
  private var mayPrepare: Bool {
    guard isBorrower else { return true }
    let theirAcknowledged = peer.acknowledged.loadAcquiring()
    return theirAcknowledged == 0 || theirAcknowledged == session
  }

  /// Lines that one step of the handshake clears.
  static var linesPerStep: UInt32 { 64 }

  /// Makes the rings ready for a session of the peer's, a step at a time, and then acknowledges it.
  private mutating func prepare(for theirs: UInt32) {
    if preparing.session != theirs {
      preparing = (theirs, 0)
      // The peer, which may still read this ring, sees the new session before it sees a header that is none (Spec 3 §5).
      sleepFence()
    }
    producer.clear(preparing.lines..<preparing.lines + Self.linesPerStep)
    preparing.lines += Self.linesPerStep
    guard preparing.lines >= producer.lineCount else { return }
    preparing = (0, 0)
    producer.reset(start: session & ~7)
    consumer.reset(start: theirs & ~7)
    rungSleep = 0
    acknowledged = theirs
    state = .acknowledged
    storeTerms(error: .none)
    own.session.storeReleasing(session)
    own.acknowledged.storeReleasing(theirs)  // SP-5: whoever sees it sees an empty ring
    if needsFences { combiningFence() }
  }

  /// Ends the link for this session of the peer, with a reason that the peer can read. Its next session starts afresh.
  ///
  /// Does nothing when the peer has restarted meanwhile: then it was its reset that looked wrong, and `refresh` sees to it.
  ///
  /// - Returns: Whether the session is over by this.
  @discardableResult
  public mutating func poison(_ reason: PoisonReason) -> Bool {
    guard peer.session.loadAcquiring() == acknowledged else { return false }
    final = producer.progress
    banned = acknowledged
    acknowledged = 0
    state = .sync
    own.error.store(reason.rawValue)
    if needsFences { combiningFence() }
    own.acknowledged.storeReleasing(0)  // SP-5: whoever sees it sees the reason
    if needsFences { combiningFence() }
    return true
  }

  /// Why the peer no longer acknowledges this session; nil when it does, or gives no reason that this version knows.
  public var peerRefusal: PoisonReason? {
    guard acknowledged != 0, peer.session.loadAcquiring() == acknowledged, peer.acknowledged.loadAcquiring() != session,
      let reason = PoisonReason(rawValue: peer.error.load()), reason != .none
    else { return nil }
    return reason
  }

  // ---- The fate of a message whose answer never came (Spec 3 §6) -------------------------------------------------------

  /// After receiving a request and before doing what it asks: whether its sender still wants it.
  ///
  /// - Ordering: a full fence between the credit word and the look at the sender's session (SP-6). Either the sender, which
  ///   first ends its session and then looks at the credit, sees the request taken, or this side sees the session ended.
  @inline(__always)
  public mutating func isStillWanted() -> Bool {
    consumer.giveCredit()
    sleepFence()
    return peer.session.load() == acknowledged
  }

  /// Gives up on a message: begins a new session, so that the peer won't act on it if it hasn't taken it yet.
  ///
  /// - Parameters:
  ///   - start: `producer.position` before the message was sent.
  ///   - session: For this side's new session.
  /// - Returns: True when the peer certainly hasn't acted on it and won't. False when nobody can tell.
  public mutating func giveUp(messageAt start: UInt32, session: UInt32) -> Bool {
    let (old, theirs) = (self.session, acknowledged)
    self.start(session: session)
    sleepFence()  // SP-6
    if producer.isTaken(start: start) { return false }
    // The peer resets its credit word when it takes up the new session, but stores 0 into its acknowledged word before; and
    // its successor does, but has a session of its own before. So if both words are as they were, the credit was too.
    return peer.acknowledged.loadAcquiring() == old && peer.session.loadAcquiring() == theirs
  }

  /// Whether what looks like a violation may be the peer's restart: it no longer is in the session that this side is in.
  public var isPeerGone: Bool {
    acknowledged == 0 || peer.session.loadAcquiring() != acknowledged || isEstablished && peer.acknowledged.load() != session
  }

  /// Whether the peer has received the message that was sent when `producer.position` was `start`, in the session that is
  /// established.
  ///
  /// - Ordering: acquires the peer's credit word (SP-2).
  public func isReceived(messageAt start: UInt32) -> Bool { producer.progress.covers(start: start) }

  /// Whether the peer had received a message when its session ended, which `refresh` or `poison` has noticed: exactly, as far
  /// as the peer is honest (Spec 3 §6).
  public func wasReceived(messageAt start: UInt32) -> Bool { final.covers(start: start) }

  /// Whether the peer says that it runs. 0 means that it never did or ended in good order.
  public var peerSession: UInt32 { peer.session.load() }

  // ---- Liveness ------------------------------------------------------------------------------------------------------

  /// Shows the peer that this side lives. Every 200 ms at least while it does (Spec 3 §4).
  public mutating func beat() {
    heartbeat &+= 1
    own.heartbeat.store(heartbeat)
    if needsFences { combiningFence() }
  }

  /// A number that changes while the peer lives.
  public var peerHeartbeat: UInt32 { peer.heartbeat.load() }

  // ---- Sleep and wake (Spec 2 §6) ------------------------------------------------------------------------------------

  /// Asks the peer to ring. Afterwards: `sleepFence()`, look once more at `needsAttention`, and only then sleep.
  ///
  /// - Returns: The peer's doorbell word as it was before: sleep while it is the same. Looked at any later, it could hold the
  ///   ring for this sleep already, for a message that had been received before (Spec 2 §6).
  @discardableResult
  public mutating func arm() -> UInt32 {
    let sampled = peer.doorbell.loadAcquiring()
    sleeps |= 1
    own.sleeps.store(sleeps)
    return sampled
  }

  /// Awake again: the peer need not ring.
  public mutating func disarm() {
    sleeps = (sleeps | 1) &+ 1
    own.sleeps.store(sleeps)
  }

  /// Whether there is something to receive or a handshake step to take. The last look before sleeping.
  @inline(__always)
  public var needsAttention: Bool { isEstablished && consumer.isReady || needsHandshake }

  /// Whether there is a handshake step to take. A look, which orders nothing: `refresh` takes the step.
  public var needsHandshake: Bool {
    let theirs = peer.session.load()
    if theirs != acknowledged { return theirs != 0 && theirs != banned && mayPrepare || acknowledged != 0 }
    return acknowledged != 0 && (peer.acknowledged.load() == session) != isEstablished
  }

  /// After publishing: whether the peer sleeps and hasn't been rung for this sleep yet. If so the doorbell word has been
  /// changed, and the caller rings.
  ///
  /// - Ordering: a full fence between what was published and the look at the peer's word (SP-3).
  @inline(__always)
  public mutating func shouldRing() -> Bool {
    sleepFence()
    let theirs = peer.sleeps.load()
    guard theirs & 1 != 0, theirs != rungSleep else { return false }
    rungSleep = theirs
    changeDoorbell()
    return true
  }

  /// Changes the doorbell word, so that a futex on it doesn't sleep.
  public mutating func changeDoorbell() {
    rings &+= 1
    own.doorbell.store(rings ^ session)
  }

  /// What the peer says about interrupts. Any words: it can be wrong about itself only.
  public var peerBell: Bell { Bell(word: peer.bell.load()) }

  /// The word that the peer changes when it rings this side; a futex sleeps on it.
  public var incomingDoorbell: SharedWord { peer.doorbell }
  /// The peer, as somebody to be woken.
  public var sleeper: Sleeper { Sleeper(doorbell: own.doorbell, bell: peerBell) }
}
