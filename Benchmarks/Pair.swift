import BrokerProtocol
import CLinux
import GuestAgent
import Linux
import Program
import Text
import OwnerService
import Partition
import RingBuffer
import SharedMemory

/// What is measured: one round trip each.
enum Benchmark: Equatable {
  /// A word in one cache line there, a word in another one back.
  case raw
  /// A message in a ring there, the same back.
  case ring(bytes: Int)
  /// A UART write: guest library, ring, owner's grant check, null UART, ring, guest library.
  case uartWrite(bytes: Int, sleeping: Bool)
  /// A request and a response of the same sizes over a Unix stream socket: read again and again until there is something, or
  /// sleeping in the read.
  case socket(sleeping: Bool)

  /// In the order in which their results are printed.
  static let all: [Benchmark] = [
    .raw, .ring(bytes: 8), .ring(bytes: 56), .uartWrite(bytes: 5, sleeping: false), .socket(sleeping: false),
    .uartWrite(bytes: 5, sleeping: true), .socket(sleeping: true),
  ]

  /// Whether both sides sleep until they are woken; else both look all the time.
  var sleeps: Bool {
    switch self {
    case .raw, .ring: false
    case .uartWrite(_, let sleeping), .socket(let sleeping): sleeping
    }
  }

  var name: String {
    switch self {
    case .raw: "raw"
    case .ring: "ring"
    case .uartWrite: sleeps ? "uart-write-sleeping" : "uart-write"
    case .socket: sleeps ? "unix-socket-sleeping" : "unix-socket"
    }
  }

  var bytes: Int {
    switch self {
    case .raw: 4
    case .ring(let bytes), .uartWrite(let bytes, _): bytes
    case .socket: Request.size + 5
    }
  }

  var text: String {
    switch self {
    case .raw: "raw ping-pong of two cache lines"
    case .ring(let bytes): "ring message of \(bytes) bytes"
    case .uartWrite(let bytes, _): "UART write of \(bytes) bytes, brokered"
    case .socket: "the same over a Unix stream socket"
    }
  }

  /// Round trips in a burst: short enough to be undisturbed, long enough that starting it doesn't count.
  var burst: Int {
    switch self {
    case .raw, .ring, .uartWrite(_, sleeping: false): 2000
    case .socket(sleeping: false): 200
    case .uartWrite, .socket: 20
    }
  }
}

/// How often the kernel has taken the processor from a process's first thread to give it to another one (proc(5)).
func involuntarySwitches(of process: pid_t) -> UInt32 {
  let status = (try? readFile("/proc/\(process)/status", limit: 65536)) ?? []
  for line in String(decoding: status, as: UTF8.self).split(separator: "\n") where line.hasPrefix("nonvoluntary_ctxt_switches:")
  {
    return UInt32(line.drop { !$0.isNumber }) ?? 0
  }
  return 0
}

/// This process on one processor and its peer on another.
///
/// The peer does what a byte in a pipe tells it to, an index of `Benchmark.all`, so that only one of them spins at a time that the other waits for.
final class Pair {
  private let arena: Arena
  private let toPeer: Int32
  private let sockets: Sockets
  private let peer: pid_t
  /// One that looks all the time while it waits, and one that sleeps.
  private var awake: Agent
  private var asleep: Agent
  private var turn: UInt32 = 0
  /// How often one of the two processors was taken away while something was timed.
  private(set) var switches: UInt32 = 0

  init() {
    do {
      arena = try Arena()
      var pipes: [Int32] = [0, 0]
      _ = try check(pipe(&pipes))
      toPeer = pipes[1]
      sockets = try Sockets()

      let (borrower, _) = try Partition.load(deviceTree: nil, builtInGuest: "guest2")

      peer = try check(fork())
      if peer == 0 {
        _ = lx_die_with_parent()
        _ = lx_pin(1)
        arena.serve(commands: pipes[0], sockets)
      }
      _ = lx_pin(0)
      var configuration = AgentConfiguration(isExample: true, memory: arena.linkPath(false))
      configuration.spin = 1_000_000_000
      awake = try Agent(borrower.links[0], configuration)
      configuration = AgentConfiguration(isExample: true, memory: arena.linkPath(true))
      configuration.spin = 0
      asleep = try Agent(borrower.links[0], configuration)
    } catch {
      printError("Benchmarks: cannot set up two processes: \(error)")
      exitProcess(ExitCode.osError.rawValue)
    }
  }

