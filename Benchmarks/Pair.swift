import BrokerProtocol
import CLinux
import GuestAgent
import Linux
import OwnerService
import Partition
import RingBuffer
import SharedMemory

/// What is measured: one round trip each.
enum Benchmark {
  /// A word in one cache line there, a word in another one back.
  case raw
  /// A message in a ring there, the same back.
  case ring(bytes: Int)
  /// A UART write: guest library, ring, owner's grant check, null UART, ring, guest library.
  case uartWrite(bytes: Int)
  /// A request and a response of the same sizes over a Unix stream socket, read blocking.
  case socket

  var name: String {
    switch self {
    case .raw: "raw"
    case .ring: "ring"
    case .uartWrite: "uart-write"
    case .socket: "unix-socket"
    }
  }

  var bytes: Int {
    switch self {
    case .raw: 4
    case .ring(let bytes), .uartWrite(let bytes): bytes
    case .socket: Request.size + 5
    }
  }

  var text: String {
    switch self {
    case .raw: "raw ping-pong of two cache lines"
    case .ring(let bytes): "ring message of \(bytes) bytes"
    case .uartWrite(let bytes): "UART write of \(bytes) bytes, brokered"
    case .socket: "the same over a Unix stream socket"
    }
  }

  /// Round trips in a burst: short enough to be undisturbed, long enough that starting it doesn't count.
  var burst: Int {
    switch self {
    case .socket: 60
    default: 2000
    }
  }

  /// One byte that tells the other process what to do.
  var command: UInt8 {
    switch self {
    case .raw: 1
    case .ring: 2
    case .uartWrite: 3
    case .socket: 4
    }
  }
}

/// This process on one processor and its peer on another.
///
/// The peer does what a byte in a pipe tells it to, so that only one of them spins at a time that the other waits for.
final class Pair {
  private let arena: Arena
  private let toPeer: Int32
  private let socket: Int32
  private let peer: pid_t
  private var agent: Agent
  private var turn: UInt32 = 0

  init() {
    do {
      arena = try Arena()
      var pipes: [Int32] = [0, 0]
      var sockets: [Int32] = [0, 0]
      _ = try check(pipe(&pipes))
      _ = try check(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &sockets))
      toPeer = pipes[1]
      socket = sockets[0]

      var (borrower, _) = try Partition.load(deviceTree: nil, builtInGuest: "guest2")
      let link = borrower.links.removeFirst()
      var configuration = AgentConfiguration(isExample: true, memory: arena.path + "-link")
      configuration.spin = 1_000_000_000

      peer = try check(fork())
      if peer == 0 {
        _ = lx_die_with_parent()
        _ = lx_pin(1)
        arena.serve(commands: pipes[0], socket: sockets[1])
      }
      _ = lx_pin(0)
      agent = try Agent(link, configuration)
    } catch {
      printError("Benchmarks: cannot set up two processes: \(error)")
      exitProcess(ExitCode.osError.rawValue)
    }
  }

  /// Ends the peer and removes the files.
  func end() {
    _ = kill(peer, SIGKILL)
    _ = waitpid(peer, nil, 0)
    for suffix in ["-raw", "-ring", "-link"] { _ = unlink(arena.path + suffix) }
  }

  /// Mean nanoseconds of a round trip in one burst.
  func measure(_ benchmark: Benchmark) -> Double {
    writeBytes([benchmark.command], to: toPeer)
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
    case .uartWrite(let bytes): return measureUART(bytes, count)
    case .socket:
      var request = [UInt8](repeating: 1, count: Request.size + 5)
      return timed(count) { _ in
        _ = write(socket, &request, request.count)
        _ = read(socket, &request, Response.size)
      }
    }
  }

  /// Warms up, then times `count` turns.
  private func timed(_ count: Int, _ turn: (Int) -> Void) -> Double {
    for index in 0..<count / 4 { turn(index) }
    let start = monotonicNanoseconds()
    for index in 0..<count { turn(index) }
    return Double(monotonicNanoseconds() - start) / Double(count)
  }

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

  private func measureUART(_ bytes: Int, _ count: Int) -> Double {
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

  func connectedEndpoint(_ role: Role) -> Endpoint {
    var endpoint = Endpoint(ring.region, layout: layout, channel: 0, role: role)
    endpoint.start(session: randomSession())
    while endpoint.state != .established { _ = endpoint.refresh() }
    return endpoint
  }

  func serve(commands: Int32, socket: Int32) -> Never {
    do {
      let (owner, _) = try Partition.load(deviceTree: nil, builtInGuest: "guest1")
      var configuration = ServiceConfiguration(partition: owner, isExample: true)
      configuration.memory = [Assignment(name: owner.links[0].name, path: path + "-link")]
      configuration.bindings = [Assignment(name: "uart2", path: "null")]
      configuration.spinNanoseconds = 1_000_000_000
      let service = try Service(configuration)
      var command: UInt8 = 0
      var turn: UInt32 = 0
      while read(commands, &command, 1) == 1 {
        switch command {
        case Benchmark.raw.command:
          let (there, back) = (there, back)
          for _ in 0..<repetitions(.raw) {
            turn &+= 1
            while there.loadAcquiring() != turn { spinHint() }
            back.storeReleasing(turn)
          }
        case Benchmark.ring(bytes: 0).command:
          var endpoint = connectedEndpoint(.owner)
          var message = MessageBuffer(capacity: 64)
          for _ in 0..<repetitions(.ring(bytes: 0)) {
            while try !endpoint.consumer.receive(into: &message) { spinHint() }
            _ = try endpoint.producer.send(message)
          }
          // The last answer must be read before this side's session ends.
          while endpoint.refresh() == .none {}
          _ = endpoint.close()
        case Benchmark.uartWrite(bytes: 0).command:
          try service.run(until: stop)
          var count: eventfd_t = 0
          eventfd_read(stop, &count)
        default:
          var request = [UInt8](repeating: 1, count: Request.size + 5)
          for _ in 0..<repetitions(.socket) {
            _ = read(socket, &request, request.count)
            _ = write(socket, &request, Response.size)
          }
        }
      }
    } catch {
      printError("Benchmarks: the peer failed: \(error)")
    }
    exitProcess(1)
  }

  /// Warming up included.
  private func repetitions(_ benchmark: Benchmark) -> Int { benchmark.burst + benchmark.burst / 4 }
}
