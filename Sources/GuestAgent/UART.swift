import BrokerProtocol
import Linux
import RingBuffer

/// A UART of another guest. When the owner has restarted it is looked up again before the next request.
public struct UART: Sendable {
  /// What the owner says of it.
  public private(set) var entry: DirectoryEntry
  /// The one of the agent's sessions in which it was said.
  private var session: UInt32
  private var timeouts = Timeouts()

  /// Looks the export up at its owner.
  ///
  /// - Throws: `refused(.noDevice)` when the owner has no such export, `refused(.access)` when this guest has no grant,
  ///   `refused(.invalid)` when it is no UART.
  public init(_ name: String, via agent: inout Agent) throws(AgentError) {
    entry = try agent.find(name)
    session = agent.sessions
    guard entry.peripheralClass == PeripheralClass.uart.rawValue else { throw AgentError(.refused(.invalid), executed: .no) }
  }

  /// One request about this UART, whatever its answer's status.
  ///
  /// - Parameter continuing: It belongs to what was asked for before: when the owner has restarted since, `connectionReset` is thrown.
  @inline(never)
  private mutating func call(
    _ operation: UARTOperation, timeout: UInt32, _ argument0: UInt32 = 0, _ argument1: UInt32 = 0, data: RawSpan = RawSpan(),
    continuing: Bool = false, via agent: inout Agent
  ) throws(AgentError) -> Response {
    var request = Request(
      id: 0, peripheralClass: .uart, operation: operation.rawValue, peripheral: entry.number, timeout: timeout,
      argument0: argument0, argument1: argument1)
    var isAgain = continuing
    while true {
      do throws(AgentError) {
        let response = try agent.call(request, data: data, in: session)
        if response.status == .timedOut { try timeouts.note(timeout, now: monotonicNanoseconds()) }
        return response
      } catch {
        // Only a request that was never sent has another session behind it.
        guard !isAgain, agent.sessions != session, case .connectionReset = error.reason else { throw error }
      }
      self = try UART(entry.name, via: &agent)
      request.peripheral = entry.number
      isAgain = true
    }
  }

  /// One request: writes at most `Agent.maximumRequestData` bytes.
  ///
  /// - Parameters:
  ///   - drain: Answer when the bytes have left the transmitter, not when the owner's kernel has them.
  ///   - timeout: How long the owner may take, in milliseconds.
  ///   - continuing: They belong to what was written before: as `write` has it.
  /// - Returns: The owner's answer, whatever its status: `count` bytes were taken, `value` of them have not left yet.
  @inline(__always)
  public mutating func writeOnce(
    _ bytes: RawSpan, drain: Bool, timeout: UInt32, continuing: Bool = false, via agent: inout Agent
  ) throws(AgentError) -> Response {
    try call(.write, timeout: timeout, drain ? uartDrain : 0, data: bytes, continuing: continuing, via: &agent)
  }

