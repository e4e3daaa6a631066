import BrokerProtocol
import CLinux
import Linux
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

  var clients: FixedArray<Client>
  var uarts: FixedArray<UARTServer>
  /// What is served, by the number that requests say.
  let directory: [Served]
  let wakeUps: WakeUps
  /// What epoll was told about each UART; nil while it doesn't watch it.
  var interest: [UInt32?]
  let spinNanoseconds: UInt64
  let report: (String) -> Void
  var links: [LinkWatch] = []
  /// Why the service ends by itself.
  var end: ServiceError?
  var nextReport: UInt64 = 0
  var suppressedReports = 0
  var nextBeat: UInt64 = 0
  /// When devices had their turn last, and the time since the start without what this process was away.
  var lastTurn: UInt64
  var attended: AttendedClock
  /// Something can go on that no event tells of.
  var needsTurn = false
  /// When there was something to do last, as far as a sleep looked, and whether there was since.
  var lastWork: UInt64
  var hasWorked = false
  /// What epoll returns goes here.
  var events = [lx_event](repeating: lx_event(), count: Int(lx_event_limit))

  struct Served {
    let name: String
    let kind: Kind

    /// Which server has it, and where in that server's list.
    enum Kind {
      case uart(Int)
    }
  }

  /// What epoll hands back for something that is no UART.
  enum Tag {
    static var stop: UInt64 { 0 }
    static var doorbell: UInt64 { 1 }
    static var firstInterrupt: UInt64 { 16 }
    static var firstUART: UInt64 { 1 << 16 }
  }

  init(_ configuration: ServiceConfiguration, report: @escaping (String) -> Void) throws(ServiceError) {
    try configuration.check()
    let partition = configuration.partition
    let links = partition.links.filter { $0.role == .owner }
    guard !links.isEmpty else { throw .ownsNoLink(guest: partition.guestName) }

    var drivers: [(export: Export, driver: UARTDriver)] = []
    let exports = partition.exports.filter { $0.peripheralClass.isServed }
    for export in exports { drivers.append((export, try configuration.openUART(export))) }
    var channels: [(link: OpenLink, guest: String, channel: Int)] = []
    var interrupts: [Interrupt] = []
    for link in links {
      let opened = try configuration.open(link)
      if let note = opened.note { report("link \(link.name): \(note)") }
      if case .interrupt(let interrupt, _) = opened.doorbell { interrupts.append(interrupt) }
      self.links.append(LinkWatch(link, opened))
      for channel in 0..<opened.layout.channels { channels.append((opened, link.peerName, channel)) }
    }
    let clients = FixedArray(count: channels.count) {
      let (link, guest, channel) = channels[$0]
      return Client(link, channel: channel, guest: guest, grants: exports.map { $0.grant(to: guest) })
    }
    wakeUps = try WakeUps(clients, interrupts: interrupts)
    self.clients = clients
    directory = drivers.indices.map { Served(name: drivers[$0].export.name, kind: .uart($0)) }
    uarts = FixedArray(count: drivers.count) {
      UARTServer(
        name: drivers[$0].export.name, number: $0, maximumBaud: drivers[$0].export.maximumBaud, driver: drivers[$0].driver)
    }
    interest = [UInt32?](repeating: nil, count: drivers.count)
    spinNanoseconds = channels.contains { $0.link.doorbell.spinningHelps } ? configuration.spinNanoseconds : 0
    self.report = report
    lastTurn = monotonicNanoseconds()
    lastWork = lastTurn
    attended = AttendedClock(now: lastTurn)
    // Now that the links are this process's alone, what has these names is a former one's.
    let regions = channels.map { $0.link.source }
    for (export, driver) in drivers {
      guard case .port(let port) = driver, let path = LineName.path(export.name, besideOneOf: regions) else { continue }
      do throws(Errno) {
        try port.publish(as: path)
      } catch {
        report("\(export.name): its line has no second name, since \(path) can't be made a link: \(error.text)")
      }
    }
  }

  /// "uart2 on /dev/ttyAMA2" for each served peripheral.
  var served: [String] {
    directory.map {
      switch $0.kind {
      case .uart(let index): "\($0.name) on \(uarts[index].driver.text)"
      }
    }
  }
}

/// What ends the pump's sleep.
struct WakeUps: ~Copyable {
  let epoll: FileDescriptor
  /// Rung by `watches`.
  let doorbell: FileDescriptor
  /// One for each channel of a link with a futex doorbell.
  private let watches: FixedArray<FutexWatch>
  /// One for each link with a doorbell by interrupts.
  let interrupts: [Interrupt]

  init(_ clients: borrowing FixedArray<Client>, interrupts: [Interrupt]) throws(ServiceError) {
    self.interrupts = interrupts
    do throws(Errno) {
      let epoll = FileDescriptor(owning: try check(lx_epoll()))
      let doorbell = FileDescriptor(owning: try check(lx_eventfd(0)))
      _ = try check(lx_epoll_set(epoll.number, doorbell.number, lx_EPOLLIN, Pump.Tag.doorbell, 0))
      for (index, interrupt) in interrupts.enumerated() {
        guard let descriptor = interrupt.descriptor else { continue }
        _ = try check(
          lx_epoll_set(epoll.number, descriptor, lx_EPOLLIN, Pump.Tag.firstInterrupt &+ UInt64(truncatingIfNeeded: index), 0))
      }
      var words: [(SharedWord, Mapping)] = []
      for index in 0..<clients.count where clients[index].doorbell.isFutex {
        words.append((clients[index].endpoint.incomingDoorbell, clients[index].mapping))
      }
      let event = doorbell.number
      watches = try FixedArray(count: words.count) { (index) throws(Errno) in
        try FutexWatch(words[index].0, of: words[index].1, event: event)
      }
      self.epoll = epoll
      self.doorbell = doorbell
    } catch {
      throw .system(error)
    }
  }
}
