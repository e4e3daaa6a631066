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
  /// How often to look whether a line that takes nothing still sends, in nanoseconds.
  static var sampleInterval: UInt64 { 50_000_000 }

  let name: String
  /// Its place in the pump.
  let number: Int
  let maximumBaud: UInt32?
  let driver: UARTDriver
  private var received = ByteQueue(capacity: receiveCapacity)
  /// In the order they came; the first is under way.
  private var writes: [Waiting] = []
  private var reads: [Waiting] = []
  private var overrunsReported: UInt32
  /// Bytes may have been lost that nobody counted: the next reader is told.
  private var mayHaveLost = false
  /// Why the device can't be used, and when it was last tried.
  private var failure: (errno: Errno, at: UInt64)?
  /// What the owner's operator should know: a sentence.
  private var news: String?
  /// How many of the bytes that the device took have not left it, at most.
  private var unsentAtMost: UInt64 = 0
  /// When the line moved last: the device took a byte, or sent one. And what it had unsent when that was last looked at, and when.
  private var movement: UInt64 = 0
  private var sample: (unsent: Int, at: UInt64) = (0, 0)

  var hasFailed: Bool { failure != nil }
  /// For epoll: what is asked for now.
  var wantsInput: Bool { failure == nil && !received.isFull }

  /// For epoll: whether the first in line waits for room in the device.
  func wantsOutput(_ clients: borrowing FixedArray<Client>) -> Bool {
    guard failure == nil, let first = writes.first, !clients[first.client].isSuspect else { return false }
    return clients[first.client].slots[first.slot].hasUntakenBytes
  }

  init(name: String, number: Int, maximumBaud: UInt32?, driver: UARTDriver) {
    self.name = name
    self.number = number
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
    if request.operation == UARTOperation.write.rawValue, access & 2 != 0, writes.isEmpty, failure == nil,
      request.argument0 & ~uartDrain | request.argument1 == 0
    {
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
    guard operation.allows(request, data: clients[client].slots[slot].dataCount) else {
      return clients[client].answer(slot, .invalid, executed: .no)
    }
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
      advanceWrites(now: monotonicNanoseconds(), &clients)
    case .settings:
      answerSettings(slot, client, &clients)
    case .read:
      clients[client].slots[slot].startWaiting(now: monotonicNanoseconds())
      reads.append(Waiting(client: client, slot: slot))
      receive(&clients)
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
    var discarded = 0
    if output {
      // Nil: nobody can tell how many the kernel still had.
      var unsent = driver.discardOutput()
      discarded += unsent ?? 0
      // Whoever still waits is told how many bytes have left. Only the first in line may have given any to the kernel.
      for write in writes {
        let taken = clients[write.client].slots[write.slot].done
        answerStopped(write, .canceled, taken: taken, unsent: unsent ?? taken, &clients)
        unsent = 0
      }
      writes.removeAll(keepingCapacity: true)
      unsentAtMost = 0
    }
    if input {
      discarded += received.count + driver.discardInput()
      received.removeAll()
    }
    clients[client].answer(slot, executed: .yes, count: discarded)
  }

  /// Answers a write that goes no further: the device took `taken` of its bytes, of which at most `unsent` never left it.
  private func answerStopped(
    _ write: Waiting, _ status: Status, taken: Int, unsent: Int, _ clients: inout FixedArray<Client>
  ) {
    let executed: Executed = taken == 0 ? .no : unsent > 0 ? .maybe : .yes
    clients[write.client].answer(write.slot, status, executed: executed, count: taken, value: unsent)
  }

  // ---- Writes, drains, settings: one after the other -----------------------------------------------------------------

  private mutating func enqueueWrite(_ slot: Int, _ client: Int, _ clients: inout FixedArray<Client>) {
    let now = monotonicNanoseconds()
    clients[client].slots[slot].startWaiting(now: now)
    if writes.isEmpty { sampleLine(now: now) }
    writes.append(Waiting(client: client, slot: slot))
  }

  /// Takes the writes that wait as far as the device lets them. What waits for a client that may be dead is not begun.
  mutating func advanceWrites(now: UInt64, _ clients: inout FixedArray<Client>) {
    if !writes.isEmpty, now &- sample.at >= Self.sampleInterval { sampleLine(now: now) }
    while let first = writes.first, !clients[first.client].isSuspect {
      let done = clients[first.client].slots[first.slot].done
      let isAnswered = advanceWrite(slot: first.slot, of: first.client, &clients)
      if isAnswered || clients[first.client].slots[first.slot].done > done { movement = now }
      guard isAnswered else { return }
      if !writes.isEmpty { writes.removeFirst() }
    }
  }

  /// Looks how much the kernel has yet to send: less than before means that the line moves.
  private mutating func sampleLine(now: UInt64) {
    sample.at = now
    guard failure == nil, driver.tellsUnsent else { return }
    let unsent = driver.unsent
    if unsent < sample.unsent { movement = now }
    sample.unsent = unsent
    unsentAtMost = UInt64(unsent)
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
        unsentAtMost &+= UInt64(truncatingIfNeeded: count)
      case .wouldBlock:
        return false
      case .failed(let errno):
        writes.removeAll { $0.client == client && $0.slot == slot }
        answerStopped(
          Waiting(client: client, slot: slot), Status(errno), taken: done, unsent: Int(clamping: unsentAtMost), &clients)
        fail(errno, &clients)
        return true
      }
    }
    if request.argument0 & uartDrain != 0 {
      guard driver.unsent == 0 else { return false }
      if driver.tellsUnsent { unsentAtMost = 0 }
    }
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

  /// Answers the reads that are satisfied, in the order in which they came. What came for a client that may be dead is for the
  /// next one.
  mutating func answerReads(_ clients: inout FixedArray<Client>) {
    var index = 0
    while index < reads.count {
      let read = reads[index]
      if clients[read.client].isSuspect {
        index += 1
        continue
      }
      let needed = Int(clamping: clients[read.client].slots[read.slot].request.argument1)
      guard received.count >= min(needed, clients[read.client].maximumResponseData) else { return }
      reads.remove(at: index)
      answerRead(read, .ok, &clients)
    }
  }

  private mutating func answerRead(_ read: Waiting, _ status: Status, _ clients: inout FixedArray<Client>) {
    let wanted = Int(clamping: clients[read.client].slots[read.slot].request.argument0)
    let count = clients[read.client].isSuspect ? 0 : min(wanted, clients[read.client].maximumResponseData)
    let overruns = driver.overruns
    let lost = mayHaveLost ? uartLossUnknown : min(overruns &- overrunsReported, uartLossUnknown - 1)
    overrunsReported = overruns
    mayHaveLost = false
    clients[read.client].deliver(
      read.slot, status, count, of: &received, uart: number, executed: .yes, value: lost)
  }

  /// So many bytes of an earlier answer have arrived.
  mutating func settle(_ count: Int) { received.settle(count) }

  /// Bytes of an earlier answer never arrived: the next reader gets them.
  mutating func takeBack(_ bytes: ArraySlice<UInt8>) { received.takeBack(bytes) }

  // ---- Time, failure, clients that go --------------------------------------------------------------------------------

  /// When this UART wants `expire` to be called next; nil when it waits for nothing but events.
  func nextDeadline(now: UInt64, _ clients: borrowing FixedArray<Client>) -> UInt64? {
    var next: UInt64?
    for waiting in writes { next = min(next ?? .max, clients[waiting.client].slots[waiting.slot].deadline) }
    for waiting in reads { next = min(next ?? .max, clients[waiting.client].slots[waiting.slot].deadline) }
    // No event tells that a transmitter has run empty, nor that a slow line moves: look again soon.
    if let first = writes.first, !clients[first.client].isSuspect {
      if !wantsOutput(clients) {
        next = min(next ?? .max, now &+ 1_000_000)
      } else if driver.tellsUnsent {
        next = min(next ?? .max, now &+ Self.sampleInterval)
      }
    }
    return next
  }

  /// Answers what has waited until its deadline.
  mutating func expire(now: UInt64, _ clients: inout FixedArray<Client>) {
    var index = 0
    while index < writes.count {
      let write = writes[index]
      guard clients[write.client].slots[write.slot].deadline <= now else { index += 1; continue }
      sampleLine(now: now)
      writes.remove(at: index)
      let done = clients[write.client].slots[write.slot].done
      let standstill = UARTStandstill(
        nanoseconds: now &- max(movement, clients[write.client].slots[write.slot].arrival))
      clients[write.client].answer(
        write.slot, .timedOut, executed: done > 0 ? .yes : .no, count: done, value: driver.unsent,
        data: UARTStandstill.size
      ) { standstill.encode(into: &$0, at: $1) }
    }
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
  }

  /// The owner ends: answers everything that waits.
  ///
  /// - Returns: How many received bytes are lost, since nobody has read them: here, and in the kernel as far as it gives them
  ///   within some milliseconds.
  mutating func end(_ clients: inout FixedArray<Client>) -> Int {
    cancelAll(.canceled, unsent: driver.losesUnreadBytes ? unsentAtMost : 0, &clients)
    return received.count + driver.discardInput(waiting: 20_000_000)
  }

  /// Answers everything that waits. Of what the device took `unsent` bytes never leave it, at most.
  private mutating func cancelAll(_ status: Status, unsent: UInt64, _ clients: inout FixedArray<Client>) {
    for write in writes {
      answerStopped(
        write, status, taken: clients[write.client].slots[write.slot].done, unsent: Int(clamping: unsent), &clients)
    }
    writes.removeAll(keepingCapacity: true)
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
    // What the kernel had and this queue had no room for went with the line.
    if received.isFull { mayHaveLost = true }
    news = "\(name): \(driver.text) failed (\(errno.text)); \(driver.reopenText)"
    if unsentAtMost > 0 { news? += "; up to \(unsentAtMost) bytes that it had taken may not have left it" }
    driver.close()
    cancelAll(.deviceGone, unsent: unsentAtMost, &clients)
    unsentAtMost = 0
    sample = (0, 0)
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
    return true
  }
}

extension Status {
  /// What this owner's kernel said, in the protocol's numbers. They are the same on every architecture that Swift has.
  init(_ errno: Errno) { self.init(rawValue: UInt16(truncatingIfNeeded: errno.code)) }
}