  /// Writes all of `bytes`, in as many requests as it takes, each after the one before was answered: what arrives is always
  /// a beginning of what was given.
  ///
  /// - Parameters:
  ///   - drain: Return when they have left the transmitter, not when the owner's kernel has them.
  ///   - timeout: In milliseconds, how long the owner's kernel may take no byte, and send none of those that it has. A slow
  ///     line is not an error.
  ///   - continuing: They go on with what the last `write` wrote. When the owner has restarted since, `connectionReset` is thrown:
  ///     what its predecessor had may never have left.
  /// - Throws: `AgentError`, whose `done` says how many bytes the device took for certain, and whose `atMost` how many at most.
  public mutating func write(
    _ bytes: [UInt8], drain: Bool = true, timeout: UInt32 = 5000, continuing: Bool = false, via agent: inout Agent
  ) throws(AgentError) {
    var done = 0
    var isContinuing = continuing
    var standstill = Standstill()
    var patience = timeout
    /// All is taken and not all sent: the loop goes on with an empty write, which only drains.
    var isDraining = false
    repeat {
      let end = min(done + agent.maximumRequestData, bytes.count)
      let isLast = end == bytes.count
      let response: Response
      do throws(AgentError) {
        let part = unsafe bytes.span.extracting(done..<end).bytes
        response = try writeOnce(
          part, drain: drain && isLast, timeout: patience, continuing: isContinuing, via: &agent)
      } catch {
        throw failed(error, after: done, part: end - done)
      }
      isContinuing = true
      let moved = Int(clamping: response.count)
      guard moved <= end - done else {
        throw failed(AgentError(.protocolError(.badFrame), executed: .maybe), after: done, part: end - done)
      }
      done += moved
      if response.status == .ok {
        guard done == end else { throw failed(AgentError(.refused(.io), executed: .yes), after: done, part: 0) }
        standstill = Standstill()
        patience = timeout
        isDraining = false
        continue
      }
      let isUnfinished = done < bytes.count || response.value > 0
      guard response.status == .timedOut, isUnfinished, let rest = standstill.rest(of: timeout, response, agent.replyData)
      else {
        throw refused(response, after: done)
      }
      patience = rest
      isDraining = true
    } while done < bytes.count || isDraining
  }

  /// Whether a line whose time was over moves, and how long it may go on to stand still.
  private struct Standstill {
    /// What the owner's kernel had to send when the time was over last.
    private var unsent: UInt32?

    /// - Returns: Milliseconds; nil when nothing has moved for `timeout`.
    mutating func rest(of timeout: UInt32, _ response: Response, _ data: [UInt8]) -> UInt32? {
      // Into the device, or out of it. The slowest line, 50 baud, moves five bytes in a second.
      let hasMoved = response.count > 0 || response.value < unsent ?? .max
      let isFirst = unsent == nil
      unsent = response.value
      guard hasMoved, timeout > 0 else { return nil }
      if let standstill = UARTStandstill(unsafe data.span.bytes) {
        return standstill.milliseconds < timeout ? max(1, timeout - standstill.milliseconds) : nil
      }
      // An owner that doesn't say for how long: only a second look tells.
      return isFirst && response.count == 0 ? min(timeout, 1000) : timeout
    }
  }

  /// An owner says that a request's time is over when it is, not before: else a loop that goes on as long as something moves, or
  /// may come, has no end.
  private struct Timeouts: Sendable {
    private var since: UInt64?
    /// What the requests since then should have taken, in nanoseconds.
    private var promised: UInt64 = 0

    mutating func note(_ timeout: UInt32, now: UInt64) throws(AgentError) {
      promised &+= UInt64(timeout) &* 1_000_000
      guard let since, now &- since < 60_000_000_000 else {
        self.since = now
        promised = 0
        return
      }
      guard 2 &* (now &- since) &+ 200_000_000 >= promised else {
        throw AgentError(.implausible("it says that the time is over before it is"), executed: .maybe)
      }
    }
  }

  /// The error of a request that has an answer: a failed device has taken `done` bytes, of which it may not have sent the last ones.
  private func refused(_ response: Response, after done: Int) -> AgentError {
    var error = AgentError(.refused(response.status), executed: response.executed)
    error.value = response.value
    error.atMost = done
    error.done = done
    if response.status != .timedOut { error.done = max(0, done - Int(clamping: response.value)) }
    error.executed = done == 0 ? response.executed : error.done < done ? .maybe : .yes
    return error
  }

  /// What the caller is told about the whole when a part fails: what was done before was done.
  private func failed(_ error: AgentError, after done: Int, part: Int) -> AgentError {
    var error = error
    error.done = done
    if case .connectionReset = error.reason { error.done = 0 }
    error.atMost = done + (error.executed == .no ? 0 : part)
    if done > 0, error.executed == .no { error.executed = error.done < done ? .maybe : .yes }
    return error
  }

