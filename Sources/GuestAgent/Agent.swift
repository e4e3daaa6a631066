import BrokerProtocol
import Linux
import Partition
import RingBuffer
import SharedMemory

/// How an agent reaches its link.
public struct AgentConfiguration: Sendable {
  /// The built-in example: the region is a file in /dev/shm, its doorbell a futex.
  public var isExample: Bool
  /// `--memory LINK=PATH`
  public var memory: String?
  /// How long to wait for an owner to take up the session, in nanoseconds; 250 ms at least.
  public var patience: UInt64 = 2_000_000_000
  /// How long to spin for an answer before sleeping, in nanoseconds; longer where nobody rings, not at all where it can't help.
  public var spin: UInt64 = 50_000

  public init(isExample: Bool, memory: String? = nil) {
    self.isExample = isExample
    self.memory = memory
  }
}

/// A borrower's end of one link: one request at a time, each answered or failed by its deadline.
///
/// It holds one of the link's channels until it goes; the kernel gives that back if the process dies. When the owner
/// restarts, the next request begins a new session by itself.
public struct Agent: ~Copyable {
  /// How long an owner may be silent before it counts as gone: ten of its heartbeats.
  public static var ownerTimeout: UInt64 { 2_000_000_000 }
  /// How much longer than the owner's own limit to wait for its answer.
  static var grace: UInt64 { 1_000_000_000 }
  /// The least patience for an owner, in nanoseconds: longer than its heartbeats are apart, so that a living one is seen.
  static var leastPatience: UInt64 { 250_000_000 }

  /// The link's name and owner, for messages.
  public let link: Link
  public let channel: Int
  var endpoint: Endpoint
  let doorbell: Doorbell
  private let mapping: Mapping
  private let identity: LinkIdentity
  private let patience: UInt64
  private let spin: UInt64
  /// How many requests more to spin for no longer than that, since a longer spin was in vain, and how many after the next one
  /// that is: the owner's guest may need this very processor, or its device the time.
  private var backoff = (now: 0, next: 1)
  /// How often to look for an answer before the clock is read for the first time: that may be a system call.
  private let looks: Int
  private var frame: MessageBuffer
  /// The last answer, header and data.
  var reply: MessageBuffer
  var lastID: UInt32 = 0

  /// Maps the link's region and takes a free channel. Doesn't need an owner yet.
  public init(_ link: Link, _ configuration: AgentConfiguration) throws(AgentError) {
    let opened: OpenLink
    do throws(MappingError) {
      opened = try OpenLink(link, override: configuration.memory, isExample: configuration.isExample)
    } catch {
      throw AgentError(.memory(error), executed: .no)
    }
    var free: Int?
    do throws(Errno) {
      for index in 0..<opened.layout.channels where try opened.mapping.lock(.channel(index)) {
        free = index
        break
      }
    } catch {
      throw AgentError(.system(error), executed: .no)
    }
    guard let free else { throw Self.channelsBusy(opened) }
    self.link = link
    channel = free
    mapping = opened.mapping
    endpoint = Endpoint(mapping.region, layout: opened.layout, channel: free, role: .borrower)
    doorbell = opened.doorbell
    identity = LinkIdentity(opened.layout, protocolVersion: protocolVersion)
    patience = max(configuration.patience, Self.leastPatience)
    spin = opened.doorbell.spinningHelps ? configuration.spin : 0
    looks = spin > 0 ? 1024 : 1
    frame = MessageBuffer(capacity: min(endpoint.producer.maximumMessageSize, Request.size + maximumData))
    reply = MessageBuffer(capacity: min(endpoint.consumer.maximumMessageSize, Response.size + maximumData))
    endpoint.bell = doorbell.bell
    endpoint.start(session: randomSession())
    doorbell.ring(&endpoint)
  }

  deinit { doorbell.wake(endpoint.close()) }

  /// Data that fits into one request, in bytes.
  public var maximumRequestData: Int { frame.capacity - Request.size }

  /// Data that fits into one response, in bytes.
  public var maximumResponseData: Int { reply.capacity - Response.size }

  /// The last answer's data.
  public var replyData: [UInt8] {
    let bytes = reply.bytes
    return (Response.size..<max(Response.size, bytes.byteCount)).map {
      unsafe bytes.unsafeLoad(fromByteOffset: $0, as: UInt8.self)
    }
  }

  public var isConnected: Bool { endpoint.isEstablished }

  /// What makes requests slow since the two device trees don't agree about the doorbell: a sentence's part; nil when they do.
  public var doorbellDisagreement: String? { doorbell.disagreement(endpoint) }

  /// Tells the owner that the last answer has been received: what it carried is not given to anybody else.
  mutating func giveCredit() { endpoint.consumer.giveCredit() }

