import BrokerProtocol
import CLinux
import Linux
import Text
import Partition
import RingBuffer
import SharedMemory

/// What one thread needs to drain all links, do what the grants allow on the devices, and answer.
///
/// It never waits for a device nor for a client. It spins briefly while there is work, then sleeps in epoll until a
/// doorbell, a device or a deadline wakes it.
struct Pump: ~Copyable {
  /// How often every channel's heartbeat word changes while this side lives (Spec 3 §4).
  static var heartbeatInterval: UInt64 { 200_000_000 }

  /// While clients keep this side busy, devices and heartbeats have their turn this often, in nanoseconds.
  static var turnInterval: UInt64 { 250_000 }

  /// A longer time without a turn, in nanoseconds, means that this process was stopped or its guest paused: clients may have died.
  static var longGap: UInt64 { 1_000_000_000 }

  var channels: FixedArray<Channel>
  var guests: [Guest]
  /// What is served, by the number that requests say.
  var served: FixedArray<Served>
  private(set) var waitSet: WaitSet
  let doorbells: Doorbells
  /// Of what tells that the service is to end.
  var stopKey = -1
  let spinNanoseconds: UInt64
  let report: (String) -> Void
  var links: [LinkWatch] = []
  /// Why the service ends by itself.
  var end: ServiceError?
  var nextBeat: UInt64 = 0
  /// When devices had their turn last, and the time since the start without what this process was away.
  var lastTurn: UInt64
  var attended: AttendedClock
  /// The channels whose borrower may be dead: nothing that waits is begun for them.
  var suspects: [Int] = []
  /// Something can go on that no event tells of.
  var needsTurn = false
  /// When there was something to do last, as far as a sleep looked, and whether there was since.
  var lastWork: UInt64
  var hasWorked = false
  var hasStarted = false

  init(_ configuration: ServiceConfiguration, report: @escaping (String) -> Void) throws(ServiceError) {
    try configuration.check()
    let partition = configuration.partition
    let links = partition.links.filter { $0.role == .owner }
    guard !links.isEmpty else { throw .ownsNoLink(guest: partition.guestName) }

    let now = monotonicNanoseconds()
    let exports = partition.exports.filter { $0.peripheralClass.isServed }
    var peripherals: [any Peripheral] = []
    for export in exports { peripherals.append(try configuration.open(export)) }
    var guests: [Guest] = []
    var ends: [(link: OpenLink, guest: Int, channel: Int)] = []
    for link in links {
      let opened = try configuration.open(link)
      if let note = opened.note { report("link \(link.name): \(note)") }
      self.links.append(LinkWatch(link, opened))
      let known = guests.firstIndex { sameText($0.name, link.peerName) }
      if known == nil {
        guests.append(
          Guest(name: link.peerName, grants: exports.map { Guest.Grants($0, to: link.peerName, now: now) }))
      }
      for channel in 0..<opened.layout.channels { ends.append((opened, known ?? guests.count - 1, channel)) }
    }
    let channels = FixedArray(count: ends.count) {
      Channel(
        ends[$0].link, number: ends[$0].channel, guest: ends[$0].guest,
        rights: guests[ends[$0].guest].grants.map { Channel.Right($0) })
    }
    var waitSet = try system { () throws(Errno) in try WaitSet() }
    doorbells = try Doorbells(channels, of: ends.map { $0.link }, &waitSet)
    self.channels = channels
    let keys = exports.map { _ in waitSet.add() }
    served = FixedArray(count: exports.count) {
      Served(name: exports[$0].name, peripherals[$0], key: keys[$0], guests: guests.count)
    }
    self.guests = guests
    self.waitSet = waitSet
    spinNanoseconds = ends.contains { $0.link.doorbell.spinningHelps } ? configuration.spinNanoseconds : 0
    self.report = report
    lastTurn = now
    lastWork = now
    attended = AttendedClock(now: now)
    // Now that the links are this process's alone, what has these names is a former one's.
    let regions = ends.map { $0.link.source }
    for peripheral in peripherals { if let problem = peripheral.publish(besideOneOf: regions) { report(problem) } }
  }

