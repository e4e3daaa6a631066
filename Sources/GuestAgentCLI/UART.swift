import BrokerProtocol
import GuestAgent
import Linux
import Program
import Text
import Partition

/// `guestagent uart write|read|config|flush`
func uart(_ arguments: inout Arguments, wantsHelp: Bool) throws(Failure) {
  switch arguments.command(["write", "read", "config", "flush"], wantsHelp: wantsHelp, "uart: ") {
  case 0: wantsHelp ? emit(uartWriteHelp) : try write(&arguments)
  case 1: wantsHelp ? emit(uartReadHelp) : try read(&arguments)
  case 2: wantsHelp ? emit(uartConfigHelp) : try configure(&arguments)
  case 3: wantsHelp ? emit(uartFlushHelp) : try flush(&arguments)
  default: emit(uartHelp)
  }
}

/// An imported UART and the way to its owner.
private final class Connection {
  let context: Context
  let name: String
  let link: Link
  var agent: Agent
  var uart: UART

  init(_ context: Context, _ name: String) throws(Failure) {
    let peripheral = try context.peripheral(name)
    guard peripheral.peripheralClass == .uart else {
      throw Failure("\(name) is of class \(peripheral.peripheralClass.name), no UART", .usage)
    }
    self.context = context
    self.name = name
    link = context.link(of: peripheral)
    agent = try context.open(link)
    do throws(AgentError) {
      uart = try UART(peripheral.remoteName, via: &agent)
    } catch {
      throw context.failure(error, about: name, on: link)
    }
    context.noteDoorbell(agent)
  }

  func failure(_ error: AgentError, isRead: Bool = false) -> Failure {
    var failure = context.failure(error, about: name, on: link, isRead: isRead)
    failure.facts = object()
    failure.facts.add("bytes", error.done)
    failure.facts.add("executed", error.executed.name)
    if error.executed == .maybe { failure.facts.add("bytes_at_most", error.atMost) }
    return failure
  }

  /// For --json: what every result begins with.
  func object() -> JSONObject {
    var object = JSONObject()
    object.add("peripheral", name)
    object.add("owner", link.peerName)
    return object
  }
}

/// The operands of a command: the peripheral's name and what `rest` allows.
private func operands(_ arguments: Arguments, _ command: String, atMost: Int) -> (String, [String]) {
  let all = arguments.operands(atMost: 1 + atMost, "uart \(command): ")
  guard let name = all.first else {
    arguments.fail("uart \(command): which UART? Name one ('guestagent list' shows them)")
  }
  return (name, Array(all[1...]))
}

/// `--timeout`, in milliseconds; nil when it isn't given.
private func timeout(_ arguments: inout Arguments) -> UInt32? {
  guard let duration = arguments.duration("--timeout", example: "500ms") else { return nil }
  // The owner waits no longer than that for a device (Spec 4 §2).
  guard duration <= 3_600_000_000_000 else { arguments.fail("--timeout is longer than an hour") }
  return UInt32(clamping: (duration + 999_999) / 1_000_000)
}

// ---- write -----------------------------------------------------------------------------------------------------------

private func write(_ arguments: inout Arguments) throws(Failure) {
  let options = CommonOptions(&arguments)
  let patience = timeout(&arguments) ?? 5000
  let isHex = arguments.flag("--hex")
  let drain = !arguments.flag("--no-drain")
  let (name, rest) = operands(arguments, "write", atMost: 1)
  guard let text = rest.first else {
    arguments.fail("uart write: write what? Give the text, or - for standard input")
  }
  let fromInput = sameText(text, "-") && !isHex
  var data = text.systemBytes
  if isHex {
    guard let bytes = parseHex(text) else { arguments.fail("uart write: '\(text)' is not an even number of hex digits") }
    data = bytes
  }

  let context = try Context(options)
  let connection = try Connection(context, name)
  var total = 0
  let start = monotonicNanoseconds()
  do throws(AgentError) {
    if fromInput {
      while let part = try readInput(atMost: connection.agent.maximumRequestData) {
        try connection.uart.write(
          part, drain: false, timeout: patience, continuing: total > 0, via: &connection.agent)
        total += part.count
      }
      if drain { try connection.uart.write([], timeout: patience, continuing: total > 0, via: &connection.agent) }
    } else {
      try connection.uart.write(data, drain: drain, timeout: patience, via: &connection.agent)
      total = data.count
    }
  } catch {
    let error = error.after(total)
    let failure = connection.failure(error)
    // The channel is locked already: what this guest's kernel can refuse now is its input.
    guard case .system(let errno) = error.reason, !errno.isInterruption else { throw failure }
    throw failure.with(
      sentence: "\(name): cannot read standard input (\(errno.text)); \(error.done) bytes were executed before", .osError)
  }
  let time = monotonicNanoseconds() - start
  if context.json {
    var object = connection.object()
    object.add("bytes", total)
    object.add("executed", Executed.yes.name)
    object.add("drained", drain)
    object.add("ns", time)
    emit(object.text)
  } else {
    emit("\(name): \(total) bytes \(drain ? "sent by" : "handed to") \(connection.link.peerName) in \(durationText(time))")
  }
}

