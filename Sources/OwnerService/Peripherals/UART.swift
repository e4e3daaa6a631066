import BrokerProtocol
import CLinux
import Linux
import Partition
import RingBuffer
import SharedMemory

/// One exported UART: what its operations mean (Spec 5), and what it received.
///
/// Received bytes are read from the device as long as there is room for them; when there is none they stay with the kernel, whose flow
/// control or overrun counter then speaks.
final class UART: Peripheral {
  static var receiveCapacity: Int { 65536 }
  /// How long to wait before a failed device is opened again.
  static var reopenInterval: UInt64 { 500_000_000 }
  /// How often to look whether a line that takes nothing still sends, in nanoseconds.
  static var sampleInterval: UInt64 { 50_000_000 }

  private enum Lane {
    /// Writes, drains and settings take effect one after the other.
    static var output: Int { 0 }
    static var input: Int { 1 }
  }

  let name: String
  let maximumBaud: UInt32?
  let driver: UARTDriver
  private var received = ByteQueue(capacity: receiveCapacity)
  private var overrunsReported: UInt32
  /// Bytes may have been lost that nobody counted: the next reader is told.
  private var mayHaveLost = false
  /// Why the device can't be used, and when it was last tried.
  private var failure: (errno: Errno, at: UInt64)?
  private var stop: (lane: Int?, reason: StopReason)?
  private var news: String?
  /// How many of the bytes that the device took have not left it, at most.
  private var unsentAtMost: UInt64 = 0
  /// How many the last flush threw away, at most; the first call that it stops may have lost so many.
  private var flushed: UInt64 = 0
  /// When the line moved last: the device took a byte, or sent one. And what it had unsent when that was last looked at, and when.
  private var movement: UInt64 = 0
  private var sample: (unsent: Int, at: UInt64) = (0, 0)

  init(name: String, maximumBaud: UInt32?, driver: UARTDriver) {
    self.name = name
    self.maximumBaud = maximumBaud
    self.driver = driver
    overrunsReported = driver.overruns
  }

  var peripheralClass: PeripheralClass { .uart }
  var text: String { driver.text }
  var laneCount: Int { 2 }

  // ---- Calls ---------------------------------------------------------------------------------------------------------

  func admit(_ call: borrowing Call, _ access: Access) -> Verdict {
    let request = call.request
    guard let operation = UARTOperation(rawValue: request.operation) else { return .refused(.notSupported) }
    guard access.allows(operation, request) else { return .refused(.access) }
    guard operation.allows(request, data: call.dataCount) else { return .refused(.invalid) }
    switch operation {
    case .write: return .lane(Lane.output, cost: call.dataCount)
    // Counted when it is known how many bytes there are.
    case .read: return .lane(Lane.input, cost: 0)
    case .settings, .flush: return .immediate
    case .configure:
      guard let settings = call.settings else { return .refused(.invalid) }
      if let maximumBaud, settings.baud > maximumBaud { return .refused(.access, value: maximumBaud) }
      return .lane(Lane.output, cost: 1)
    }
  }

  func begin(_ call: inout Call, _ data: inout MessageBuffer, _ access: Access, busy: UInt32, now: UInt64) -> Beginning {
    // A write for which nobody has to wait.
    let request = call.request
    guard request.operation == UARTOperation.write.rawValue, busy & 1 == 0, failure == nil, access.contains(.write),
      request.argument0 & ~uartDrain | request.argument1 == 0
    else { return beginAny(&call, &data, access, busy: busy, now: now) }
    if case .done(let answer) = advanceWrite(&call, now: now) { return .done(answer) }
    return .waits(lane: Lane.output, cost: call.dataCount)
  }

  func advance(_ call: inout Call, _ data: inout MessageBuffer, now: UInt64) -> Step {
    if call.request.operation == UARTOperation.write.rawValue, failure == nil { return advanceWrite(&call, now: now) }
    return advanceOther(&call, &data, now: now)
  }

  @inline(never)
  private func advanceOther(_ call: inout Call, _ data: inout MessageBuffer, now: UInt64) -> Step {
    let operation = UARTOperation(rawValue: call.request.operation)
    // What was received before the device went can still be had.
    if failure != nil, operation != .read || received.count == 0, !reopen(now: now) {
      return .done(stopped(call, .deviceGone, unsent: unsentAtMost))
    }
    switch operation {
    case .write: return advanceWrite(&call, now: now)
    case .read: return advanceRead(&call, &data, now: now)
    case .settings: return .done(settingsAnswer(&data))
    case .configure: return advanceConfigure(&call, &data)
    case .flush: return .done(flush(call.request))
    case nil: return .done(Answer(status: .notSupported, executed: .no))
    }
  }

