import BrokerProtocol
import GuestAgent
import Linux
import Program
import Text
import Partition

/// `guestagent ping`: round-trip times to the owner at the other end of a link.
func ping(_ arguments: inout Arguments) throws(Failure) {
  let options = CommonOptions(&arguments)
  let countText = arguments.value("--count", "-c") ?? "5"
  guard let count = parseNumber(countText), count > 0, count <= 1_000_000_000 else {
    arguments.fail("-c \(countText) is no count")
  }
  let interval = arguments.duration("--interval", "-i", example: "200ms") ?? 200_000_000
  let sizeText = arguments.value("--size", "-s") ?? "8"
  guard let bytes = parseNumber(sizeText), bytes <= 4096 else {
    arguments.fail("-s \(sizeText) is not 0 to 4096 bytes")
  }
  let size = Int(bytes)
  let operands = arguments.operands(atMost: 1)
  let context = try Context(options)
  // A link on which this guest has something to ask for: the first, or the one named by its name or its owner.
  var found: Link?
  var names: [String] = []
  for link in context.partition.links where link.role == .borrower {
    names.append("\(link.name) to \(link.peerName)")
    if found == nil, operands.allSatisfy({ sameText($0, link.name) || sameText($0, link.peerName) }) { found = link }
  }
  guard let link = found else {
    throw Failure(
      operands.first.map { "no link or owner '\($0)'; there is \(listed(names))" }
        ?? "\(context.partition.guestName) has no link with role \"borrower\"", .noHost)
  }

  var agent = try context.open(link)
  if size > min(agent.maximumRequestData, agent.maximumResponseData) {
    throw Failure("-s \(size) is more than link \(link.name) takes in one message", .usage)
  }
  var times: [UInt64] = []
  var interruption: Failure?
  do throws(AgentError) {
    try agent.connect()
    context.noteDoorbell(agent)
    if !context.json {
      emit("PING \(link.peerName) on link \(link.name), channel \(agent.channel): \(size) bytes of data")
    }
    for sequence in 1...count {
      let time = try agent.ping(size: size)
      times.append(time)
      if count <= 1000, !context.json {
        emit("\(size) bytes from \(link.peerName): seq=\(sequence) time=\(durationText(time))")
      }
      if sequence == count { break }
      if interval > 0 { sleepUnlessInterrupted(interval) }
      if wasInterrupted { throw AgentError(.system(.interrupted), executed: .no) }
    }
  } catch {
    guard case .system(.interrupted) = error.reason else { throw context.failure(error, about: link.name, on: link) }
    interruption = Failure("link \(link.name): interrupted; \(times.count) of \(count) were answered", .ofSignal)
  }
  printSummary(&times, link, size: size, json: context.json)
  // As ping(8): whoever has seen enough ends it so.
  if let interruption, times.isEmpty || interruption.exitCode != .interrupted { throw interruption }
}

/// What it came to, also when it was interrupted.
private func printSummary(_ times: inout [UInt64], _ link: Link, size: Int, json: Bool) {
  var measures: [(name: String, time: UInt64)] = []
  if !times.isEmpty {
    times.sort()
    func percentile(_ percent: Int) -> UInt64 { times[min(times.count - 1, times.count * percent / 100)] }
    measures = [
      ("min", percentile(0)), ("mean", times.reduce(0, &+) / UInt64(times.count)), ("p50", percentile(50)),
      ("p99", percentile(99)), ("max", percentile(100)),
    ]
  }
  if json {
    var object = JSONObject()
    object.add("link", link.name)
    object.add("owner", link.peerName)
    object.add("bytes", size)
    object.add("count", times.count)
    for measure in measures { object.add("\(measure.name)_ns", measure.time) }
    emit(object.text)
  } else {
    emit("--- \(link.peerName): \(times.count) answered ---")
    if measures.isEmpty { return }
    emit(
      "round trip \(measures.map { $0.name }.joined(separator: "/")) = \(measures.map { durationText($0.time) }.joined(separator: "/"))"
    )
  }
}
