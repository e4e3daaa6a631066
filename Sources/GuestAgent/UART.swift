import BrokerProtocol
import Linux
import RingBuffer

/// A UART of another guest. Good for one session of the agent's: look it up again after a `connectionReset`.
public struct UART: Sendable {
  public let entry: DirectoryEntry

  /// Looks the export up at its owner.
  ///
  /// - Throws: `refused(.noDevice)` when the owner has no such export, `refused(.access)` when this guest has no grant,
  ///   `refused(.invalid)` when it is no UART.
  public init(_ name: String, via agent: inout Agent) throws(AgentError) {
    entry = try agent.find(name)
    guard entry.frameClass == FrameClass.uart.rawValue else { throw AgentError(.refused(.invalid), executed: .no) }
  }

  private func request(_ operation: UARTOperation, timeout: UInt32, _ argument0: UInt32 = 0, _ argument1: UInt32 = 0) -> Request {
    Request(
      id: 0, frameClass: .uart, operation: operation.rawValue, peripheral: entry.number, timeout: timeout,
      argument0: argument0, argument1: argument1)
  }

  /// One request: writes at most `Agent.maximumRequestData` bytes.
  ///
  /// - Parameters:
  ///   - drain: Answer when the bytes have left the transmitter, not when the owner's kernel has them.
  ///   - timeout: How long the owner may take, in milliseconds.
  /// - Returns: The owner's answer, whatever its status: `count` bytes were taken, `value` of them have not left yet.
  @inline(__always)
  public func writeOnce(_ bytes: RawSpan, drain: Bool, timeout: UInt32, via agent: inout Agent) throws(AgentError) -> Response {
    try agent.call(request(.write, timeout: timeout, drain ? uartDrain : 0), data: bytes)
  }

  /// Writes all of `bytes`, in as many requests as it takes, each after the one before was answered: what arrives is always
  /// a beginning of what was given.
  ///
  /// - Parameters:
  ///   - drain: Return when they have left the transmitter, not when the owner's kernel has them.
  ///   - timeout: How long nothing at all may move, in milliseconds. A slow line is not an error.
  /// - Throws: `AgentError`, whose `done` says how many bytes the device took for certain.
  public func write(_ bytes: [UInt8], drain: Bool = true, timeout: UInt32 = 5000, via agent: inout Agent) throws(AgentError) {
    var done = 0
    var unsent = UInt32.max
    repeat {
      let end = min(done + agent.maximumRequestData, bytes.count)
      let isLast = end == bytes.count
      let response: Response
      do throws(AgentError) {
        let part = unsafe bytes.span.extracting(done..<end).bytes
        response = try writeOnce(part, drain: drain && isLast, timeout: timeout, via: &agent)
      } catch {
        throw failed(error, after: done)
      }
      let moved = Int(clamping: response.count)
      guard moved <= end - done else { throw failed(AgentError(.protocolError(.badFrame), executed: .maybe), after: done) }
      done += moved
      if response.status == .ok {
        guard moved == end - (done - moved) else { throw failed(AgentError(.refused(.io), executed: .yes), after: done) }
        continue
      }
      // The owner's time was over, but something moved: into the device, or out of it.
      let isMoving = moved > 0 || response.value < unsent
      unsent = response.value
      guard response.status == .timedOut, isMoving else {
        throw failed(AgentError(.refused(response.status), executed: response.executed), after: done)
      }
      if done == bytes.count {
        // Taken, and not sent yet: only the drain goes on.
        try drainOnly(unsent: &unsent, done: done, timeout: timeout, via: &agent)
      }
    } while done < bytes.count
  }

  private func drainOnly(unsent: inout UInt32, done: Int, timeout: UInt32, via agent: inout Agent) throws(AgentError) {
    while true {
      let response: Response
      do throws(AgentError) {
        response = try writeOnce(RawSpan(), drain: true, timeout: timeout, via: &agent)
      } catch {
        throw failed(error, after: done)
      }
      if response.status == .ok { return }
      guard response.status == .timedOut, response.value < unsent else {
        throw failed(AgentError(.refused(response.status), executed: .yes), after: done)
      }
      unsent = response.value
    }
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
  public func read(_ count: Int, minimum: Int = 1, timeout: UInt32, via agent: inout Agent) throws(AgentError) -> Received {
    let most = min(count, agent.maximumResponseData)
    let response = try agent.call(
      request(.read, timeout: timeout, UInt32(clamping: most), UInt32(clamping: min(minimum, most))), data: RawSpan())
    guard response.status == .ok || response.status == .timedOut else {
      throw AgentError(.refused(response.status), executed: response.executed)
    }
    return Received(bytes: agent.replyData, lost: response.value)
  }

  public func settings(timeout: UInt32 = 1000, via agent: inout Agent) throws(AgentError) -> UARTSettings {
    try decoded(try agent.call(request(.settings, timeout: timeout), data: RawSpan()), agent.replyData)
  }

  /// Changes the line's settings when everything written before has left.
  ///
  /// - Returns: What the device made of them: speeds are rounded to what it can divide.
  public func configure(_ settings: UARTSettings, timeout: UInt32 = 5000, via agent: inout Agent) throws(AgentError) -> UARTSettings {
    var data = [UInt8](repeating: 0, count: UARTSettings.size)
    var span = data.mutableSpan
    var bytes = unsafe span.mutableBytes
    settings.encode(into: &bytes, at: 0)
    return try decoded(try agent.call(request(.configure, timeout: timeout), data: unsafe data.span.bytes), agent.replyData)
  }

  private func decoded(_ response: Response, _ data: [UInt8]) throws(AgentError) -> UARTSettings {
    guard response.status == .ok else { throw AgentError(.refused(response.status), executed: response.executed) }
    guard let settings = UARTSettings(unsafe data.span.bytes) else {
      throw AgentError(.protocolError(.badFrame), executed: .yes)
    }
    return settings
  }

  /// Throws away what was received and not read yet, what was written and not sent yet, or both.
  ///
  /// - Returns: How many bytes, as far as the owner knows.
  public func flush(input: Bool, output: Bool, via agent: inout Agent) throws(AgentError) -> Int {
    let response = try agent.call(
      request(.flush, timeout: 1000, (input ? 1 : 0) | (output ? 2 : 0)), data: RawSpan())
    guard response.status == .ok else { throw AgentError(.refused(response.status), executed: response.executed) }
    return Int(clamping: response.count)
  }
}