  /// Ends the peer and removes the files.
  func end() {
    _ = kill(peer, SIGKILL)
    _ = waitpid(peer, nil, 0)
    for path in arena.paths { _ = unlink(path) }
  }

  /// Mean nanoseconds of a round trip in one burst.
  func measure(_ benchmark: Benchmark) -> Double {
    writeBytes([UInt8(Benchmark.all.firstIndex(of: benchmark)!)], to: toPeer)
    let count = benchmark.burst
    switch benchmark {
    case .raw:
      let (there, back) = (arena.there, arena.back)
      var turn = self.turn
      defer { self.turn = turn }
      return timed(count) { _ in
        turn &+= 1
        there.storeReleasing(turn)
        while back.loadAcquiring() != turn { spinHint() }
      }
    case .ring(let bytes): return measureRing(bytes, count)
    case .uartWrite(let bytes, sleeping: false): return measureUART(bytes, count, &awake)
    case .uartWrite(let bytes, sleeping: true): return measureUART(bytes, count, &asleep)
    case .socket(let sleeping):
      let socket = sockets.ours(sleeping)
      var request = [UInt8](repeating: 1, count: Request.size + 5)
      return timed(count) { _ in
        _ = write(socket, &request, request.count)
        receive(socket, &request, Response.size)
      }
    }
  }

  /// Warms up, then times `count` turns.
  private func timed(_ count: Int, _ turn: (Int) -> Void) -> Double {
    for index in 0..<count / 4 { turn(index) }
    let before = bothSwitches
    let start = monotonicNanoseconds()
    for index in 0..<count { turn(index) }
    let time = monotonicNanoseconds() - start
    switches &+= bothSwitches &- before
    return Double(time) / Double(count)
  }

  private var bothSwitches: UInt32 { involuntarySwitches(of: getpid()) &+ involuntarySwitches(of: peer) }

  private func measureRing(_ bytes: Int, _ count: Int) -> Double {
    var endpoint = arena.connectedEndpoint(.borrower)
    var message = MessageBuffer(capacity: 64)
    message.count = bytes
    let time = timed(count) { _ in
      _ = try? endpoint.producer.send(message)
      while (try? endpoint.consumer.receive(into: &message)) == false { spinHint() }
    }
    _ = endpoint.close()
    return time
  }

  private func measureUART(_ bytes: Int, _ count: Int, _ agent: inout Agent) -> Double {
    do {
      if !agent.isConnected { try agent.connect() }
      var uart = try UART("uart2", via: &agent)
      let data = [UInt8](repeating: 0x68, count: bytes)
      var failures = 0
      let time = timed(count) { _ in
        let answer = try? uart.writeOnce(data.span.bytes, drain: true, timeout: 1000, via: &agent)
        if answer?.count != UInt32(bytes) { failures += 1 }
      }
      guard failures == 0 else { throw Failure("\(failures) writes failed", .software) }
      eventfd_write(arena.stop, 1)
      return time
    } catch {
      printError("Benchmarks: the broker did not answer: \(error)")
      end()
      exitProcess(ExitCode.software.rawValue)
    }
  }
}

/// Two Unix stream sockets between the processes: one whose reads don't wait, and one whose reads sleep.
struct Sockets {
  private var ends: [[Int32]] = []

  init() throws(Errno) {
    for type in [SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue, SOCK_STREAM.rawValue] {
      var pair: [Int32] = [0, 0]
      _ = try check(socketpair(AF_UNIX, Int32(type), 0, &pair))
      ends.append(pair)
    }
  }

