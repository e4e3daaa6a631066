import CLinux
import DeviceTree
import Linux
import Program
import Text

/// Measures, between two processes on two processors, what a request through the broker costs next to the least that the
/// hardware allows and next to the usual way of talking to a daemon.
///
/// Machines move their cores about and share them, so absolute times are of little use. Every burst is framed by two raw
/// probes; only bursts whose probes agree count, and what is printed first is the ratio to them.
@main
struct Benchmarks {
  static func main() {
    var arguments = Arguments(Array(processArguments().dropFirst()), of: "Benchmarks", manual: "swift run Benchmarks")
    if let count = arguments.value("--loop") {
      let bytes = arguments.value("--bytes") ?? "8"
      guard let count = parseNumber(count), let size = parseNumber(bytes), (1...896).contains(size) else {
        arguments.fail("--loop takes a count, --bytes 1 to 896")
      }
      return loop(count: Int(clamping: count), bytes: Int(size))
    }
    if let count = arguments.value("--requests") {
      guard let count = parseNumber(count) else { arguments.fail("--requests takes a count") }
      return requests(count: Int(clamping: count))
    }
    let json = arguments.value("--json")
    let roundsText = arguments.value("--rounds")
    guard let rounds = parseNumber(roundsText ?? "200"), rounds > 0, rounds <= 100_000 else {
      arguments.fail("--rounds \(roundsText ?? "") is no count of rounds")
    }
    // On a busy machine each burst takes longer, and nobody asked for so many.
    let limit: UInt64 = roundsText == nil ? 10_000_000_000 : .max
    let tree = arguments.value("--tree")
    let operands = arguments.operands()
    let isRing = operands.first.map { sameText($0, "ring") } ?? false
    let isTree = operands.first.map { sameText($0, "devicetree") } ?? false
    if tree != nil, !isTree { arguments.fail("--tree is for 'Benchmarks devicetree'") }
    if let extra = operands.dropFirst(isRing || isTree ? 1 : 0).first { arguments.fail("unexpected argument '\(extra)'") }
    if isDebugBuild { arguments.fail("this is a debug build, whose times mean nothing; run: swift run Benchmarks") }
    if isTree { return runDeviceTree(Int(rounds), tree, json) }
    guard processorCount > 1 else {
      arguments.fail("two processors are needed, one to spin on each side; this machine offers one", .unavailable)
    }
    if isRing { runRing(Int(rounds), limit, json) } else { run(rounds: Int(rounds), limit: limit, json: json) }
  }

  private static var isDebugBuild: Bool {
    #if DEBUG
      true
    #else
      false
    #endif
  }

  private static func run(rounds: Int, limit: UInt64, json: String?) {
    let pair = Pair()
    let benchmarks = Array(Benchmark.all.dropFirst())
    var results = benchmarks.map { Result($0) }
    var probes: [Double] = []
    var dropped = Dropped()
    let begin = monotonicNanoseconds()
    for _ in 0..<rounds where monotonicNanoseconds() - begin < limit {
      for index in benchmarks.indices {
        let switches = pair.switches
        let before = pair.measure(.raw)
        let time = pair.measure(benchmarks[index])
        let after = pair.measure(.raw)
        guard dropped.keeps(switches: pair.switches &- switches, before, after) else { continue }
        let probe = (before + after) / 2
        probes.append(probe)
        results[index].add(time, probe: probe)
      }
    }
    pair.end()

    // The host puts the two processors nearer to each other or farther off, even in the middle: what is printed is of one distance.
    let typical = median(probes) ?? 0
    for index in results.indices { dropped.elsewhere += results[index].keep(near: typical) }
    var raw = Result(.raw)
    for probe in probes { raw.add(probe, probe: probe) }
    _ = raw.keep(near: typical)
    results.insert(raw, at: 0)
    printLine("Round trips between two processes on two processors, median of bursts")
    for sleeps in [false, true] {
      printLine("")
      printLine(
        (sleeps ? "Both sides sleep until they are woken" : "Both sides look all the time").padded(to: 38)
          + "        ns   x raw")
      for result in results where result.benchmark.sleeps == sleeps { printLine(result.line) }
    }
    printLine("")
    for line in dropped.lines { printLine(line) }
    guard let spinning = ratios(sleeping: false, results), let sleeping = ratios(sleeping: true, results) else {
      printError(
        "Benchmarks: no burst of some kind was quiet enough to count; use more --rounds, or a machine that does nothing else")
      exitProcess(ExitCode.tempFail.rawValue)
    }
    printLine("")
    printLine("A UART write through the broker takes \(decimal(spinning.uart)) times the raw ping-pong (aim: at most 2.5).")
    printLine(
      "The same over a Unix socket takes \(decimal(spinning.socket / spinning.uart)) times as long where both look all the time,"
    )
    printLine("and \(decimal(sleeping.socket / sleeping.uart)) times as long where both sleep.")
    guard let json else { return }
    do throws(Errno) {
      try writeLines(results.map { $0.json }, to: json)
    } catch {
      printError("Benchmarks: cannot write \(json): \(error.text)")
      exitProcess(ExitCode.cantCreate.rawValue)
    }
  }

