import BrokerProtocol
import Linux
import Partition
import RingBuffer

/// One exported UART: its device, the writes that wait for it in order, and what it received (Spec 5).
///
/// Writes, drains and settings take effect in the order they came, whoever sent them. Received bytes are read from the
/// device as long as there is room for them; when there is none they stay with the kernel, whose flow control or overrun
/// counter then speaks.
struct UARTServer: ~Copyable {
  static var receiveCapacity: Int { 65536 }
  /// How long to wait before a failed device is opened again.
  static var reopenInterval: UInt64 { 500_000_000 }

  let name: String
  let maximumBaud: UInt32?
  let driver: UARTDriver
  private var received = ByteQueue(capacity: receiveCapacity)
  /// In the order they came; the first is under way.
  private var writes: [Waiting] = []
  private var reads: [Waiting] = []
  private var overrunsReported: UInt32
  /// Why the device can't be used, and when it was last tried.
  private var failure: (errno: Errno, at: UInt64)?
  /// What the owner's operator should know: a sentence.
  private var news: String?

  /// For epoll: what is asked for now.
  var wantsInput: Bool { failure == nil && !received.isFull }
  private(set) var wantsOutput = false
  var hasFailed: Bool { failure != nil }
  /// Received bytes that nobody has read.
  var unread: Int { received.count }

  init(name: String, maximumBaud: UInt32?, driver: UARTDriver) {
    self.name = name
    self.maximumBaud = maximumBaud
    self.driver = driver
    overrunsReported = driver.overruns
    writes.reserveCapacity(64)
    reads.reserveCapacity(64)
  }

  // ---- Requests ------------------------------------------------------------------------------------------------------

  /// Does the request in `slot` of `clients[client]`, or queues it; the answer goes out now or later.
  @inline(__always)
  mutating func handle(slot: Int, of client: Int, _ clients: inout FixedArray<Client>, access: UInt8) {
    let request = clients[client].slots[slot].request
    if request.operation == UARTOperation.write.rawValue, access & 2 != 0, writes.isEmpty, failure == nil {
      // The common case first: nobody waits, the device takes it at once.
      if advanceWrite(slot: slot, of: client, &clients) { return }
      enqueueWrite(slot, client, &clients)
      return
    }
    handleOther(request, slot: slot, of: client, &clients, access: access)
  }

  @inline(never)
  private mutating func handleOther(
    _ request: Request, slot: Int, of client: Int, _ clients: inout FixedArray<Client>, access: UInt8
  ) {
    guard let operation = UARTOperation(rawValue: request.operation) else {
      return clients[client].answer(slot, .notSupported, executed: .no)
    }
    let needed: UInt8 =
      switch operation {
      case .write, .configure: 2
      case .read: 1
      case .settings: 0
      case .flush: UInt8(truncatingIfNeeded: request.argument0 & 3)
      }
    guard access & needed == needed else { return clients[client].answer(slot, .access, executed: .no) }
    // What was received before the device went can still be had.
    if failure != nil, operation != .read || received.count == 0, !reopen() {
      return clients[client].answer(slot, .deviceGone, executed: .no)
    }

    switch operation {
    case .write:
      enqueueWrite(slot, client, &clients)
    case .configure:
      guard let settings = clients[client].slots[slot].parseSettings() else {
        return clients[client].answer(slot, .invalid, executed: .no)
      }
      if let maximumBaud, settings.baud > maximumBaud {
        return clients[client].answer(slot, .access, executed: .no, value: Int(truncatingIfNeeded: maximumBaud))
      }
      enqueueWrite(slot, client, &clients)
      advanceWrites(&clients)
    case .settings:
      answerSettings(slot, client, &clients)
    case .read:
      guard request.argument0 > 0, request.argument1 <= request.argument0 else {
        return clients[client].answer(slot, .invalid, executed: .no)
      }
      clients[client].slots[slot].startWaiting(now: monotonicNanoseconds())
      reads.append(Waiting(client: client, slot: slot))
      receive(&clients)
      if failure != nil { return cancelAll(&clients, .deviceGone) }
      if request.timeout == 0 { expire(now: monotonicNanoseconds(), &clients) }
    case .flush:
      flush(request, slot, client, &clients)
    }
  }

  private mutating func answerSettings(_ slot: Int, _ client: Int, _ clients: inout FixedArray<Client>) {
    do throws(Errno) {
      let settings = try driver.settings
      clients[client].answer(slot, executed: .yes, data: UARTSettings.size) { settings.encode(into: &$0, at: $1) }
    } catch {
      clients[client].answer(slot, Status(error), executed: .no)
    }
  }

