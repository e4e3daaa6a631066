import GuestAgent
import Linux
import Partition

/// `guestagent ping`: round-trip times to the owner at the other end of a link.
func ping(_ arguments: inout Arguments) throws(Failure) {
  let options = try CommonOptions(&arguments)
  let count: UInt64
  let interval: UInt64
  let size: Int
  let operands: [String]
  do throws(UsageError) {
    let countText = try arguments.value("--count", "-c") ?? "5"
    guard let number = parseNumber(countText), number > 0, number <= 1_000_000_000 else {
      throw UsageError("-c \(countText) is no count")
    }
    count = number
    let intervalText = try arguments.value("--interval", "-i") ?? "200ms"
    guard let pause = parseDuration(intervalText) else { throw UsageError("-i \(intervalText) is no duration; try 200ms") }
    interval = pause
    let sizeText = try arguments.value("--size", "-s") ?? "8"
    guard let bytes = parseNumber(sizeText), bytes <= 4096 else { throw UsageError("-s \(sizeText) is not 0 to 4096 bytes") }
    size = Int(bytes)
    operands = try arguments.operands()
    if operands.count > 1 { throw UsageError("unexpected argument '\(operands[1])'") }
  } catch {
    throw Failure(error)
  }
  let context = try Context(options)
  // Links on which this guest has something to ask for, or the one named by its name or its owner.
  let borrowed = context.partition.links.filter { $0.role == .borrower }
  guard
    let link = borrowed.first(where: { link in
      operands.first.map { sameText($0, link.name) || sameText($0, link.peerName) } ?? true
    })
  else {
    throw Failure(
      operands.first.map { "no link or owner '\($0)'; there is \(listed(borrowed.map { "\($0.name) to \($0.peerName)" }))" }
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
  times.sort()
  let sum = times.reduce(0, &+)
  func percentile(_ percent: Int) -> UInt64 { times[min(times.count - 1, times.count * percent / 100)] }
  if context.json {
    var object = JSONObject()
    object.add("link", link.name)
    object.add("owner", link.peerName)
    object.add("bytes", size)
    object.add("count", times.count)
    object.add("min_ns", times[0])
    object.add("mean_ns", sum / UInt64(times.count))
    object.add("p50_ns", percentile(50))
    object.add("p99_ns", percentile(99))
    object.add("max_ns", times[times.count - 1])
    emit(object.text)
  } else {
    emit("--- \(link.peerName): \(times.count) answered ---")
    emit(
      "round trip min/mean/p50/p99/max = \(durationText(times[0]))/\(durationText(sum / UInt64(times.count)))/\(durationText(percentile(50)))/\(durationText(percentile(99)))/\(durationText(times[times.count - 1]))"
    )
  }
}