  /// How many sessions were established so far. What an owner said of itself, such as a peripheral's number, holds for the
  /// session that it was said in.
  public private(set) var sessions: UInt32 = 0

  /// Waits until the owner has taken up this session, at most for the configured patience.
  public mutating func connect() throws(AgentError) {
    let start = monotonicNanoseconds()
    var clock = AttendedClock(now: start)
    let heartbeat = endpoint.peerHeartbeat
    while true {
      endpoint.beat()
      if try shakeHands() { return }
      let now = monotonicNanoseconds()
      let waited = clock.look(now: now)
      if mapping.isLost { throw AgentError(.regionLost(mapping.lossText), executed: .no) }
      if wasInterrupted { throw AgentError(.system(.interrupted), executed: .no) }
      guard waited < patience else {
        let lives = endpoint.peerHeartbeat != heartbeat
        // What else may be in the memory before an owner was there is no owner's.
        if lives || LinkIdentity(reading: mapping.region).magic == identity.magic { try checkIdentity() }
        var error = AgentError(lives ? .noAnswer(after: waited) : .noOwner(silentFor: waited), executed: .no)
        error.unusedFile = mapping.unusedFile
        throw error
      }
      if spin > 0, now &- start < spin { spinHint() } else { doorbell.sleep(&endpoint, atMost: 10_000_000, idle: waited) }
    }
  }

  /// The next step of the handshake, without waiting. Returns whether there is a session.
  package mutating func shakeHands() throws(AgentError) -> Bool {
    switch endpoint.refresh() {
    case .established:
      sessions &+= 1
      do throws(AgentError) {
        try checkIdentity()
      } catch {
        // Whoever tries again finds out again.
        endpoint.start(session: randomSession())
        throw error
      }
    case .lost(let reason?): throw AgentError(.protocolError(reason), executed: .no)
    case .acknowledged, .lost(nil): doorbell.ring(&endpoint)
    case .none: break
    }
    return endpoint.isEstablished
  }

  private func checkIdentity() throws(AgentError) {
    let theirs = LinkIdentity(reading: mapping.region)
    guard theirs != identity else { return }
    func mismatch(_ what: String, _ ours: UInt32, _ theirs: UInt32) -> AgentError? {
      ours == theirs ? nil : AgentError(.layoutMismatch("\(what) \(theirs), here \(ours)"), executed: .no)
    }
    if let error = mismatch("magic", identity.magic, theirs.magic) { throw error }
    if let error = mismatch("layout version", identity.layoutVersion, theirs.layoutVersion) { throw error }
    if let error = mismatch("protocol version", identity.protocolVersion, theirs.protocolVersion) { throw error }
    if let error = mismatch("region size", identity.size, theirs.size) { throw error }
    if let error = mismatch("channels", identity.channels, theirs.channels) { throw error }
    if let error = mismatch("ring lines", identity.lines, theirs.lines) { throw error }
  }

  /// Sends a request with data and waits for its answer, whose data is then in `replyData`.
  ///
  /// - Parameters:
  ///   - request: Its id is set here. Its timeout, in milliseconds, bounds the wait: the owner keeps to it.
  ///   - data: At most `maximumRequestData` bytes.
  ///   - session: Send it in this one of the `sessions` only; else `connectionReset` is thrown, not executed.
  /// - Throws: `AgentError`, whose `executed` tells whether the request reached the device.
  /// - Complexity: no allocation, no lock; no system call as long as the owner is awake and answers while this side spins.
  @_optimize(speed) @inline(never)
  public mutating func call(_ request: Request, data: RawSpan, in session: UInt32? = nil) throws(AgentError) -> Response {
    if !endpoint.isEstablished || endpoint.needsHandshake { try connect() }
    if let session, session != sessions { throw AgentError(.connectionReset, executed: .no) }
    var request = request
    let start = try post(&request, data: data)
    for _ in 0..<looks {
      if let response = try collect(request.id, start: start) { return response }
      spinHint()
    }
    return try awaitResponse(request, start: start)
  }

  /// Sends a request, whose id is set here, without waiting for its answer.
  ///
  /// - Returns: Where it is in the ring, for `collect`.
  @inline(__always)
  package mutating func post(_ request: inout Request, data: RawSpan) throws(AgentError) -> UInt32 {
    guard data.byteCount <= maximumRequestData else {
      throw AgentError(.tooLong(maximum: maximumRequestData), executed: .no)
    }
    lastID &+= 1
    request.id = lastID
    var storage = frame.storage
    request.encode(into: &storage)
    frame.put(data, at: Request.size)
    let start = endpoint.producer.position
    do throws(RingError) {
      // One request at a time never fills a ring: giving one up begins a session with an empty one.
      _ = try endpoint.producer.send(frame)
    } catch {
      if endpoint.isPeerGone { throw giveUp(.connectionReset, start: start) }
      throw poisoned(error.reason, executed: .no)
    }
    doorbell.ringIfNeeded(&endpoint)
    return start
  }

