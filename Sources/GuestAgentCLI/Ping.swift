import GuestAgent
import Linux
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

  catchInterrupt()
  var agent = try context.open(link)
  if size > min(agent.maximumRequestData, agent.maximumResponseData) {
    throw Failure("-s \(size) is more than link \(link.name) takes in one message", .usage)
  }
  var times: [UInt64] = []
  do throws(AgentError) {
    try agent.connect()
    if !context.json {
      emit("PING \(link.peerName) on link \(link.name), channel \(agent.channel): \(size) bytes of data")
    }
    for sequence in 1...count {
      let time = try agent.ping(size: size)
      times.append(time)
      if count <= 1000, !context.json {
        emit("\(size) bytes from \(link.peerName): seq=\(sequence) time=\(durationText(time))")
      }
      if sequence < count, interval > 0 { sleepNanoseconds(interval) }
      if wasInterrupted { break }
    }
  } catch {
    throw context.failure(error, link.name, link)
  }
  times.heapSort(by: <)
  let sum = times.reduce(0, &+)
  func percentile(_ percent: Int) -> UInt64 { times[min(times.count - 1, times.count * percent / 100)] }
  let measures = ["min", "mean", "p50", "p99", "max"]
  let values = [percentile(0), sum / UInt64(times.count), percentile(50), percentile(99), percentile(100)]
  if context.json {
    var object = JSONObject()
    object.add("link", link.name)
    object.add("owner", link.peerName)
    object.add("bytes", size)
    object.add("count", times.count)
    for (name, value) in zip(measures, values) { object.add("\(name)_ns", value) }
    emit(object.text)
  } else {
    emit("--- \(link.peerName): \(times.count) answered ---")
    emit("round trip \(measures.joined(by: "/")) = \(values.map { durationText($0) }.joined(by: "/"))")
  }
}