  private mutating func flush(_ request: Request, _ slot: Int, _ client: Int, _ clients: inout FixedArray<Client>) {
    let input = request.argument0 & 1 != 0
    let output = request.argument0 & 2 != 0
    guard request.argument0 > 0, request.argument0 < 4 else {
      return clients[client].answer(slot, .invalid, executed: .no)
    }
    var discarded = 0
    if output {
      var unsent = driver.unsent
      discarded += unsent
      // Whoever still waits is told how many bytes have left. Only the first in line may have given any to the kernel.
      for write in writes {
        let taken = clients[write.client].slots[write.slot].done
        let left = max(0, taken - unsent)
        unsent = 0
        clients[write.client].answer(
          write.slot, .canceled, executed: left > 0 ? .yes : taken > 0 ? .maybe : .no, count: left)
      }
      writes.removeAll(keepingCapacity: true)
      wantsOutput = false
    }
    if input {
      discarded += received.count
      received.removeAll()
    }
    driver.flush(input: input, output: output)
    clients[client].answer(slot, executed: .yes, count: discarded)
  }

  // ---- Writes, drains, settings: one after the other -----------------------------------------------------------------

  private mutating func enqueueWrite(_ slot: Int, _ client: Int, _ clients: inout FixedArray<Client>) {
    clients[client].slots[slot].startWaiting(now: monotonicNanoseconds())
    writes.append(Waiting(client: client, slot: slot))
  }

  /// Takes the writes that wait as far as the device lets them.
  mutating func advanceWrites(_ clients: inout FixedArray<Client>) {
    while let first = writes.first {
      guard advanceWrite(slot: first.slot, of: first.client, &clients) else { return }
      if !writes.isEmpty { writes.removeFirst() }
    }
    wantsOutput = false
  }

  /// Takes one write or configuration as far as the device lets it. Returns whether it is answered.
  @inline(__always)
  private mutating func advanceWrite(slot: Int, of client: Int, _ clients: inout FixedArray<Client>) -> Bool {
    let request = clients[client].slots[slot].request
    if request.operation == UARTOperation.configure.rawValue { return advanceConfigure(slot, client, &clients) }
    let total = clients[client].slots[slot].dataCount
    while clients[client].slots[slot].done < total {
      let done = clients[client].slots[slot].done
      switch clients[client].slots[slot].write(to: driver) {
      case .done(let count):
        clients[client].slots[slot].done = done + count
      case .wouldBlock:
        wantsOutput = true
        return false
      case .failed(let errno):
        writes.removeAll { $0.client == client && $0.slot == slot }
        clients[client].answer(slot, Status(errno), executed: done > 0 ? .yes : .no, count: done)
        fail(errno, &clients)
        return true
      }
    }
    if request.argument0 & uartDrain == 0 {
      clients[client].answer(slot, executed: .yes, count: total)
      return true
    }
    wantsOutput = false
    guard driver.unsent == 0 else { return false }
    clients[client].answer(slot, executed: .yes, count: total)
    return true
  }

  /// Settings change when the line is idle, so that no byte leaves with half of either.
  private mutating func advanceConfigure(_ slot: Int, _ client: Int, _ clients: inout FixedArray<Client>) -> Bool {
    guard driver.unsent == 0 else { return false }
    do throws(Errno) {
      if let settings = clients[client].slots[slot].parseSettings() { try driver.configure(settings) }
      answerSettings(slot, client, &clients)
    } catch {
      clients[client].answer(slot, Status(error), executed: .no)
    }
    return true
  }

  // ---- Reads ---------------------------------------------------------------------------------------------------------

  /// Takes in what the device received and answers the reads that are satisfied by it.
  mutating func receive(_ clients: inout FixedArray<Client>) {
    while true {
      answerReads(&clients)
      guard wantsInput else { return }
      switch driver.read(into: &received) {
      case .done: continue
      case .wouldBlock: return
      case .failed(let errno): return fail(errno, &clients)
      }
    }
  }

  private mutating func answerReads(_ clients: inout FixedArray<Client>) {
    while let first = reads.first {
      let needed = Int(clamping: clients[first.client].slots[first.slot].request.argument1)
      guard received.count >= min(needed, clients[first.client].maximumResponseData) else { return }
      reads.removeFirst()
      answerRead(first, .ok, &clients)
    }
  }