  @inline(__always)
  private func advanceWrite(_ call: inout Call, now: UInt64) -> Step {
    let total = call.dataCount
    while call.done < total {
      switch call.write(to: driver) {
      case .done(let count):
        call.done += count
        movement = now
        unsentAtMost &+= UInt64(truncatingIfNeeded: count)
      case .wouldBlock:
        sampleLine(now: now)
        return .waits(.writable)
      case .failed(let errno):
        var answer = stopped(call, Status(errno), unsent: unsentAtMost)
        answer.stopsOthers = true
        fail(errno, now: now)
        return .done(answer)
      }
    }
    if call.request.argument0 & uartDrain != 0 {
      guard driver.unsent == 0 else {
        sampleLine(now: now)
        return .waits(.time)
      }
      if driver.tellsUnsent { unsentAtMost = 0 }
    }
    return .done(Answer(count: total))
  }

  /// Settings change when the line is idle, so that no byte leaves with half of either.
  private func advanceConfigure(_ call: inout Call, _ data: inout MessageBuffer) -> Step {
    guard driver.unsent == 0 else { return .waits(.time) }
    do throws(Errno) {
      if let settings = call.settings { try driver.configure(settings) }
      return .done(settingsAnswer(&data))
    } catch {
      return .done(Answer(status: Status(error), executed: .no))
    }
  }

  private func settingsAnswer(_ data: inout MessageBuffer) -> Answer {
    do throws(Errno) {
      let settings = try driver.settings
      var storage = data.storage
      settings.encode(into: &storage, at: Response.size)
      return Answer(data: UARTSettings.size)
    } catch {
      return Answer(status: Status(error), executed: .no)
    }
  }

  private func advanceRead(_ call: inout Call, _ data: inout MessageBuffer, now: UInt64) -> Step {
    let needed = min(Int(clamping: call.request.argument1), data.capacity - Response.size)
    if received.count < needed { receive(now: now) }
    guard received.count >= needed else {
      // The device went while it was looked at: what there is comes with that.
      guard failure == nil else {
        var answer = readAnswer(call, &data, .deviceGone)
        answer.stopsOthers = true
        return .done(answer)
      }
      return .waits(.event)
    }
    var answer = readAnswer(call, &data, .ok)
    // It may have gone while the last bytes came.
    answer.stopsOthers = stop != nil
    return .done(answer)
  }

  private func readAnswer(_ call: borrowing Call, _ data: inout MessageBuffer, _ status: Status) -> Answer {
    var storage = data.storage
    let count = received.lend(Int(clamping: call.request.argument0), to: &storage, at: Response.size)
    let overruns = driver.overruns
    let lost = mayHaveLost ? uartLossUnknown : min(overruns &- overrunsReported, uartLossUnknown - 1)
    overrunsReported = overruns
    mayHaveLost = false
    return Answer(status: status, count: count, value: lost, data: count, isReturnable: count > 0)
  }

  private func flush(_ request: Request) -> Answer {
    var discarded = 0
    if request.argument0 & uartFlushOutput != 0 {
      let unsent = driver.discardOutput()
      discarded += unsent ?? 0
      // Nil: nobody can tell how many the kernel still had.
      flushed = unsent.map { UInt64($0) } ?? unsentAtMost
      unsentAtMost = 0
      stop = (Lane.output, .flushed)
    }
    if request.argument0 & uartFlushInput != 0 {
      discarded += received.count + driver.discardInput()
      received.removeAll()
    }
    var answer = Answer(count: discarded)
    answer.stopsOthers = stop != nil
    return answer
  }

  func stop(_ call: inout Call, _ data: inout MessageBuffer, _ reason: StopReason, isBegun: Bool, now: UInt64) -> Answer {
    let isRead = call.request.operation == UARTOperation.read.rawValue
    switch reason {
    case _ where isRead:
      return isBegun ? readAnswer(call, &data, reason.status) : Answer(status: reason.status, executed: .no)
    case .timedOut:
      sampleLine(now: now)
      let standstill = UARTStandstill(nanoseconds: now &- max(movement, call.arrival))
      var storage = data.storage
      standstill.encode(into: &storage, at: Response.size)
      return Answer(
        status: .timedOut, executed: call.done > 0 ? .yes : .no, count: call.done,
        value: UInt32(clamping: failure == nil ? driver.unsent : 0), data: UARTStandstill.size)
    case .flushed:
      // Only the call that is under way may have given bytes to the kernel.
      defer { flushed = 0 }
      return stopped(call, .canceled, unsent: flushed)
    case .deviceGone: return stopped(call, .deviceGone, unsent: unsentAtMost)
    case .ended: return stopped(call, .canceled, unsent: driver.losesUnreadBytes ? unsentAtMost : 0)
    }
  }

