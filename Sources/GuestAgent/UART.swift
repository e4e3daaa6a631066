import BrokerProtocol
import Linux
import RingBuffer

/// A UART of another guest. When the owner has restarted it is looked up again before the next request.
public struct UART: Sendable {
  /// What the owner says of it.
  public private(set) var entry: DirectoryEntry
  /// The one of the agent's sessions in which it was said.
  private var session: UInt32

  /// Looks the export up at its owner.
  ///
  /// - Throws: `refused(.noDevice)` when the owner has no such export, `refused(.access)` when this guest has no grant,
  ///   `refused(.invalid)` when it is no UART.
  public init(_ name: String, via agent: inout Agent) throws(AgentError) {
    entry = try agent.find(name)
    session = agent.sessions
    guard entry.frameClass == FrameClass.uart.rawValue else { throw AgentError(.refused(.invalid), executed: .no) }
  }

  /// One request about this UART, whatever its answer's status.
  @inline(never)
  private mutating func call(
    _ operation: UARTOperation, timeout: UInt32, _ argument0: UInt32 = 0, _ argument1: UInt32 = 0, data: RawSpan = RawSpan(),
    via agent: inout Agent
  ) throws(AgentError) -> Response {
    var request = Request(
      id: 0, frameClass: .uart, operation: operation.rawValue, peripheral: entry.number, timeout: timeout,
      argument0: argument0, argument1: argument1)
    var isAgain = false
    while true {
      do throws(AgentError) {
        return try agent.call(request, data: data, in: session)
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
  /// - Returns: The owner's answer, whatever its status: `count` bytes were taken, `value` of them have not left yet.
  @inline(__always)
  public mutating func writeOnce(
    _ bytes: RawSpan, drain: Bool, timeout: UInt32, via agent: inout Agent
  ) throws(AgentError) -> Response {
    try call(.write, timeout: timeout, drain ? uartDrain : 0, data: bytes, via: &agent)
  }

  /// Writes all of `bytes`, in as many requests as it takes, each after the one before was answered: what arrives is always
  /// a beginning of what was given.
  ///
  /// - Parameters:
  ///   - drain: Return when they have left the transmitter, not when the owner's kernel has them.
  ///   - timeout: In milliseconds, how long the owner's kernel may take no byte, or send none of those that it has. A slow
  ///     line is not an error.
  /// - Throws: `AgentError`, whose `done` says how many bytes the device took for certain.
  public mutating func write(
    _ bytes: [UInt8], drain: Bool = true, timeout: UInt32 = 5000, via agent: inout Agent
  ) throws(AgentError) {
    var done = 0
    /// What the kernel still had when the owner's time was over last.
    var unsent: UInt32?
    var patience = timeout
    repeat {
      let end = min(done + agent.maximumRequestData, bytes.count)
      let isLast = end == bytes.count
      let response: Response
      do throws(AgentError) {
        let part = unsafe bytes.span.extracting(done..<end).bytes
        response = try writeOnce(part, drain: drain && isLast, timeout: patience, via: &agent)
      } catch {
        throw failed(error, after: done)
      }
      let moved = Int(clamping: response.count)
      guard moved <= end - done else { throw failed(AgentError(.protocolError(.badFrame), executed: .maybe), after: done) }
      done += moved
      if response.status == .ok {
        guard done == end else { throw failed(AgentError(.refused(.io), executed: .yes), after: done) }
        unsent = nil
        patience = timeout
        continue
      }
      // The owner's time was over. That is an error unless something moved: into the device, or out of it, which only a
      // second look tells. The slowest line, 50 baud, moves five bytes in a second.
      let isMoving = moved > 0 || response.value < unsent ?? .max
      guard response.status == .timedOut, isMoving, response.value > 0 || done < bytes.count else {
        throw failed(AgentError(.refused(response.status), executed: response.executed), after: done)
      }
      patience = unsent == nil && moved == 0 ? min(timeout, 1000) : timeout
      unsent = response.value
      // All taken and not all sent: the loop goes on with an empty write, which only drains.
    } while done < bytes.count || unsent != nil
  }

  /// The error of a part, told of the whole: what is done is done.
  private func failed(_ error: AgentError, after done: Int) -> AgentError {
    var error = error
    error.done = done
    if done > 0, error.executed == .no { error.executed = .yes }
    return error
  }

  /// What a read returned.
  public struct Received: Sendable {
    public var bytes: [UInt8]
    /// Bytes that were lost before these, by the port or by the owner's kernel.
    public var lost: UInt32
  }

  /// One request: what was received, at most `count` bytes and at most `Agent.maximumResponseData`.
  ///
  /// - Parameters:
  ///   - minimum: Bytes to wait for. 0: take what is there.
  ///   - timeout: How long to wait for them, in milliseconds.
  /// - Returns: Fewer than `minimum` bytes when the time was over.
  public mutating func read(_ count: Int, minimum: Int = 1, timeout: UInt32, via agent: inout Agent) throws(AgentError)
    -> Received
  {
    let most = min(count, agent.maximumResponseData)
    let response = try call(
      .read, timeout: timeout, UInt32(clamping: most), UInt32(clamping: min(minimum, most)), via: &agent)
    let bytes = agent.replyData
    // Bytes that came before a failure are no less received; the next read tells of it.
    guard response.status == .ok || response.status == .timedOut || !bytes.isEmpty else {
      throw AgentError(.refused(response.status), executed: response.executed)
    }
    return Received(bytes: bytes, lost: response.value)
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
    let response = try call(.flush, timeout: 1000, (input ? 1 : 0) | (output ? 2 : 0), via: &agent)
    guard response.status == .ok else { throw AgentError(.refused(response.status), executed: response.executed) }
    return Int(clamping: response.count)
  }
}