  /// The answer to request `id`, if it is the next thing that came. Another one is dropped.
  @inline(__always)
  package mutating func collect(_ id: UInt32, start: UInt32) throws(AgentError) -> Response? {
    do throws(RingError) {
      return try endpoint.consumer.receive(into: &reply) ? response(to: id) : nil
    } catch {
      throw violated(error.reason, start: start)
    }
  }

  /// The response in `reply`, if it answers request `id`. An answer to an earlier request, given up since, is dropped.
  @inline(__always)
  private func response(to id: UInt32) -> Response? {
    guard let response = Response(reply.bytes), response.id == id else { return nil }
    return response
  }

  /// What was received can't be. Where the owner has ended or restarted, it was its successor's clearing of the ring (Spec 3 §5).
  private mutating func violated(_ reason: PoisonReason, start: UInt32) -> AgentError {
    endpoint.isPeerGone ? giveUp(.connectionReset, start: start) : poisoned(reason, executed: .maybe)
  }

  private mutating func poisoned(_ reason: PoisonReason, executed: Executed) -> AgentError {
    if mapping.isLost { return AgentError(.regionLost(mapping.lossText), executed: .maybe) }
    endpoint.poison(reason)
    endpoint.start(session: randomSession())
    doorbell.ring(&endpoint)
    return AgentError(.protocolError(reason), executed: executed)
  }

  /// Waits for the answer with an eye on the clock and on the owner's pulse.
  @inline(never)
  private mutating func awaitResponse(_ request: Request, start: UInt32) throws(AgentError) -> Response {
    let begin = monotonicNanoseconds()
    var clock = AttendedClock(now: begin)
    let limit = UInt64(request.timeout) &* 1_000_000 &+ Self.grace &+ Self.ownerTimeout
    var isLong = backoff.now == 0
    let spin = isLong ? doorbell.spin(endpoint, atLeast: spin) : spin
    if !isLong { backoff.now -= 1 }
    var heartbeat = endpoint.peerHeartbeat
    /// When it changed last, in attended time.
    var alive: UInt64 = 0
    var looks = 0
    while true {
      // What answers something else is dropped, and doesn't stop the clock.
      if let response = try collect(request.id, start: start) {
        if isLong { backoff.next = 1 }
        return response
      }
      looks &+= 1
      if looks & 63 != 0 {
        spinHint()
        continue
      }
      let now = monotonicNanoseconds()
      let waited = clock.look(now: now)
      if mapping.isLost { throw AgentError(.regionLost(mapping.lossText), executed: .maybe) }
      if endpoint.needsHandshake { return try lost(request, start: start) }
      let beat = endpoint.peerHeartbeat
      if beat != heartbeat {
        heartbeat = beat
        alive = waited
      }
      if waited &- alive > Self.ownerTimeout { throw giveUp(.ownerSilent(silentFor: waited &- alive), start: start) }
      if wasInterrupted { throw giveUp(.system(.interrupted), start: start) }
      if waited > limit { throw giveUp(.noAnswer(after: waited), start: start) }
      if now &- begin >= spin {
        if isLong { backoff = (backoff.next, min(64, 2 * backoff.next)) }
        isLong = false
        // The owner does nothing more for a sender that may be dead (Spec 3 §4).
        endpoint.beat()
        doorbell.sleep(&endpoint, atMost: Doorbell.backstop, idle: now &- begin)
        looks = 63  // one look for each sleep
      }
    }
  }

  private mutating func giveUp(_ reason: AgentError.Reason, start: UInt32) -> AgentError {
    let never = endpoint.giveUp(messageAt: start, session: randomSession())
    doorbell.ring(&endpoint)
    if mapping.isLost { return AgentError(.regionLost(mapping.lossText), executed: .maybe) }
    return AgentError(reason, executed: never ? .no : .maybe)
  }

  /// The session is over. The answer may have been the owner's last word.
  private mutating func lost(_ request: Request, start: UInt32) throws(AgentError) -> Response {
    do throws(RingError) {
      // An honest owner's last words are no more than what it took at once.
      for _ in 0..<64 where try endpoint.consumer.receive(into: &reply) {
        if let response = response(to: request.id) { return response }
      }
    } catch {
      // What a successor left half-made is no answer.
    }
    if let reason = endpoint.peerRefusal { throw giveUp(.protocolError(reason), start: start) }
    throw giveUp(.connectionReset, start: start)
  }
}
