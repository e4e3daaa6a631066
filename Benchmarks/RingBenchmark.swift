import CLinux
import Linux
import Program
import Text
import RingBuffer
import SharedMemory

/// What `Benchmarks ring` measures.
enum RingJob: Equatable {
  /// A message there, the same back.
  case pingPong(bytes: Int)
  /// Messages one way, published one by one or so many at once.
  case stream(bytes: Int, batch: Int)
  /// The same through a ring of fixed elements with cached indices, as the fastest single-element queues have it.
  case elements(bytes: Int, batch: Int)
  /// Blocks one way: memcpy into shared memory, a flag for each, memcpy out of it.
  case copy(bytes: Int)
  /// A message there and back between two sides that sleep.
  case wake
  /// The same with nothing but two words and futex(2).
  case futex

  static let all: [RingJob] =
    [8, 24, 56, 64].map { .pingPong(bytes: $0) }
    + [(8, 1), (64, 1), (8, 32), (64, 32)].flatMap { [.stream(bytes: $0, batch: $1), .elements(bytes: $0, batch: $1)] }
    + [.stream(bytes: 4096, batch: 1), .copy(bytes: 4096), .wake, .futex]

  var name: String {
    switch self {
    case .pingPong: "ring-ping-pong"
    case .stream(_, let batch): batch == 1 ? "ring-stream" : "ring-stream-batch-\(batch)"
    case .elements(_, let batch): batch == 1 ? "elements-stream" : "elements-stream-batch-\(batch)"
    case .copy: "memcpy-stream"
    case .wake: "ring-wake"
    case .futex: "futex-wake"
    }
  }

  var bytes: Int {
    switch self {
    case .pingPong(let bytes), .stream(let bytes, _), .elements(let bytes, _), .copy(let bytes): bytes
    case .wake: 8
    case .futex: 4
    }
  }

  /// Messages, or round trips, in a burst.
  var count: Int {
    switch self {
    case .pingPong: 2000
    case .stream(let bytes, _), .elements(let bytes, _), .copy(let bytes):
      bytes <= 8 ? 64_000 : bytes <= 64 ? 19_200 : 640
    case .wake, .futex: 40
    }
  }

  /// What it is compared with in the same round.
  var reference: RingJob? {
    switch self {
    case .stream(let bytes, let batch): bytes == 4096 ? .copy(bytes: bytes) : .elements(bytes: bytes, batch: batch)
    case .wake: .futex
    default: nil
    }
  }
}

/// This process and its peer on another processor, a link between them, and plain shared memory beside it.
struct RingPair: ~Copyable {
  private let words: Mapping
  private let blocks: Mapping
  private let link: Mapping
  private var endpoint: Endpoint
  private var message: MessageBuffer
  private var there: SharedWord { words.region.word(at: 0) }
  private var back: SharedWord { words.region.word(at: 128) }
  private var command: SharedWord { words.region.word(at: 256) }
  private var argument: SharedWord { words.region.word(at: 320) }
  private var finished: SharedWord { words.region.word(at: 384) }
  private var slept: SharedWord { words.region.word(at: 448) }
  /// The elements' indices: the producer's and the consumer's.
  private var tail: SharedWord { words.region.word(at: 512) }
  private var head: SharedWord { words.region.word(at: 640) }
  private var turn: UInt32 = 0
  private var commands: UInt32 = 0
  private let peer: pid_t
  /// How often this side rang, and this process slept.
  private(set) var rings = 0
  private var sleeps: UInt32 = 0
  /// How often the kernel has taken the processor from this process or its peer.
  var switches: UInt32 { involuntarySwitches(of: getpid()) &+ involuntarySwitches(of: peer) }
  /// How often the peer slept.
  var peerSleeps: UInt32 { slept.loadAcquiring() }
  static let blockBytes = 256 << 10

  init() throws {
    let path = "/dev/shm/guestbroker-benchmark-\(getpid())"
    let layout = try LinkLayout(size: 1 << 20, channels: 1)
    let words = try Mapping(.file(path + "-words"), size: 16384)
    let blocks = try Mapping(.file(path + "-blocks"), size: Self.blockBytes)
    let link = try Mapping(.file(path + "-link"), size: layout.size)
    for suffix in ["-words", "-blocks", "-link"] { _ = unlink(path + suffix) }
    let peer = try check(fork())
    self.words = words
    self.blocks = blocks
    self.link = link
    self.peer = peer
    message = MessageBuffer(capacity: 4096)
    endpoint = Endpoint(link.region, layout: layout, channel: 0, role: peer == 0 ? .owner : .borrower)
    if peer == 0 { _ = lx_die_with_parent() }
    _ = lx_pin(peer == 0 ? 1 : 0)
    endpoint.start(session: randomSession())
    while endpoint.state != .established { _ = endpoint.refresh() }
    if peer == 0 { serve() }
  }

