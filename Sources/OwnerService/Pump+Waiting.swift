import BrokerProtocol
import CLinux
import Linux
import RingBuffer
import SharedMemory

extension Pump {
  /// Serves until `stop` is readable, then answers what is under way with ECANCELED and closes its sessions.
  @_optimize(speed)
  mutating func run(until stop: Int32) throws(ServiceError) {
    guard lx_epoll_set(wakeUps.epoll.number, stop, lx_EPOLLIN, Tag.stop, 0) == 0 else { throw .system(.last) }
    defer { _ = lx_epoll_remove(wakeUps.epoll.number, stop) }
    start()
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
    if let end { throw end }
  }

  /// Begins a session on every channel.
  mutating func start() {
    for index in 0..<clients.count {
      clients[index].endpoint.start(session: randomSession())
      clients[index].ring()
    }
    beat(now: monotonicNanoseconds())
  }

  private mutating func finish() {
    for index in 0..<uarts.count {
      let unread = uarts[index].end(&clients)
      if unread > 0 { report("\(uarts[index].name): \(unread) received bytes that nobody had read are lost") }
    }
    for index in 0..<clients.count {
      clients[index].endpoint.end()
      clients[index].doorbell.wake(clients[index].endpoint.sleeper)
    }
  }

  /// One look at every client.
  mutating func turn() -> Bool { serveAll(withHandshakes: true) }

  /// One look at every client that has a session, or at every one. Returns whether there was anything to do.
  @inline(__always)
  private mutating func serveAll(withHandshakes: Bool) -> Bool {
    var worked = false
    for index in 0..<clients.count where withHandshakes || clients[index].endpoint.isEstablished {
      if serve(index) { worked = true }
    }
    return worked
  }

  /// Takes the next step with one client: at most one request, so that no client waits for more than one of another's.
  @inline(__always)
  private mutating func serve(_ index: Int) -> Bool {
    let event = clients[index].endpoint.refresh()
    var isNews = true
    if case .none = event { isNews = false } else { noteSession(event, index) }
    guard clients[index].endpoint.isEstablished else { return isNews }
    do throws(PoisonReason) {
      guard let slot = try clients[index].takeRequest() else { return isNews }
      dispatch(slot, of: index)
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
      clients[index].beginPulse()
      if let difference = clients[index].doorbell.disagreement(clients[index].endpoint) {
        complain(
          "\(clients[index].guest), channel \(clients[index].channel): \(difference); requests can take 100 ms and more until both device trees agree"
        )
      }
    case .lost(let reason):
      forget(index)
      if let reason { complain("\(clients[index].guest) gave up channel \(clients[index].channel): \(reason.text)") }
    }
    // Whatever the step was, the peer waits for it.
    clients[index].ring()
  }

  private mutating func poison(_ index: Int, _ reason: PoisonReason) {
    clients[index].endpoint.poison(reason)
    forget(index)
    if clients[index].mapping.isLost { return }  // it wasn't the guest
    if case .silent = reason {
      complain(
        "\(clients[index].guest) showed no heartbeat on channel \(clients[index].channel) for 2 s: what it had asked for is dropped"
      )
    } else {
      complain(
        "\(clients[index].guest) broke the protocol on channel \(clients[index].channel), which is closed: \(reason.text)")
    }
    clients[index].ring()
  }

  /// After a client's session has ended: drops what it asked for, and takes back what it was sent and didn't receive.
  private mutating func forget(_ client: Int) {
    while let (delivery, bytes) = clients[client].takeUndelivered() {
      if let bytes { uarts[delivery.uart].takeBack(bytes) } else { uarts[delivery.uart].settle(delivery.count) }
    }
    for index in 0..<uarts.count { uarts[index].forget(client: client, &clients) }
    // Others may go on with what it leaves.
    needsTurn = true
  }

  /// Notes what clients have received, and ends the sessions of those that are gone.
  private mutating func takePulses(now: UInt64) {
    let wasAway = now &- lastTurn > Self.longGap
    let time = attended.look(now: now)
    for index in 0..<clients.count {
      while let delivery = clients[index].takeReceived() { uarts[delivery.uart].settle(delivery.count) }
      if wasAway { clients[index].distrust(attended: time) }
      if clients[index].takePulse(attended: time) == .gone { poison(index, .silent) }
    }
  }

  /// A peer decides how often this is called, so it is bounded.
  private mutating func complain(_ sentence: String) {
    let now = monotonicNanoseconds()
    guard now >= nextReport else {
      suppressedReports += 1
      return
    }
    nextReport = now &+ 1_000_000_000
    report(suppressedReports > 0 ? "\(sentence) (and \(suppressedReports) more such events)" : sentence)
    suppressedReports = 0
  }