extension AgentError {
  /// The same, where the device had taken `total` bytes before, which it may not have sent yet.
  fileprivate func after(_ total: Int) -> AgentError {
    guard total > 0 else { return self }
    var error = self
    error.atMost += total
    switch reason {
    // The owner that had them is gone.
    case .connectionReset: error.done = 0
    // The device is: `value` of all that it took never left it, at most.
    case .refused(let status) where status != .timedOut: error.done = max(0, error.atMost - Int(clamping: value))
    default: error.done += total
    }
    error.executed = error.done < error.atMost ? .maybe : .yes
    return error
  }
}

/// What standard input has next; nil at its end.
private func readInput(atMost count: Int) throws(AgentError) -> [UInt8]? {
  var buffer = [UInt8](repeating: 0, count: count)
  do throws(Errno) {
    let count = try readStandardInput(into: &buffer)
    return count == 0 ? nil : Array(buffer[..<count])
  } catch {
    throw AgentError(.system(error), executed: .no)
  }
}

/// "48656c6c6f", "48 65:6c"; nil when it is none.
private func parseHex(_ text: String) -> [UInt8]? {
  var digits: [UInt8] = []
  for byte in Array(text.utf8) where byte != 0x20 && byte != 0x3a {
    guard let digit = hexadecimalDigit(byte) else { return nil }
    digits.append(digit)
  }
  guard digits.count % 2 == 0 else { return nil }
  return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

// ---- read ------------------------------------------------------------------------------------------------------------

private func read(_ arguments: inout Arguments) throws(Failure) {
  let options = CommonOptions(&arguments)
  let silence = timeout(&arguments)
  var wanted: Int?
  if let text = arguments.value("--count", "-n") {
    guard let number = parseNumber(text), number > 0, number <= UInt64(Int32.max) else {
      arguments.fail("-n \(text) is no count of bytes")
    }
    wanted = Int(number)
  }
  let (name, _) = operands(arguments, "read", atMost: 0)
  let context = try Context(options)
  let connection = try Connection(context, name)
  var total = 0
  var lost: UInt64 = 0
  var mayHaveLost = false
  var lastByte = monotonicNanoseconds()
  while wanted.map({ total < $0 }) ?? true {
    let received: UART.Received
    // Ask for at most a second: whoever waits for ever should still notice when the owner goes.
    let quiet = (monotonicNanoseconds() - lastByte) / 1_000_000
    let slice = silence.map { UInt32(clamping: min(1000, UInt64($0) > quiet ? UInt64($0) - quiet : 0)) } ?? 1000
    do throws(AgentError) {
      received = try connection.uart.read(wanted.map { $0 - total } ?? 4096, timeout: slice, via: &connection.agent)
    } catch {
      var error = error
      error.done = total
      throw connection.failure(error, isRead: true)
    }
    if received.lost == uartLossUnknown {
      mayHaveLost = true
      complain(
        "\(name): bytes may have been lost before this point, nobody knows how many: the line went while \(connection.link.peerName) had no room for more"
      )
    } else if received.lost > 0 {
      lost += UInt64(received.lost)
      complain(
        "\(name): \(received.lost) bytes were lost before this point (overrun at \(connection.link.peerName))")
    }
    if !received.bytes.isEmpty {
      lastByte = monotonicNanoseconds()
      total += received.bytes.count
      if context.json {
        var object = connection.object()
        object.add("bytes", received.bytes.count)
        if received.lost == uartLossUnknown { object.add("lost", "unknown") } else { object.add("lost", UInt64(received.lost)) }
        object.add("hex", hexadecimal(received.bytes))
        emit(object.text)
      } else {
        try printReceived(received.bytes, connection, after: total - received.bytes.count)
      }
      // What had been received before is no more than the owner's queue holds.
      if silence == 0, wanted == nil, total >= 65536 { break }
    } else if let silence, (monotonicNanoseconds() - lastByte) / 1_000_000 >= UInt64(silence) {
      guard let wanted else { break }
      throw Failure(
        "\(name): \(total) of \(wanted) bytes came before \(durationText(UInt64(silence) * 1_000_000)) of silence", .tempFail)
    }
  }
  if lost > 0 || mayHaveLost {
    throw Failure("\(name): \(lost) bytes were lost\(mayHaveLost ? ", and more may have been" : "")", .ioError)
  }
}

/// Prints bytes that were received, `before` of which are printed already.
private func printReceived(_ bytes: [UInt8], _ connection: Connection, after before: Int) throws(Failure) {
  let (done, error) = writeAll(bytes, to: 1)
  guard let error else { return }
  throw Failure(
    "\(connection.name): cannot write to standard output (\(error.text)); \(before + bytes.count) bytes were taken from \(connection.link.peerName), and the last \(bytes.count - done) of them are lost",
    error.isInterruption ? .ofSignal : .ioError)
}

// ---- config ----------------------------------------------------------------------------------------------------------

private func configure(_ arguments: inout Arguments) throws(Failure) {
  let options = CommonOptions(&arguments)
  let patience = timeout(&arguments) ?? 5000
  let (name, rest) = operands(arguments, "config", atMost: 5)
  let words = joinFormat(rest)
  // Before anything is opened: a wrong word should change nothing.
  var settings = UARTSettings(baud: 1)
  for word in words where !settings.apply(word) {
    arguments.fail(
      "uart config: '\(word)' is no setting; try 115200 or 9600e71 (speed, parity, data bits, stop bits), rtscts, xonxoff or noflow"
    )
  }
  let context = try Context(options)
  let connection = try Connection(context, name)
  do throws(AgentError) {
    settings = try connection.uart.settings(via: &connection.agent)
    if !words.isEmpty {
      for word in words { _ = settings.apply(word) }
      settings = try connection.uart.configure(settings, timeout: patience, via: &connection.agent)
    }
  } catch {
    let failure = connection.failure(error)
    // The answer doesn't say what it was.
    if case .refused(.invalid) = error.reason, !words.isEmpty {
      throw failure.with(
        sentence:
          "\(name): the device on \(connection.link.peerName) refused \(settings.text), and nothing was changed; it can't make the speed (it may be off by 3 %), or doesn't have the format or the flow control: try one at a time",
        failure.exitCode)
    }
    if case .refused(.access) = error.reason, connection.uart.entry.access.contains(.write) {
      throw failure.with(
        sentence:
          "\(name): \(connection.link.peerName) allows at most \(error.value) baud (its export's max-baud), not \(settings.baud)",
        failure.exitCode)
    }
    throw failure
  }
  guard context.json else { return emit("\(name): \(settings.text)") }
  var object = connection.object()
  object.add("baud", UInt64(settings.baud))
  object.add("data_bits", Int(settings.dataBits))
  object.add("parity", settings.parity.name)
  object.add("stop_bits", Int(settings.stopBits))
  object.add("rtscts", settings.rtscts)
  object.add("xonxoff", settings.xonxoff)
  emit(object.text)
}

/// Settings in which a speed and a format, as "115200" and "8n1", are one word.
private func joinFormat(_ words: [String]) -> [String] {
  var joined: [String] = []
  for word in words {
    var settings = UARTSettings(baud: 1)
    if let speed = joined.last, parseNumber(speed) != nil, !settings.apply(word) {
      // "8n1" begins with a digit, and would be taken for more of the speed.
      let text =
        parseNumber(String(decoding: Array(word.utf8).prefix(1), as: UTF8.self)) == nil ? "\(speed)\(word)" : "\(speed),\(word)"
      if settings.apply(text) {
        joined[joined.count - 1] = text
        continue
      }
    }
    joined.append(word)
  }
  return joined
}

// ---- flush -----------------------------------------------------------------------------------------------------------

private func flush(_ arguments: inout Arguments) throws(Failure) {
  let options = CommonOptions(&arguments)
  let (name, words) = operands(arguments, "flush", atMost: 1)
  let which = words.first ?? "both"
  var input = sameText(which, "in") || sameText(which, "both")
  var output = sameText(which, "out") || sameText(which, "both")
  guard input || output else { arguments.fail("uart flush: '\(which)' is none of in, out and both") }
  let context = try Context(options)
  let connection = try Connection(context, name)
  if words.isEmpty {
    // Whatever may be: who may only read has nothing waiting to be sent.
    input = connection.uart.entry.access.contains(.read)
    output = connection.uart.entry.access.contains(.write)
  }
  let count: Int
  do throws(AgentError) {
    count = try connection.uart.flush(input: input, output: output, via: &connection.agent)
  } catch {
    throw connection.failure(error)
  }
  if context.json {
    var object = connection.object()
    object.add("discarded", count)
    emit(object.text)
  } else {
    emit("\(name): \(count) bytes discarded")
  }
}