  func ours(_ sleeping: Bool) -> Int32 { ends[sleeping ? 1 : 0][0] }
  func peers(_ sleeping: Bool) -> Int32 { ends[sleeping ? 1 : 0][1] }
}

/// Reads what the other side wrote at once, so that it arrives at once; tries again where the socket doesn't wait.
private func receive(_ socket: Int32, _ bytes: inout [UInt8], _ count: Int) {
  while read(socket, &bytes, count) < 0 { spinHint() }
}

/// What both processes share, and what the peer does with it.
struct Arena {
  let path: String
  private let layout: LinkLayout
  private let raw: Mapping
  private let ring: Mapping
  /// Ends the peer's service.
  let stop: Int32

  init() throws {
    path = "/dev/shm/guestbroker-benchmark-\(getpid())"
    layout = try LinkLayout(size: 1 << 20, channels: 1)
    raw = try Mapping(.file(path + "-raw"), size: 4096)
    ring = try Mapping(.file(path + "-ring"), size: layout.size)
    stop = try check(lx_eventfd(0))
  }

  /// Two words in cache lines of their own.
  var there: SharedWord { raw.region.word(at: 0) }
  var back: SharedWord { raw.region.word(at: 128) }

  /// The region of the brokered link whose sides spin, or sleep.
  func linkPath(_ sleeping: Bool) -> String { path + (sleeping ? "-link-sleeping" : "-link") }
  var paths: [String] { [path + "-raw", path + "-ring", linkPath(false), linkPath(true)] }

  func connectedEndpoint(_ role: Role) -> Endpoint {
    var endpoint = Endpoint(ring.region, layout: layout, channel: 0, role: role)
    endpoint.start(session: randomSession())
    while endpoint.state != .established { _ = endpoint.refresh() }
    return endpoint
  }

  private func service(sleeping: Bool) throws -> Service {
    let (owner, _) = try Partition.load(deviceTree: nil, builtInGuest: "guest1")
    var configuration = ServiceConfiguration(partition: owner, isExample: true)
    configuration.memory = [Assignment(name: owner.links[0].name, path: linkPath(sleeping))]
    configuration.bindings = [Assignment(name: "uart2", path: "null")]
    configuration.spinNanoseconds = sleeping ? 0 : 1_000_000_000
    return try Service(configuration)
  }

  func serve(commands: Int32, _ sockets: Sockets) -> Never {
    do {
      let services = try [service(sleeping: false), service(sleeping: true)]
      var command: UInt8 = 0
      var turn: UInt32 = 0
      while read(commands, &command, 1) == 1 {
        let benchmark = Benchmark.all[Int(command)]
        let repetitions = benchmark.burst + benchmark.burst / 4  // warming up included
        switch benchmark {
        case .raw:
          let (there, back) = (there, back)
          for _ in 0..<repetitions {
            turn &+= 1
            while there.loadAcquiring() != turn { spinHint() }
            back.storeReleasing(turn)
          }
        case .ring:
          var endpoint = connectedEndpoint(.owner)
          var message = MessageBuffer(capacity: 64)
          for _ in 0..<repetitions {
            while try !endpoint.consumer.receive(into: &message) { spinHint() }
            _ = try endpoint.producer.send(message)
          }
          // The last answer must be read before this side's session ends.
          while endpoint.refresh() == .none {}
          _ = endpoint.close()
        case .uartWrite:
          try services[benchmark.sleeps ? 1 : 0].run(until: stop)
          var count: eventfd_t = 0
          eventfd_read(stop, &count)
        case .socket:
          let socket = sockets.peers(benchmark.sleeps)
          var request = [UInt8](repeating: 1, count: Request.size + 5)
          for _ in 0..<repetitions {
            receive(socket, &request, request.count)
            _ = write(socket, &request, Response.size)
          }
        }
      }
    } catch {
      printError("Benchmarks: the peer failed: \(error)")
    }
    exitProcess(1)
  }
}
