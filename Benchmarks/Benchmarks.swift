import CLinux
import DeviceTree
import Linux

/// Measures, between two processes on two processors, what a request through the broker costs next to the least that the
/// hardware allows and next to the usual way of talking to a daemon.
///
/// Machines move their cores about and share them, so absolute times are of little use. Every burst is framed by two raw
/// probes; only bursts whose probes agree count, and what is printed first is the ratio to them.
@main
struct Benchmarks {
  static func main() {
    var arguments = Arguments(Array(processArguments().dropFirst()), of: "Benchmarks", manual: "swift run Benchmarks")
    if arguments.flag("--help", "-h") { return printLine(helpText) }
    if let count = arguments.value("--loop") {
      let bytes = arguments.value("--bytes") ?? "8"
      guard let count = parseNumber(count), let size = parseNumber(bytes), (1...896).contains(size) else {
        arguments.fail("--loop takes a count, --bytes 1 to 896")
      }
      return loop(count: Int(clamping: count), bytes: Int(size))
    }
    let json = arguments.value("--json")
    let roundsText = arguments.value("--rounds") ?? "400"
    guard let rounds = parseNumber(roundsText), rounds > 0, rounds <= 100_000 else {
      arguments.fail("--rounds \(roundsText) is no count of rounds")
    }
    let tree = arguments.value("--tree")
    let operands = arguments.operands()
    let isRing = operands.first.map { sameText($0, "ring") } ?? false
    let isTree = operands.first.map { sameText($0, "devicetree") } ?? false
    if tree != nil, !isTree { arguments.fail("--tree is for 'Benchmarks devicetree'") }
    if let extra = operands.dropFirst(isRing || isTree ? 1 : 0).first { arguments.fail("unexpected argument '\(extra)'") }
    #if DEBUG
      runReleaseBuild(Array(processArguments().dropFirst()))
    #endif
    if isTree { return runDeviceTree(Int(rounds), tree, json) }
    guard processorCount > 1 else {
      arguments.fail("two processors are needed, one to spin on each side; this machine offers one", .unavailable)
    }
    if isRing { runRing(Int(rounds), json) } else { run(rounds: Int(rounds), json: json) }
  }

  static let helpText = """
    Usage: swift run Benchmarks [ring | devicetree] [--rounds N] [--json FILE]
    Measures round trips between two processes: through the broker, through a ring, through a Unix socket, and the
    raw ping-pong of two cache lines that nothing between two processors can beat.

        ring         measures the ring instead: round trips, throughput, and the wake-up of a sleeper
        devicetree   measures how long the largest device tree takes to be read, next to libfdt walking over it;
                     --tree FILE names another one
        --rounds N   bursts of each (default 400)
        --json FILE  also write one JSON object a line
        --loop N     nothing but N messages sent and received in this process, --bytes N each (default 8): the
                     difference of two runs under callgrind is what a message costs
    """

  private static func run(rounds: Int, json: String?) {
    let pair = Pair()
    let benchmarks: [Benchmark] = [.ring(bytes: 8), .ring(bytes: 56), .uartWrite(bytes: 5), .socket]
    var results = benchmarks.map { Result($0) }
    var probes: [Double] = []
    var dropped = 0
    for _ in 0..<rounds {
      for index in benchmarks.indices {
        let before = pair.measure(.raw)
        let time = pair.measure(benchmarks[index])
        let after = pair.measure(.raw)
        // The host moved a core in between, or somebody else had one: this burst says nothing.
        guard max(before, after) < 1.2 * min(before, after) else {
          dropped += 1
          continue
        }
        let probe = (before + after) / 2
        probes.append(probe)
        results[index].add(time, probe: probe)
      }
    }
    pair.end()

    let raw = Result(.raw, times: probes, ratios: probes.map { _ in 1 })
    printLine(
      "Round trips between two processes, both spinning, median of bursts (\(dropped) of \(rounds * benchmarks.count) bursts dropped: their probes disagreed)"
    )
    printLine("")
    printLine("                                            ns   x raw")
    for result in [raw] + results { printLine(result.line) }
    guard let uart = results[2].ratio, let socket = results[3].ratio else {
      printError("Benchmarks: no burst was quiet enough to count; try again with more --rounds on a quieter machine")
      exitProcess(ExitCode.tempFail.rawValue)
    }
    printLine("")
    printLine("UART write through the broker: \(decimal(uart)) times the raw ping-pong (aim: at most 2.5),")
    printLine("\(decimal(socket / uart)) times faster than the same exchange over a Unix socket (aim: at least 10).")
    guard let json else { return }
    do throws(Errno) {
      try writeLines(([raw] + results).map { $0.json }, to: json)
    } catch {
      printError("Benchmarks: cannot write \(json): \(error.text)")
      exitProcess(ExitCode.cantCreate.rawValue)
    }
  }

  private static func runRing(_ rounds: Int, _ json: String?) {
    do {
      try measureRing(rounds: rounds, json: json)
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

  /// A debug build's times mean nothing: runs the release build in its place.
  private static func runReleaseBuild(_ arguments: [String]) {
    guard let program = realpath("/proc/self/exe", nil) else { return }
    let parts = String(cString: program).parts(separatedBy: 0x2f)
    guard let build = parts.lastIndex(where: { sameText($0, ".build") }) else {
      return printError("Benchmarks: this is a debug build, its numbers mean nothing: swift run -c release Benchmarks")
    }
    let package = parts[..<build].joined(separator: "/")
    printError("Benchmarks: this is a debug build; building and running the release build instead")
    let words = ["swift", "run", "--package-path", package, "-c", "release", "Benchmarks"] + arguments
    var pointers = words.map { strdup($0) } + [nil]
    execvp("swift", &pointers)
    printError("Benchmarks: cannot run swift: \(Errno.last.text)")
    exitProcess(ExitCode.osError.rawValue)
  }
}

/// The bursts of one benchmark.
struct Result {
  let benchmark: Benchmark
  private var times: [Double]
  private var ratios: [Double]

  init(_ benchmark: Benchmark, times: [Double] = [], ratios: [Double] = []) {
    self.benchmark = benchmark
    self.times = times
    self.ratios = ratios
  }

  mutating func add(_ time: Double, probe: Double) {
    times.append(time)
    ratios.append(time / probe)
  }

  var ratio: Double? { median(ratios) }

  var line: String {
    let name = benchmark.text.padded(to: 38)
    guard let time = median(times), let ratio else { return "\(name)  no burst counted" }
    func right(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.utf8.count)) + text }
    return "\(name)\(right("\(Int(time.rounded()))", 8))\(right(decimal(ratio), 8))"
  }

  var json: String {
    "{\"benchmark\":\"\(benchmark.name)\",\"bytes\":\(benchmark.bytes),\"p50_ns\":\(decimal(median(times) ?? 0)),\"ratio_to_raw_p50\":\(decimal(ratio ?? 0)),\"bursts\":\(times.count)}"
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
