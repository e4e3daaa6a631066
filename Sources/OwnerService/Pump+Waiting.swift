import BrokerProtocol
import CLinux
import Linux
import RingBuffer
import SharedMemory

extension Pump {
  /// Serves until `stop` is readable, then answers what is under way with ECANCELED and closes its sessions.
  @_optimize(speed)
  mutating func run(until stop: Int32) throws(ServiceError) {
    start()
    do throws(ServiceError) {
      stopKey = try watchStop(stop)
    } catch {
      finish()
      throw error
    }
    /// Looks in vain since there was something to do.
    var idle: UInt32 = 0
    /// Not before there was something to do: with a timed poll it would be again and again.
    var maySpin = false
    var passes: UInt32 = 0
    var idleSince: UInt64 = 0
    while true {
      passes &+= 1
      // Who has no session yet can wait for a moment while others are served, who can't.
      if serveAll(withHandshakes: !maySpin || passes & 15 == 0) {
        idle = 0
        hasWorked = true
        maySpin = spinNanoseconds > 0
        if passes & 63 == 0, serveOthers(now: monotonicNanoseconds()) { break }
        continue
      }
      idle &+= 1
      if maySpin {
        // The clock is read once in 1024 looks: it may be a system call.
        if idle & 1023 != 0 {
          spinHint()
          continue
        }
        let now = monotonicNanoseconds()
        if idle == 1024 { idleSince = now }
        if now &- idleSince < spinNanoseconds {
          if serveOthers(now: now) { break }
          continue
        }
        maySpin = false
      }
      if sleep() { break }
    }
    finish()
    forgetStop(stop)
    if let end { throw end }
  }

  /// Begins a session on every channel, the first time it is called.
  mutating func start() {
    guard !hasStarted else { return }
    hasStarted = true
    for index in 0..<channels.count {
      channels[index].endpoint.start(session: randomSession())
      channels[index].ring()
    }
    beat(now: monotonicNanoseconds())
  }

  private mutating func finish() {
    for number in 0..<served.count { stopAll(number, nil, .ended) }
    for index in 0..<channels.count {
      channels[index].endpoint.end()
      channels[index].doorbell.wake(channels[index].endpoint.sleeper)
    }
    for number in 0..<served.count { if let loss = served[number].peripheral.end() { report(loss) } }
  }

  /// One look at every channel.
  mutating func turn() -> Bool { serveAll(withHandshakes: true) }

  /// One look at every channel that has a session, or at every one. Returns whether there was anything to do.
  @inline(__always)
  private mutating func serveAll(withHandshakes: Bool) -> Bool {
    var worked = false
    for index in 0..<channels.count where withHandshakes || channels[index].endpoint.isEstablished {
      if serve(index) { worked = true }
    }
    return worked
  }

  /// Takes the next step with one channel: at most one request, so that none waits for more than one of another's.
  @inline(__always)
  private mutating func serve(_ index: Int) -> Bool {
    let event = channels[index].endpoint.refresh()
    var isNews = true
    if case .none = event { isNews = false } else { noteSession(event, index) }
    guard channels[index].endpoint.isEstablished else { return isNews }
    do throws(PoisonReason) {
      if try !serveNext(of: index) { return isNews }
    } catch {
      poison(index, error)
    }
    return true
  }

  private mutating func noteSession(_ event: Endpoint.Event, _ index: Int) {
    switch event {
    case .none: return
    case .acknowledged: break
    case .established:
      // What a session left whose end was noticed when an answer was sent.
      forget(index)
      channels[index].beginPulse()
      if let difference = channels[index].doorbell.disagreement(channels[index].endpoint) {
        complain(index, "\(difference); requests can take 100 ms and more until both device trees agree")
      }
    case .lost(let reason):
      forget(index)
      if let reason { complain(index, "it gave the channel up: \(reason.text)") }
    }
    // Whatever the step was, the peer waits for it.
    channels[index].ring()
  }

  private mutating func poison(_ index: Int, _ reason: PoisonReason) {
    // What looked wrong may have been the borrower's restart; the next look at its session tells.
    guard channels[index].endpoint.poison(reason) else { return }
    forget(index)
    if channels[index].mapping.isLost { return }  // it wasn't the guest
    if case .silent = reason {
      complain(index, "it showed no heartbeat for 2 s: what it had asked for is dropped")
    } else {
      complain(index, "it broke the protocol, and its session is closed: \(reason.text)")
    }
    channels[index].ring()
  }