  private static func ratios(sleeping: Bool, _ results: [Result]) -> (uart: Double, socket: Double)? {
    let uart = results.first { $0.benchmark == .uartWrite(bytes: 5, sleeping: sleeping) }
    let socket = results.first { $0.benchmark == .socket(sleeping: sleeping) }
    guard let uart = uart?.ratio, let socket = socket?.ratio else { return nil }
    return (uart, socket)
  }

  private static func runRing(_ rounds: Int, _ limit: UInt64, _ json: String?) {
    do {
      try measureRing(rounds: rounds, limit: limit, json: json)
    } catch {
      printError("Benchmarks: \(error)")
      exitProcess(ExitCode.osError.rawValue)
    }
  }

  private static func runDeviceTree(_ rounds: Int, _ path: String?, _ json: String?) {
    do throws(DeviceTreeError) {
      try measureDeviceTree(rounds: rounds, path: path, json: json)
    } catch {
      printError("Benchmarks: \(path ?? "the tree") \(error.text)")
      exitProcess(ExitCode.dataError.rawValue)
    }
  }
}

/// Which bursts count, and how many did not, by reason.
struct Dropped {
  private var all = 0
  private var switched = 0
  private var moved = 0
  /// Bursts at another distance of the processors than most.
  var elsewhere = 0

  /// Whether a burst counts.
  ///
  /// - Parameters:
  ///   - switches: Involuntary context switches on either side in the burst and its probes.
  ///   - before, after: The raw probes around the burst.
  mutating func keeps(switches: UInt32, _ before: Double, _ after: Double) -> Bool {
    all += 1
    if switches != 0 {
      switched += 1
      return false
    }
    if max(before, after) >= 1.2 * min(before, after) {
      moved += 1
      return false
    }
    return true
  }

  /// For whoever reads the results.
  var lines: [String] {
    let reasons = [
      (switched, "because the kernel gave one of the two processors to another program in the middle (context switch)"),
      (
        moved, "because the raw ping-pong right before and right after differed by a fifth or more (the host moved a processor)"
      ),
      (
        elsewhere,
        "because the processors were nearer to each other, or farther off, than in most bursts (by the raw ping-pong)"
      ),
    ].filter { $0.0 > 0 }
    return ["\(all - switched - moved - elsewhere) of \(all) bursts count\(reasons.isEmpty ? "" : "; not counted are")"]
      + reasons.map { "  \($0.0) \($0.1)" }
  }
}

/// The bursts of one benchmark.
struct Result {
  let benchmark: Benchmark
  private var bursts: [(time: Double, probe: Double)] = []

  init(_ benchmark: Benchmark) { self.benchmark = benchmark }

  mutating func add(_ time: Double, probe: Double) { bursts.append((time, probe)) }

  /// Drops the bursts whose raw probe was not about `typical`: more than half as much again, or less than two thirds. Distances
  /// differ by more than that. Returns how many these were.
  mutating func keep(near typical: Double) -> Int {
    let count = bursts.count
    bursts.removeAll { $0.probe > 1.5 * typical || 1.5 * $0.probe < typical }
    return count - bursts.count
  }

  var time: Double? { median(bursts.map { $0.time }) }
  var ratio: Double? { median(bursts.map { $0.time / $0.probe }) }

  var line: String {
    let name = benchmark.text.padded(to: 38)
    guard let time, let ratio else { return "\(name)  no burst counted" }
    func right(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.utf8.count)) + text }
    return "\(name)\(right("\(Int(time.rounded()))", 8))\(right(decimal(ratio), 8))"
  }

  var json: String {
    "{\"benchmark\":\"\(benchmark.name)\",\"bytes\":\(benchmark.bytes),\"p50_ns\":\(decimal(time ?? 0)),\"ratio_to_raw_p50\":\(decimal(ratio ?? 0)),\"bursts\":\(bursts.count)}"
  }
}

func median(_ values: [Double]) -> Double? {
  values.isEmpty ? nil : values.sorted()[values.count / 2]
}

/// Two decimals.
func decimal(_ value: Double) -> String {
  let hundredths = Int((value * 100).rounded())
  return "\(hundredths / 100).\(hundredths / 10 % 10)\(hundredths % 10)"
}

func writeLines(_ lines: [String], to path: String) throws(Errno) {
  let file = try FileDescriptor(opening: path, .createReadWrite, flags: O_TRUNC)
  for line in lines { writeBytes(Array((line + "\n").utf8), to: file.number) }
}