  consuming func end() {
    _ = kill(peer, SIGKILL)
    _ = waitpid(peer, nil, 0)
  }

  // ---- This side -----------------------------------------------------------------------------------------------------

  private mutating func order(_ job: Int) {
    finished.store(0)
    tail.store(0)
    head.store(0)
    argument.store(UInt32(job))
    commands &+= 1
    command.storeReleasing(commands)
  }

  /// Mean nanoseconds of the raw ping-pong of two lines.
  mutating func probe() -> Double {
    let count = 1000
    order(RingJob.all.count)
    let begin = monotonicNanoseconds()
    for _ in 0..<count { pingWords() }
    return Double(monotonicNanoseconds() - begin) / Double(count)
  }

  @inline(__always)
  private mutating func pingWords() {
    turn &+= 1
    there.storeReleasing(turn)
    while back.loadAcquiring() != turn { spinHint() }
  }

  /// Mean nanoseconds of a message, or a round trip.
  ///
  /// - Parameter each: Called with the nanoseconds of each round trip; then the mean includes reading the clock.
  mutating func measure(_ job: RingJob, each: ((UInt64) -> Void)? = nil) throws -> Double {
    order(RingJob.all.firstIndex(of: job)!)
    message.count = job.bytes
    let begin = monotonicNanoseconds()
    switch job {
    case .pingPong:
      if let each {
        var last = begin
        for _ in 0..<job.count {
          try pingMessage()
          let now = monotonicNanoseconds()
          each(now - last)
          last = now
        }
      } else {
        for _ in 0..<job.count { try pingMessage() }
      }
    case .stream(_, 1): try Self.produce(job.count, &endpoint.producer, &message)
    case .stream(8, let batch): try Self.produceWords(job.count, batch: batch, &endpoint.producer, &message)
    case .stream(_, let batch): try Self.produce(job.count, batch: batch, &endpoint.producer, &message)
    case .elements(let bytes, let batch): produceElements(job.count, bytes, batch)
    case .copy(let bytes): copyIn(job.count, bytes)
    case .wake:
      var total: UInt64 = 0
      for _ in 0..<job.count {
        let begin = letPeerSleep()
        try sendAndRing()
        try receiveAsleep()
        total += monotonicNanoseconds() - begin
      }
      return Double(total) / Double(job.count)
    case .futex:
      var total: UInt64 = 0
      for _ in 0..<job.count {
        let begin = letPeerSleep()
        turn &+= 1
        there.storeReleasing(turn)
        wake(there)
        while back.loadAcquiring() != turn { sleep(on: back, while: turn &- 1) }
        total += monotonicNanoseconds() - begin
      }
      return Double(total) / Double(job.count)
    }
    while finished.loadAcquiring() == 0 {}
    return Double(monotonicNanoseconds() - begin) / Double(job.count)
  }

  /// Gives the peer the time to fall asleep.
  private func letPeerSleep() -> UInt64 {
    let begin = monotonicNanoseconds()
    while monotonicNanoseconds() - begin < 100_000 {}
    return monotonicNanoseconds()
  }

  @inline(__always)
  private mutating func pingMessage() throws(RingError) {
    _ = try endpoint.producer.send(message)
    while try !endpoint.consumer.receive(into: &message) { spinHint() }
  }

  @inline(never)
  private static func produce(_ count: Int, _ producer: inout Producer, _ message: inout MessageBuffer) throws(RingError) {
    for number in 0..<count {
      setNumber(number, &message)
      while try !producer.send(message) { spinHint() }
    }
  }

  @inline(never)
  private static func produce(
    _ count: Int, batch: Int, _ producer: inout Producer, _ message: inout MessageBuffer
  ) throws(RingError) {
    var number = 0
    while number < count {
      for _ in 0..<batch {
        setNumber(number, &message)
        while try !producer.append(message) { spinHint() }
        number += 1
      }
      producer.publish()
    }
  }

  @inline(never)
  private static func produceWords(
    _ count: Int, batch: Int, _ producer: inout Producer, _ message: inout MessageBuffer
  ) throws(RingError) {
    message.count = 8 * batch
    var number = 0
    while number < count {
      var storage = message.storage
      for place in 0..<batch { storage.storeBytes(of: number + place, toByteOffset: 8 * place, as: Int.self) }
      var sent = try producer.append(message, each: 8)
      if sent == batch {
        producer.publish()
      } else {
        // The rest one by one.
        var word = MessageBuffer(capacity: 8)
        word.count = 8
        while sent < batch {
          setNumber(number + sent, &word)
          while try !producer.send(word) { spinHint() }
          sent += 1
        }
      }
      number += batch
    }
  }