  /// After a channel's session has ended: drops what was asked for in it, and takes back what was sent and not received.
  private mutating func forget(_ index: Int) {
    while let (delivery, bytes) = channels[index].takeUndelivered() {
      let peripheral = served[delivery.peripheral].peripheral
      if let bytes { peripheral.takeBack(bytes) } else { peripheral.settle(delivery.count) }
    }
    dropCalls(of: index)
    // Others may go on with what it leaves.
    needsTurn = true
  }

  /// Notes what borrowers have received, and ends the sessions of those that are gone.
  private mutating func takePulses(now: UInt64) {
    let wasAway = now &- lastTurn > Self.longGap
    let time = attended.look(now: now)
    suspects.removeAll(keepingCapacity: true)
    for index in 0..<channels.count {
      while let delivery = channels[index].takeReceived() { served[delivery.peripheral].peripheral.settle(delivery.count) }
      if wasAway { channels[index].distrust(attended: time) }
      if channels[index].takePulse(attended: time) == .gone { poison(index, .silent) }
      if channels[index].isSuspect { suspects.append(index) }
    }
  }

  /// Reports a sentence about a channel's borrower, if it may be one more.
  private mutating func complain(_ index: Int, _ sentence: String) {
    let guest = channels[index].guest
    let text = "\(guests[guest].name), channel \(channels[index].number): \(sentence)"
    if let text = guests[guest].complaints.filter(text, now: monotonicNanoseconds()) { report(text) }
  }

  // ---- Waiting -------------------------------------------------------------------------------------------------------

  /// Sleeps until something happens. Returns whether `stop` is readable.
  private mutating func sleep() -> Bool {
    for index in 0..<channels.count { channels[index].endpoint.arm() }
    sleepFence()  // SP-3
    let stopped = wait(atMost: sleepLimit())
    for index in 0..<channels.count { channels[index].endpoint.disarm() }
    return stopped
  }

  /// How long to sleep at most: until something is to be done, or as long as may be where no doorbell rings.
  mutating func sleepLimit() -> UInt64 {
    let now = monotonicNanoseconds()
    if hasWorked { lastWork = now }
    hasWorked = false
    let idle = now &- lastWork
    var limit = Doorbell.backstop &* 10
    for index in 0..<channels.count {
      if let interval = channels[index].doorbell.pollInterval(channels[index].endpoint) {
        limit = min(limit, Doorbell.pollInterval(interval, idle: idle))
      }
      limit = min(limit, channels[index].longestSleep)
    }
    return limit
  }

  /// Handles events, deadlines and heartbeats, waiting at most `limit` nanoseconds for the first of them. Returns whether
  /// `stop` is readable.
  private mutating func wait(atMost limit: UInt64) -> Bool {
    watchDevices()
    var timeout: UInt64 = 0
    if limit > 0, !needsTurn {
      let now = monotonicNanoseconds()
      var next = min(nextBeat, now &+ limit)
      if let deadline = nextDeadline(now: now) { next = min(next, deadline) }
      timeout = next > now ? next &- now : 0
    }
    var stopped = false
    let count = sleep(atMost: timeout)
    let now = monotonicNanoseconds()
    needsTurn = false
    takePulses(now: now)
    lastTurn = now
    for index in 0..<count {
      let (key, events) = waitSet.event(index)
      if key == stopKey {
        stopped = true
      } else if !doorbells.acknowledge(key), let number = (0..<served.count).first(where: { served[$0].key == key }) {
        served[number].peripheral.ready(events, now: now)
        obeyStop(of: number)
      }
    }
    if now >= nextBeat { beat(now: now) }
    turnLanes(now: now)
    for number in 0..<served.count { if let news = served[number].peripheral.takeNews() { report(news) } }
    return stopped || end != nil
  }

  /// Without waiting, and not oftener than is of use: a system call is what a client waits for then. Returns as `wait`.
  private mutating func serveOthers(now: UInt64) -> Bool { now &- lastTurn >= Self.turnInterval && wait(atMost: 0) }

  private mutating func beat(now: UInt64) {
    for index in 0..<channels.count { channels[index].endpoint.beat() }
    for number in 0..<served.count { served[number].peripheral.beat(now: now) }
    watchLinks()
    nextBeat = now &+ Self.heartbeatInterval
  }
}