  /// What was received.
  public struct Received: Sendable {
    public var bytes: [UInt8]
    /// Bytes that were lost before these, since the last read; `uartLossUnknown` when some may have been, and nobody can tell.
    public var lost: UInt32
  }

  /// One request: reads what was received.
  ///
  /// - Parameters:
  ///   - count: Bytes at most.
  ///   - minimum: Bytes to wait for; 0 takes what there is.
  ///   - timeout: How long to wait for them, in milliseconds.
  /// - Returns: Fewer than `minimum` bytes when the time was over.
  public mutating func read(_ count: Int, minimum: Int = 1, timeout: UInt32, via agent: inout Agent) throws(AgentError)
    -> Received
  {
    let most = min(count, agent.maximumResponseData)
    let least = min(minimum, most)
    let response = try readCall(most, least, timeout, via: &agent)
    let bytes = agent.replyData
    agent.giveCredit()
    guard bytes.count <= most, Int(clamping: response.count) == bytes.count else {
      throw AgentError(
        .implausible("it sent \(bytes.count) bytes, said \(response.count), and was asked for \(most) at most"), executed: .yes)
    }
    guard response.status != .ok || bytes.count >= least else {
      throw AgentError(.implausible("it said that there were enough bytes, and sent too few"), executed: .yes)
    }
    // Bytes that came before a failure are no less received; the next read tells of it.
    guard response.status == .ok || response.status == .timedOut || !bytes.isEmpty else {
      throw AgentError(.refused(response.status), executed: response.executed)
    }
    return Received(bytes: bytes, lost: response.value)
  }

  /// The owner gives up a session whose borrower was stopped for a while. Nothing that was read is lost then: it is asked again.
  private mutating func readCall(_ most: Int, _ least: Int, _ timeout: UInt32, via agent: inout Agent) throws(AgentError)
    -> Response
  {
    do throws(AgentError) {
      return try call(.read, timeout: timeout, UInt32(clamping: most), UInt32(clamping: least), via: &agent)
    } catch {
      guard case .protocolError(.silent) = error.reason else { throw error }
    }
    return try call(.read, timeout: timeout, UInt32(clamping: most), UInt32(clamping: least), via: &agent)
  }

  public mutating func settings(timeout: UInt32 = 1000, via agent: inout Agent) throws(AgentError) -> UARTSettings {
    try decoded(try call(.settings, timeout: timeout, via: &agent), agent.replyData)
  }

  /// Changes the line's settings when everything written before has left.
  ///
  /// - Returns: What the device made of them: speeds are rounded to what it can divide.
  public mutating func configure(
    _ settings: UARTSettings, timeout: UInt32 = 5000, via agent: inout Agent
  ) throws(AgentError) -> UARTSettings {
    var data = [UInt8](repeating: 0, count: UARTSettings.size)
    var span = data.mutableSpan
    var bytes = unsafe span.mutableBytes
    settings.encode(into: &bytes, at: 0)
    return try decoded(try call(.configure, timeout: timeout, data: unsafe data.span.bytes, via: &agent), agent.replyData)
  }

  private func decoded(_ response: Response, _ data: [UInt8]) throws(AgentError) -> UARTSettings {
    guard response.status == .ok else {
      var error = AgentError(.refused(response.status), executed: response.executed)
      error.value = response.value
      throw error
    }
    guard let settings = UARTSettings(unsafe data.span.bytes) else {
      throw AgentError(.protocolError(.badFrame), executed: .yes)
    }
    return settings
  }

  /// Throws away what was received and not read yet, what was written and not sent yet, or both.
  ///
  /// - Returns: How many bytes, as far as the owner knows.
  public mutating func flush(input: Bool, output: Bool, via agent: inout Agent) throws(AgentError) -> Int {
    let response = try call(.flush, timeout: 1000, (input ? uartFlushInput : 0) | (output ? uartFlushOutput : 0), via: &agent)
    guard response.status == .ok else { throw AgentError(.refused(response.status), executed: response.executed) }
    return Int(clamping: response.count)
  }
}