  @inline(__always)
  private static func setNumber(_ number: Int, _ message: inout MessageBuffer) {
    var storage = message.storage
    storage.storeBytes(of: number, as: Int.self)
  }

  private func produceElements(_ count: Int, _ bytes: Int, _ batch: Int) {
    let source = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
    source.initializeMemory(as: UInt8.self, repeating: 7, count: bytes)
    let (tail, head, base) = (tail, head, blocks.region.address)
    let mask = Self.blockBytes / bytes - 1
    var (next, seen) = (0, 0)
    while next < count {
      for _ in 0..<batch {
        while next - seen > mask { seen = Int(head.loadAcquiring()) }
        source.storeBytes(of: next, as: Int.self)
        (base + (next & mask) * bytes).copyMemory(from: source, byteCount: bytes)
        next += 1
      }
      tail.storeReleasing(UInt32(next))
    }
    source.deallocate()
  }

  private func copyIn(_ count: Int, _ bytes: Int) {
    let source = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
    source.initializeMemory(as: UInt8.self, repeating: 7, count: bytes)
    let base = blocks.region.address
    let mask = Self.blockBytes / bytes - 1
    for number in 0..<count {
      let flag = words.region.word(at: 8192 + (number & mask) * 64)
      while flag.loadAcquiring() != 0 { spinHint() }
      source.storeBytes(of: number, as: Int.self)
      (base + (number & mask) * bytes).copyMemory(from: source, byteCount: bytes)
      flag.storeReleasing(1)
    }
    source.deallocate()
  }

  // ---- Both ----------------------------------------------------------------------------------------------------------

  private mutating func sendAndRing() throws(RingError) {
    _ = try endpoint.producer.send(message)
    guard endpoint.shouldRing() else { return }
    rings += 1
    Doorbell.futex.wake(endpoint.sleeper)
  }

  private mutating func receiveAsleep() throws(RingError) {
    while try !endpoint.consumer.receive(into: &message) {
      sleeps += 1
      Doorbell.futex.sleep(&endpoint, atMost: 1_000_000_000)
    }
  }

  private func wake(_ word: SharedWord) { _ = lx_futex_wake(word.address) }
  private func sleep(on word: SharedWord, while value: UInt32) { _ = lx_futex_wait(word.address, value, 1_000_000_000) }

  // ---- The peer ------------------------------------------------------------------------------------------------------

  private mutating func serve() -> Never {
    do {
      while true {
        commands &+= 1
        while command.loadAcquiring() != commands {}
        let index = Int(argument.load())
        if index < RingJob.all.count { try answer(RingJob.all[index]) } else { pongWords() }
      }
    } catch {
      printError("Benchmarks: the peer failed: \(error)")
      exitProcess(ExitCode.software.rawValue)
    }
  }

  private mutating func pongWords() {
    for _ in 0..<1000 {
      turn &+= 1
      while there.loadAcquiring() != turn { spinHint() }
      back.storeReleasing(turn)
    }
  }

  private mutating func answer(_ job: RingJob) throws {
    switch job {
    case .pingPong:
      for _ in 0..<job.count {
        while try !endpoint.consumer.receive(into: &message) { spinHint() }
        _ = try endpoint.producer.send(message)
      }
    case .stream: try Self.consume(job.count, &endpoint.consumer, &message)
    case .elements(let bytes, _): consumeElements(job.count, bytes)
    case .copy(let bytes): copyOut(job.count, bytes)
    case .wake:
      for _ in 0..<job.count {
        try receiveAsleep()
        try sendAndRing()
      }
    case .futex:
      for _ in 0..<job.count {
        turn &+= 1
        while there.loadAcquiring() != turn { sleep(on: there, while: turn &- 1) }
        back.storeReleasing(turn)
        wake(back)
      }
    }
    slept.store(sleeps)
    finished.storeReleasing(1)
  }

  @inline(never)
  private static func consume(
    _ count: Int, _ consumer: inout Consumer, _ message: inout MessageBuffer
  ) throws(RingError) {
    for number in 0..<count {
      while try !consumer.receive(into: &message) { spinHint() }
      if message.bytes.unsafeLoad(as: Int.self) != number { wrong(number) }
    }
  }

  private func consumeElements(_ count: Int, _ bytes: Int) {
    let target = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
    let (tail, head, base) = (tail, head, blocks.region.address)
    let mask = Self.blockBytes / bytes - 1
    var (next, seen) = (0, 0)
    while next < count {
      while next == seen { seen = Int(tail.loadAcquiring()) }
      target.copyMemory(from: base + (next & mask) * bytes, byteCount: bytes)
      if target.load(as: Int.self) != next { Self.wrong(next) }
      next += 1
      head.storeReleasing(UInt32(next))
    }
    target.deallocate()
  }

