import BrokerProtocol
import GuestAgent
import Linux
import Program
import Text
import Partition
import RingBuffer
import SharedMemory

/// What the test of real guests runs inside them, beside the product.
@main
struct Probe {
  static let usage = """
    usage: guestprobe line FILE OFFSET first|second COUNT    pass a cache line to and fro, at 0x… of a file or of /dev/mem
           guestprobe soak FIRST COUNT [TREE]                numbered writes to uart2, pings and readings of its settings
    """

  static func main() {
    let words = Array(processArguments().dropFirst())
    switch words.first ?? "" {
    case let word where sameText(word, "line") && words.count == 5:
      guard let offset = parseHexadecimal(words[2]), let count = parseNumber(words[4]) else { fail(usage, .usage) }
      passLine(of: words[1], at: offset, isFirst: sameText(words[3], "first"), count: Int(clamping: count))
    case let word where sameText(word, "soak") && words.count >= 3:
      guard let first = parseNumber(words[1]), let count = parseNumber(words[2]) else { fail(usage, .usage) }
      soak(first: first, count: count, tree: words.count > 3 ? words[3] : nil)
    default: fail(usage, .usage)
    }
  }

  static func fail(_ sentence: String, _ code: ExitCode) -> Never {
    printError(sentence)
    exitProcess(code.rawValue)
  }

  /// The least that a round trip between two guests can take: one word there, one back, nothing else.
  private static func passLine(of file: String, at offset: UInt64, isFirst: Bool, count: Int) {
    let isMemory = sameText(file, "/dev/mem")
    // A file is mapped from its beginning.
    let start = isMemory ? 0 : Int(clamping: min(offset, 1 << 30))
    let mapping: Mapping
    do throws(MappingError) {
      mapping = try Mapping(isMemory ? .physical(offset) : .file(file), size: start + 4096)
    } catch {
      fail("guestprobe: \(error.text)", .cantCreate)
    }
    let ours = mapping.region.word(at: start + (isFirst ? 0 : 128))
    let theirs = mapping.region.word(at: start + (isFirst ? 128 : 0))
    let ready = UInt32.max
    guard isFirst else {
      ours.storeReleasing(ready)
      for turn in 1...UInt32(clamping: count) {
        while theirs.loadAcquiring() != turn { spinHint() }
        ours.storeReleasing(turn)
      }
      return
    }
    while theirs.loadAcquiring() != ready { spinHint() }
    var times: [UInt64] = []
    let begin = monotonicNanoseconds()
    var last = begin
    for turn in 1...UInt32(clamping: count) {
      ours.storeReleasing(turn)
      while theirs.loadAcquiring() != turn { spinHint() }
      let now = monotonicNanoseconds()
      times.append(now &- last)
      last = now
    }
    times.sort()
    printLine("mean \((last &- begin) / UInt64(times.count)) p50 \(times[times.count / 2]) ns")
  }

  /// Prints "done N" now and then, when all up to N are known, and of each that was not done "no N" or "maybe N".
  private static func soak(first: UInt64, count: UInt64, tree: String?) {
    let partition: Partition
    do throws(LoadError) {
      (partition, _) = try Partition.load(deviceTree: tree, builtInGuest: "guest2")
    } catch {
      fail("guestprobe: \(error.text)", error.exitCode)
    }
    guard let link = partition.links.first(where: { $0.role == .borrower }) else { fail("guestprobe: no link", .config) }
    var configuration = AgentConfiguration(isExample: false)
    configuration.patience = 300_000_000
    var agent: Agent
    do throws(AgentError) {
      agent = try Agent(link, configuration)
    } catch {
      fail("guestprobe: the link can't be opened", .unavailable)
    }
    var uart: UART?
    for number in first..<first &+ count {
      do throws(AgentError) {
        try step(number, &agent, &uart)
      } catch {
        let isCertain = error.executed == .no && error.done == 0
        printLine("\(isCertain ? "no" : "maybe") \(number)")
        uart = nil
      }
      if number % 32 == 31 || number == first &+ count &- 1 { printLine("done \(number)") }
    }
  }

  private static func step(_ number: UInt64, _ agent: inout Agent, _ uart: inout UART?) throws(AgentError) {
    if number % 16 == 5 {
      _ = try agent.ping()
      return
    }
    var found: UART
    if let uart { found = uart } else { found = try UART("uart2", via: &agent) }
    if number % 16 == 10 {
      _ = try found.settings(timeout: 2000, via: &agent)
    } else {
      try found.write(Array("<\(number)>".utf8), drain: true, timeout: 2000, via: &agent)
    }
    uart = found
  }
}