  /// For each served peripheral: its name and what it is on, in its driver's words.
  var texts: [String] { (0..<served.count).map { "\(served[$0].name) on \(served[$0].peripheral.text)" } }

  /// Sleeps as `WaitSet` does. Returns how many things happened.
  mutating func sleep(atMost nanoseconds: UInt64) -> Int { waitSet.wait(atMost: nanoseconds) }

  /// Has the wait set watch `stop`. Returns its key.
  mutating func watchStop(_ stop: Int32) throws(ServiceError) -> Int {
    let key = waitSet.add()
    try waitSet.serve(key, stop)
    return key
  }

  mutating func forgetStop(_ stop: Int32) {
    waitSet.forget(stopKey, stop)
    stopKey = -1
  }

  /// What is waited for of each device follows from what waits for it now.
  mutating func watchDevices() {
    for number in 0..<served.count {
      let peripheral = served[number].peripheral
      let events = (peripheral.wantsInput ? lx_EPOLLIN : 0) | (wantsOutput(number) ? lx_EPOLLOUT : 0)
      // A descriptor that can't be watched fails at its next use.
      try? waitSet.watch(served[number].key, peripheral.descriptor, events)
    }
  }
}

/// What rings for the pump's channels, as far as something does.
struct Doorbells: ~Copyable {
  /// Written by `watches`.
  private let event: FileDescriptor
  private let eventKey: Int
  /// One for each channel of a link with a futex doorbell.
  private let watches: FixedArray<FutexWatch>
  /// One for each link with a doorbell by interrupts, with its key.
  private let interrupts: [(key: Int, interrupt: Interrupt)]

  init(_ channels: borrowing FixedArray<Channel>, of links: [OpenLink], _ waitSet: inout WaitSet) throws(ServiceError) {
    let event = FileDescriptor(owning: try system { () throws(Errno) in try check(lx_eventfd(0)) })
    let eventKey = waitSet.add()
    try waitSet.serve(eventKey, event.number)
    var interrupts: [(key: Int, interrupt: Interrupt)] = []
    for index in 0..<channels.count where channels[index].number == 0 {
      guard case .interrupt(let interrupt, _) = links[index].doorbell, let descriptor = interrupt.descriptor else { continue }
      let key = waitSet.add()
      try waitSet.serve(key, descriptor)
      interrupts.append((key, interrupt))
    }
    var words: [(SharedWord, Mapping)] = []
    for index in 0..<channels.count where channels[index].doorbell.isFutex {
      words.append((channels[index].endpoint.incomingDoorbell, channels[index].mapping))
    }
    let number = event.number
    watches = try FixedArray(count: words.count) { (index) throws(ServiceError) in
      try system { () throws(Errno) in try FutexWatch(words[index].0, of: words[index].1, event: number) }
    }
    self.event = event
    self.eventKey = eventKey
    self.interrupts = interrupts
  }

  /// Whether `key` is a doorbell's; then the next ring can come.
  func acknowledge(_ key: Int) -> Bool {
    if key == eventKey {
      var rings: eventfd_t = 0
      unsafe _ = eventfd_read(event.number, &rings)
      return true
    }
    guard let found = interrupts.first(where: { $0.key == key }) else { return false }
    found.interrupt.acknowledge()
    return true
  }
}

extension WaitSet {
  /// Watches a descriptor for what can be read of it.
  fileprivate mutating func serve(_ key: Int, _ descriptor: Int32) throws(ServiceError) {
    do throws(Errno) {
      try watch(key, descriptor, lx_EPOLLIN)
    } catch {
      throw .system(error)
    }
  }
}

/// What the service sleeps and wakes by, or why it can't be had.
private func system<Value: ~Copyable>(_ make: () throws(Errno) -> Value) throws(ServiceError) -> Value {
  do throws(Errno) {
    return try make()
  } catch {
    throw .system(error)
  }
}