  /// The answer to a write that goes no further: at most `unsent` of the bytes that the device took never left it.
  private func stopped(_ call: borrowing Call, _ status: Status, unsent: UInt64) -> Answer {
    let executed: Executed = call.done == 0 ? .no : unsent > 0 ? .maybe : .yes
    return Answer(status: status, executed: executed, count: call.done, value: UInt32(clamping: unsent))
  }

  // ---- The device ----------------------------------------------------------------------------------------------------

  var descriptor: Int32? { failure == nil ? driver.fileDescriptor : nil }
  var wantsInput: Bool { !received.isFull }

  func ready(_ events: WaitSet.Events, now: UInt64) {
    if events & (lx_EPOLLIN | lx_EPOLLERR | lx_EPOLLHUP) != 0 { receive(now: now) }
    if events & (lx_EPOLLERR | lx_EPOLLHUP) != 0, failure == nil { fail(.io, now: now) }
  }

  /// Takes in what the device received.
  private func receive(now: UInt64) {
    while failure == nil, !received.isFull {
      switch driver.read(into: &received) {
      case .done: continue
      case .wouldBlock: return
      case .failed(let errno): return fail(errno, now: now)
      }
    }
  }

  func settle(_ count: Int) { received.settle(count) }

  func takeBack(_ bytes: ArraySlice<UInt8>) { received.takeBack(bytes) }

  func takeStop() -> (lane: Int?, reason: StopReason)? {
    defer { stop = nil }
    return stop
  }

  func takeNews() -> String? {
    defer { news = nil }
    return news
  }

  func beat(now: UInt64) { if unsentAtMost > 0 { sampleLine(now: now) } }

  /// Looks how much the kernel has yet to send: less than before means that the line moves.
  private func sampleLine(now: UInt64) {
    guard now &- sample.at >= Self.sampleInterval || sample.at == 0, failure == nil, driver.tellsUnsent else { return }
    let unsent = driver.unsent
    if unsent < sample.unsent { movement = now }
    sample = (unsent, now)
    unsentAtMost = UInt64(unsent)
  }

  func publish(besideOneOf regions: [MemorySource]) -> String? {
    guard case .port(let port) = driver, let path = LineName.path(name, besideOneOf: regions) else { return nil }
    do throws(Errno) {
      try port.publish(as: path)
      return nil
    } catch {
      return "\(name): its line has no second name, since \(path) can't be made a link: \(error.text)"
    }
  }

  func end() -> String? {
    let unread = received.count + driver.discardInput(waiting: 20_000_000)
    return unread > 0 ? "\(name): \(unread) received bytes that nobody had read are lost" : nil
  }

  private func fail(_ errno: Errno, now: UInt64) {
    failure = (errno, now)
    // What the kernel had and this queue had no room for went with the line.
    if received.isFull { mayHaveLost = true }
    news = "\(name): \(driver.text) failed (\(errno.text)); \(driver.reopenText)"
    if unsentAtMost > 0 { news? += "; up to \(unsentAtMost) bytes that it had taken may not have left it" }
    driver.close()
    stop = (nil, .deviceGone)
  }

  /// The device failed earlier: whether it works again.
  private func reopen(now: UInt64) -> Bool {
    guard let failure, now > failure.at, now &- failure.at >= Self.reopenInterval else { return false }
    do throws(Errno) {
      try driver.reopen()
    } catch {
      self.failure = (error, now)
      return false
    }
    self.failure = nil
    unsentAtMost = 0
    sample = (0, 0)
    news = "\(name): \(driver.text) works again"
    return true
  }
}

extension Call {
  /// The data as a line's settings; nil when they are none.
  fileprivate var settings: UARTSettings? {
    let bytes = message.bytes
    guard bytes.byteCount >= Request.size else { return nil }
    return UARTSettings(bytes.extracting(Request.size..<bytes.byteCount))
  }

  /// Writes the data that the device hasn't taken yet.
  @inline(__always)
  fileprivate func write(to driver: UARTDriver) -> DeviceResult { driver.write(message.bytes, from: Request.size + done) }
}

extension Access {
  /// What the operation needs (Spec 5 §1).
  fileprivate func allows(_ operation: UARTOperation, _ request: Request) -> Bool {
    switch operation {
    case .write, .configure: contains(.write)
    case .read: contains(.read)
    case .settings: true
    case .flush:
      (contains(.read) || request.argument0 & uartFlushInput == 0)
        && (contains(.write) || request.argument0 & uartFlushOutput == 0)
    }
  }
}

extension StopReason {
  fileprivate var status: Status {
    switch self {
    case .timedOut: .timedOut
    case .flushed, .ended: .canceled
    case .deviceGone: .deviceGone
    }
  }
}

extension Status {
  /// What this owner's kernel said, in the protocol's numbers. They are the same on every architecture that Swift has.
  init(_ errno: Errno) { self.init(rawValue: UInt16(truncatingIfNeeded: errno.code)) }
}