  private mutating func answerRead(_ read: Waiting, _ status: Status, _ clients: inout FixedArray<Client>) {
    let wanted = Int(clamping: clients[read.client].slots[read.slot].request.argument0)
    let count = min(wanted, received.count, clients[read.client].maximumResponseData)
    let overruns = driver.overruns
    let lost = overruns &- overrunsReported
    overrunsReported = overruns
    clients[read.client].answer(
      read.slot, status, executed: .yes, count: count, value: Int(truncatingIfNeeded: lost), data: count
    ) { bytes, offset in
      _ = received.take(count, into: &bytes, at: offset)
    }
  }

  // ---- Time, failure, clients that go --------------------------------------------------------------------------------

  /// When this UART wants `expire` to be called next; nil when it waits for nothing but events.
  func nextDeadline(now: UInt64, _ clients: borrowing FixedArray<Client>) -> UInt64? {
    var next: UInt64?
    for waiting in writes { next = min(next ?? .max, clients[waiting.client].slots[waiting.slot].deadline) }
    for waiting in reads { next = min(next ?? .max, clients[waiting.client].slots[waiting.slot].deadline) }
    // No event tells that a transmitter has run empty: look again soon.
    if !writes.isEmpty, !wantsOutput { next = min(next ?? .max, now &+ 1_000_000) }
    return next
  }

  /// Answers what has waited until its deadline.
  mutating func expire(now: UInt64, _ clients: inout FixedArray<Client>) {
    var index = 0
    while index < writes.count {
      let write = writes[index]
      guard clients[write.client].slots[write.slot].deadline <= now else { index += 1; continue }
      writes.remove(at: index)
      let done = clients[write.client].slots[write.slot].done
      clients[write.client].answer(
        write.slot, .timedOut, executed: done > 0 ? .yes : .no, count: done, value: driver.unsent)
    }
    if writes.isEmpty { wantsOutput = false }
    index = 0
    while index < reads.count {
      let read = reads[index]
      guard clients[read.client].slots[read.slot].deadline <= now else { index += 1; continue }
      reads.remove(at: index)
      answerRead(read, .timedOut, &clients)
    }
  }

  /// Forgets what a client whose session ended had under way.
  mutating func forget(client: Int, _ clients: inout FixedArray<Client>) {
    for waiting in writes + reads where waiting.client == client { clients[client].drop(waiting.slot) }
    writes.removeAll { $0.client == client }
    reads.removeAll { $0.client == client }
    if writes.isEmpty { wantsOutput = false }
  }

  /// Answers everything that waits: the owner ends.
  mutating func cancelAll(_ clients: inout FixedArray<Client>, _ status: Status = .canceled) {
    for write in writes {
      let done = clients[write.client].slots[write.slot].done
      clients[write.client].answer(write.slot, status, executed: done > 0 ? .yes : .no, count: done)
    }
    writes.removeAll(keepingCapacity: true)
    wantsOutput = false
    let waiting = reads
    reads.removeAll(keepingCapacity: true)
    for read in waiting { answerRead(read, status, &clients) }
  }

  /// The kernel says that the line is gone.
  mutating func hangUp(_ clients: inout FixedArray<Client>) {
    receive(&clients)
    if failure == nil { fail(Errno.io, &clients) }
  }

  private mutating func fail(_ errno: Errno, _ clients: inout FixedArray<Client>) {
    failure = (errno, monotonicNanoseconds())
    news = "\(name): \(driver.text) failed (\(errno.text)); it will be opened again when somebody asks for it"
    driver.close()
    cancelAll(&clients, .deviceGone)
  }

  /// What happened to the device since the last call, if anything did.
  mutating func takeNews() -> String? {
    defer { news = nil }
    return news
  }

  /// The device failed earlier: whether it works again.
  private mutating func reopen() -> Bool {
    let now = monotonicNanoseconds()
    guard let failure, now &- failure.at >= Self.reopenInterval else { return false }
    do throws(Errno) {
      try driver.reopen()
    } catch {
      self.failure = (error, now)
      return false
    }
    self.failure = nil
    news = "\(name): \(driver.text) works again"
    overrunsReported = driver.overruns
    return true
  }
}

extension Status {
  /// What this owner's kernel said, in the protocol's numbers. They are the same on every architecture that Swift has.
  init(_ errno: Errno) { self.init(rawValue: UInt16(truncatingIfNeeded: errno.code)) }
}