  private func copyOut(_ count: Int, _ bytes: Int) {
    let target = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
    let base = blocks.region.address
    let mask = Self.blockBytes / bytes - 1
    for number in 0..<count {
      let flag = words.region.word(at: 8192 + (number & mask) * 64)
      while flag.loadAcquiring() == 0 { spinHint() }
      target.copyMemory(from: base + (number & mask) * bytes, byteCount: bytes)
      if target.load(as: Int.self) != number { Self.wrong(number) }
      flag.storeReleasing(0)
    }
    target.deallocate()
  }

  private static func wrong(_ number: Int) -> Never {
    printError("Benchmarks: message \(number) is not what was sent")
    exitProcess(ExitCode.software.rawValue)
  }
}

/// Runs every job in every round, each burst between two raw probes, until there were so many rounds or nanoseconds.
func measureRing(rounds: Int, limit: UInt64, json: String?) throws {
  var pair = try RingPair()
  var times = RingJob.all.map { _ in [Double]() }
  var ratios = times
  var against = times
  var single = RingJob.all.map { _ in [UInt32]() }
  var probes: [Double] = []
  var dropped = Dropped()
  let clock = clockCost()
  let begin = monotonicNanoseconds()
  for round in 0..<rounds where monotonicNanoseconds() - begin < limit {
    var latest: [Int: Double] = [:]
    for (index, job) in RingJob.all.enumerated() {
      let switches = pair.switches
      let before = pair.probe()
      let time = try pair.measure(job)
      let after = pair.probe()
      guard dropped.keeps(switches: pair.switches &- switches, before, after) else { continue }
      let probe = (before + after) / 2
      probes.append(probe)
      times[index].append(time)
      ratios[index].append(time / probe)
      latest[index] = time
      if case .pingPong = job, round % 4 == 0 {
        var samples: [UInt32] = []
        samples.reserveCapacity(job.count)
        _ = try pair.measure(job) { samples.append(UInt32(clamping: $0 > clock ? $0 - clock : 0)) }
        single[index] += samples
      }
    }
    for (index, job) in RingJob.all.enumerated() {
      guard let reference = job.reference, let other = RingJob.all.firstIndex(of: reference), let mine = latest[index],
        let theirs = latest[other]
      else { continue }
      against[index].append(theirs / mine)
    }
  }
  let (rings, sleeps) = (pair.rings, pair.peerSleeps)
  pair.end()

  var lines: [String] = []
  printLine(
    "Between two processes on two processors, median of bursts; raw ping-pong \(decimal(median(probes) ?? 0)) ns"
  )
  printLine("")
  printLine("                               bytes       ns     p99    p999   Mop/s   x raw   speed to reference")
  for (index, job) in RingJob.all.enumerated() {
    guard let time = median(times[index]), let ratio = median(ratios[index]) else { continue }
    let detail = single[index].isEmpty ? times[index] : single[index].map(Double.init)
    let (p99, p999) = (percentile(detail, 99), percentile(detail, 99.9))
    func right(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.utf8.count)) + text }
    var line = job.name.padded(to: 30) + right("\(job.bytes)", 6) + right(decimal(time), 9) + right("\(Int(p99))", 8)
    line += right("\(Int(p999))", 8) + right(decimal(1000 / time), 8) + right(decimal(ratio), 8)
    if let speed = median(against[index]), let reference = job.reference { line += "   \(decimal(speed)) x \(reference.name)" }
    printLine(line)
    lines.append(
      "{\"benchmark\":\"\(job.name)\",\"bytes\":\(job.bytes),\"p50_ns\":\(decimal(time)),\"p99_ns\":\(decimal(p99)),\"p999_ns\":\(decimal(p999)),\"ops_per_s\":\(Int(1e9 / time)),\"ratio_to_raw_p50\":\(decimal(ratio)),\"bursts\":\(times[index].count)}"
    )
  }
  printLine("")
  for line in dropped.lines { printLine(line) }
  printLine("")
  printLine("This side rang \(rings) times, for \(sleeps) sleeps of the peer: at most one ring each.")
  if let json { try writeLines(lines, to: json) }
}

/// What reading the clock twice adds to a single round trip.
private func clockCost() -> UInt64 {
  let costs = (0..<1000).map { _ -> UInt64 in
    let begin = monotonicNanoseconds()
    return monotonicNanoseconds() - begin
  }
  return costs.sorted()[500]
}

private func percentile(_ values: [Double], _ percent: Double) -> Double {
  let sorted = values.sorted()
  return sorted[min(sorted.count - 1, Int(Double(sorted.count) * percent / 100))]
}