  // ---- Waiting -------------------------------------------------------------------------------------------------------

  /// Sleeps until something happens. Returns whether `stop` is readable.
  private mutating func sleep() -> Bool {
    for index in 0..<clients.count { clients[index].endpoint.arm() }
    sleepFence()  // SP-3
    let stopped = wait(atMost: sleepLimit())
    for index in 0..<clients.count { clients[index].endpoint.disarm() }
    return stopped
  }

  /// How long to sleep at most: until something is to be done, or as long as may be where no doorbell rings.
  mutating func sleepLimit() -> UInt64 {
    let now = monotonicNanoseconds()
    if hasWorked { lastWork = now }
    hasWorked = false
    let idle = now &- lastWork
    var limit = Doorbell.backstop &* 10
    for index in 0..<clients.count {
      if let interval = clients[index].doorbell.pollInterval(clients[index].endpoint) {
        limit = min(limit, Doorbell.pollInterval(interval, idle: idle))
      }
      limit = min(limit, clients[index].longestSleep)
    }
    return limit
  }

  /// Handles events, deadlines and heartbeats, waiting at most `limit` nanoseconds for the first of them. Returns whether
  /// `stop` is readable.
  private mutating func wait(atMost limit: UInt64) -> Bool {
    // What epoll waits for follows from what waits now.
    for index in 0..<uarts.count { watch(index) }
    var timeout: UInt64 = 0
    if limit > 0, !needsTurn {
      let now = monotonicNanoseconds()
      var next = min(nextBeat, now &+ limit)
      for index in 0..<uarts.count {
        if let deadline = uarts[index].nextDeadline(now: now, clients) { next = min(next, deadline) }
      }
      timeout = next > now ? next &- now : 0
    }
    var stopped = false
    // SAFETY: the array has room for as many events as the call fills.
    let count = unsafe lx_epoll_wait(wakeUps.epoll.number, &events, timeout)
    let now = monotonicNanoseconds()
    needsTurn = false
    takePulses(now: now)
    lastTurn = now
    for i in 0..<max(0, Int(count)) {
      let event = events[i]
      switch event.tag {
      case Tag.stop: stopped = true
      case Tag.doorbell:
        var rings: eventfd_t = 0
        unsafe _ = eventfd_read(wakeUps.doorbell.number, &rings)
      case let tag where tag < Tag.firstUART: wakeUps.interrupts[Int(tag &- Tag.firstInterrupt)].acknowledge()
      case let tag: serveDevice(Int(tag &- Tag.firstUART), event.events)
      }
    }
    if now >= nextBeat { beat(now: now) }
    for index in 0..<uarts.count {
      uarts[index].advanceWrites(now: now, &clients)
      uarts[index].answerReads(&clients)
      uarts[index].expire(now: now, &clients)
      if let news = uarts[index].takeNews() { complain(news) }
    }
    return stopped || end != nil
  }

  /// Without waiting, and not oftener than is of use: a system call is what a client waits for then. Returns as `wait`.
  private mutating func serveOthers(now: UInt64) -> Bool { now &- lastTurn >= Self.turnInterval && wait(atMost: 0) }

  private mutating func serveDevice(_ index: Int, _ events: UInt32) {
    if events & lx_EPOLLIN != 0 { uarts[index].receive(&clients) }
    if events & (lx_EPOLLERR | lx_EPOLLHUP) != 0 { uarts[index].hangUp(&clients) }
  }

  private mutating func beat(now: UInt64) {
    for index in 0..<clients.count { clients[index].endpoint.beat() }
    watchLinks()
    nextBeat = now &+ Self.heartbeatInterval
  }

  /// Tells epoll what a UART waits for, if that has changed.
  mutating func watch(_ index: Int) {
    guard let descriptor = uarts[index].driver.fileDescriptor, !uarts[index].hasFailed else {
      interest[index] = nil  // closed: the kernel forgot it
      return
    }
    let wanted = (uarts[index].wantsInput ? lx_EPOLLIN : 0) | (uarts[index].wantsOutput(clients) ? lx_EPOLLOUT : 0)
    guard interest[index] != wanted else { return }
    let tag = Tag.firstUART &+ UInt64(index)
    _ = lx_epoll_set(wakeUps.epoll.number, descriptor, wanted, tag, interest[index] == nil ? 0 : 1)
    interest[index] = wanted
  }
}
