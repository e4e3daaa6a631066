import CLinux
import Foundation
import Partition
import RingBuffer
import SharedMemory
import TestSupport
import Testing

@testable import BrokerProtocol
@testable import GuestAgent

/// An owner that is up to no good: answers what `answer` makes of each request.
private final class BadOwner: @unchecked Sendable {
  let path = temporaryMemory()
  private let stop = DispatchSemaphore(value: 0)
  private let stopped = DispatchSemaphore(value: 0)

  /// - Parameter answer: The frames to send back; nil to ignore the request but take it.
  init(
    beats: Bool = true, takes: Bool = true, floods: Bool = false, version: UInt32 = protocolVersion,
    _ answer: @escaping @Sendable (Request, Int) -> [[UInt8]]
  ) throws {
    let layout = try LinkLayout(size: 1 << 20, channels: 4)
    let mapping = try Mapping(.file(path), size: layout.size)
    let (stop, stopped) = (stop, stopped)
    let thread = Thread {
      var endpoint = Endpoint(
        mapping.region, layout: layout, channel: 0, role: .owner,
        identity: LinkIdentity(layout, protocolVersion: version))
      var message = MessageBuffer(capacity: 1 << 13)
      endpoint.start(session: 77)
      while stop.wait(timeout: .now()) == .timedOut {
        if beats { endpoint.beat() }
        if endpoint.refresh() != .none { Doorbell.futex.ring(&endpoint) }
        if takes, endpoint.state == .established, (try? endpoint.consumer.receive(into: &message)) == true,
          let request = Request(message.bytes)
        {
          for frame in answer(request, message.count - Request.size) {
            message.put(frame.span.bytes, at: 0)
            _ = try? endpoint.producer.send(message)
          }
          Doorbell.futex.ringIfNeeded(&endpoint)
        }
        if floods {
          message.put(bytes(Response(id: 0)).span.bytes, at: 0)
          while (try? endpoint.producer.send(message)) == true {}
        } else {
          usleep(100)
        }
      }
      stopped.signal()
    }
    thread.start()
  }

  deinit {
    stop.signal()
    stopped.wait()
    unlink(path)
  }

  func agent() throws -> Agent {
    let (partition, _) = try Partition.load(deviceTree: nil, builtInGuest: "guest2", running: [])
    var configuration = AgentConfiguration(isExample: true, memory: path)
    configuration.patience = 30_000_000_000
    var agent = try Agent(partition.links[0], configuration)
    try agent.connect()
    return agent
  }
}

/// Counts down from a million.
private final class Countdown: @unchecked Sendable {
  private var value: UInt32 = 1_000_000
  func next() -> UInt32 {
    value -= 1
    return value
  }
}

private func bytes(_ response: Response, _ data: [UInt8] = []) -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: Response.size)
  var span = bytes.mutableSpan
  var raw = span.mutableBytes
  response.encode(into: &raw)
  return bytes + data
}

/// What answers `find` with a UART, so that there is something to write to.
private func found(_ request: Request) -> [UInt8]? {
  guard request.peripheralClass == PeripheralClass.broker.rawValue, request.operation == BrokerOperation.find.rawValue else {
    return nil
  }
  return bytes(Response(id: request.id, count: 1), [0, 0, 1, 3, 1, 0x61])
}

private func failure(_ body: () throws -> Void) -> AgentError? {
  do {
    try body()
    return nil
  } catch {
    return error as? AgentError
  }
}

@Suite("An agent before a hostile or failing owner", .serialized)
struct AgentTests {
  @Test("An answer to another request is not taken for this one's")
  func otherID() throws {
    let owner = try BadOwner { request, _ in
      [
        bytes(Response(id: request.id &+ 1, status: .io)), bytes(Response(id: request.id &- 1, status: .io)), [1, 2, 3],
        bytes(Response(id: request.id)),
      ]
    }
    var agent = try owner.agent()
    for _ in 0..<10 { _ = try agent.ping(size: 0) }
  }

  @Test("An owner of another version is refused every time")
  func otherVersion() throws {
    let owner = try BadOwner(version: 9) { request, _ in [bytes(Response(id: request.id))] }
    let (partition, _) = try Partition.load(deviceTree: nil, builtInGuest: "guest2", running: [])
    var agent = try Agent(partition.links[0], AgentConfiguration(isExample: true, memory: owner.path))
    for _ in 0..<3 {
      let error = try #require(failure { _ = try agent.ping(size: 0) })
      guard case .layoutMismatch("protocol version 9, here 1") = error.reason else {
        Issue.record("\(error)")
        return
      }
    }
  }

  @Test("A ping that comes back with other bytes is an error")
  func wrongEcho() throws {
    let owner = try BadOwner { request, size in [bytes(Response(id: request.id), [UInt8](repeating: 0, count: size))] }
    var agent = try owner.agent()
    let error = try #require(failure { for _ in 0..<4 { _ = try agent.ping(size: 8) } })
    guard case .protocolError(.badFrame) = error.reason else {
      Issue.record("\(error)")
      return
    }
  }

  @Test("An owner that claims more bytes than it was given breaks the protocol; nothing of it is believed")
  func claimsTooMuch() throws {
    let owner = try BadOwner { request, size in
      [found(request) ?? bytes(Response(id: request.id, count: UInt32(size) + 1))]
    }
    var agent = try owner.agent()
    var uart = try UART("a", via: &agent)
    let error = try #require(failure { try uart.write([1, 2, 3], via: &agent) })
    #expect(error.executed == .maybe)
    #expect(error.done == 0)
    guard case .protocolError(.badFrame) = error.reason else {
      Issue.record("\(error)")
      return
    }
  }

  @Test("An owner that says ok to a part only is not believed to have done all")
  func okButShort() throws {
    let owner = try BadOwner { request, size in
      [found(request) ?? bytes(Response(id: request.id, count: UInt32(size - 1)))]
    }
    var agent = try owner.agent()
    var uart = try UART("a", via: &agent)
    let error = try #require(failure { try uart.write([1, 2, 3], via: &agent) })
    #expect(error.executed == .yes)
    #expect(error.done == 2)
  }

  @Test("A directory that has no end is read to a bound")
  func endlessDirectory() throws {
    let owner = try BadOwner { request, _ in
      var data: [UInt8] = []
      for _ in 0..<600 { data += [0, 0, 1, 3, 1, 0x61] }
      return [bytes(Response(id: request.id, count: 600, value: .max), data)]
    }
    var agent = try owner.agent()
    let count = try agent.directory().count
    #expect(count > 0xffff && count < 0x11000)
  }

  @Test("Settings that can't be are an error, not a crash")
  func badSettings() throws {
    let owner = try BadOwner { request, _ in [found(request) ?? bytes(Response(id: request.id), [1, 2, 3])] }
    var agent = try owner.agent()
    var uart = try UART("a", via: &agent)
    let error = try #require(failure { _ = try uart.settings(via: &agent) })
    guard case .protocolError(.badFrame) = error.reason else {
      Issue.record("\(error)")
      return
    }
  }

  @Test("A device that takes nothing more ends the write, though the owner always says that time is over")
  func neverMoves() throws {
    let owner = try BadOwner { request, size in
      [found(request) ?? bytes(Response(id: request.id, status: .timedOut, executed: .no, count: 0, value: 10))]
    }
    var agent = try owner.agent()
    var uart = try UART("a", via: &agent)
    let error = try #require(failure { try uart.write([UInt8](repeating: 1, count: 10), timeout: 10, via: &agent) })
    guard case .refused(.timedOut) = error.reason else {
      Issue.record("\(error)")
      return
    }
    #expect(error.executed == .no)
  }

  @Test("An owner that says again and again that the time is over, before it is, is not believed that anything moves")
  func earlyTimeouts() throws {
    let left = Countdown()
    let owner = try BadOwner { request, _ in
      [found(request) ?? bytes(Response(id: request.id, status: .timedOut, value: left.next()))]
    }
    var agent = try owner.agent()
    var uart = try UART("a", via: &agent)
    let error = try #require(failure { try uart.write([1, 2, 3], timeout: 1000, via: &agent) })
    guard case .implausible = error.reason else {
      Issue.record("\(error)")
      return
    }
    #expect(error.executed == .maybe)
  }

  @Test(
    "More bytes than were asked for, or another number than is said, are not taken for received ones",
    arguments: [(UInt32(9), 9), (5, 4), (4, 5), (0, 5), (.max, 0)])
  func wrongRead(count: UInt32, size: Int) throws {
    let owner = try BadOwner { request, _ in
      [found(request) ?? bytes(Response(id: request.id, count: count), [UInt8](repeating: 7, count: size))]
    }
    var agent = try owner.agent()
    var uart = try UART("a", via: &agent)
    let error = try #require(failure { _ = try uart.read(5, timeout: 1000, via: &agent) })
    guard case .implausible = error.reason else {
      Issue.record("\(error)")
      return
    }
  }

  @Test("A read that is answered as done with fewer bytes than were waited for would be asked again for ever: it is an error")
  func tooFew() throws {
    let owner = try BadOwner { request, _ in [found(request) ?? bytes(Response(id: request.id))] }
    var agent = try owner.agent()
    var uart = try UART("a", via: &agent)
    let error = try #require(failure { _ = try uart.read(5, timeout: 1000, via: &agent) })
    guard case .implausible = error.reason else {
      Issue.record("\(error)")
      return
    }
  }

  @Test("An entry of another name than was looked up is not used")
  func otherName() throws {
    let owner = try BadOwner { request, _ in [found(request) ?? bytes(Response(id: request.id))] }
    var agent = try owner.agent()
    let error = try #require(failure { _ = try UART("b", via: &agent) })
    guard case .protocolError(.badFrame) = error.reason else {
      Issue.record("\(error)")
      return
    }
  }

  @Test("Memory that nobody has cleared is no owner's", arguments: [UInt8(0), 0xff, 0xa5])
  func rubbish(fill: UInt8) throws {
    let path = temporaryMemory()
    defer { unlink(path) }
    #expect(FileManager.default.createFile(atPath: path, contents: Data(repeating: fill, count: 1 << 20)))
    let (partition, _) = try Partition.load(deviceTree: nil, builtInGuest: "guest2", running: [])
    var configuration = AgentConfiguration(isExample: true, memory: path)
    configuration.patience = 0
    var agent = try Agent(partition.links[0], configuration)
    let error = try #require(failure { try agent.connect() })
    guard case .noOwner(let silence) = error.reason, error.executed == .no else {
      Issue.record("\(error)")
      return
    }
    #expect(silence >= Agent.leastPatience)
  }

  @Test("An owner that lives is found however little patience there is")
  func noPatience() throws {
    let owner = try BadOwner { request, size in [bytes(Response(id: request.id))] }
    let (partition, _) = try Partition.load(deviceTree: nil, builtInGuest: "guest2", running: [])
    var configuration = AgentConfiguration(isExample: true, memory: owner.path)
    configuration.patience = 0
    var agent = try Agent(partition.links[0], configuration)
    try agent.connect()
  }

  @Test("An owner that lives and takes requests but never answers: maybe executed")
  func takesAndKeepsQuiet() throws {
    let owner = try BadOwner { request, _ in found(request).map { [$0] } ?? [] }
    var agent = try owner.agent()
    let error = try #require(failure { _ = try agent.ping() })
    guard case .noAnswer = error.reason else {
      Issue.record("\(error)")
      return
    }
    #expect(error.executed == .maybe)
  }

  @Test("An owner that never stops sending other answers doesn't keep the agent for ever")
  func floods() throws {
    let owner = try BadOwner(floods: true) { _, _ in [] }
    var agent = try owner.agent()
    let error = try #require(failure { _ = try agent.ping() })
    guard case .noAnswer = error.reason else {
      Issue.record("\(error)")
      return
    }
  }

  @Test("An owner that fell silent before it took the request: not executed")
  func silentBefore() throws {
    let owner = try BadOwner(beats: false, takes: false) { _, _ in [] }
    var agent = try owner.agent()
    let error = try #require(failure { _ = try agent.ping() })
    guard case .ownerSilent = error.reason else {
      Issue.record("\(error)")
      return
    }
    #expect(error.executed == .no)
  }

  @Test("An owner that fell silent with the request in hand: maybe executed")
  func silentAfter() throws {
    let owner = try BadOwner(beats: false) { _, _ in [] }
    var agent = try owner.agent()
    let error = try #require(failure { _ = try agent.ping() })
    guard case .ownerSilent = error.reason else {
      Issue.record("\(error)")
      return
    }
    #expect(error.executed == .maybe)
  }

  @Test("More data than one message takes is the caller's error, and nothing is sent")
  func tooLong() throws {
    let owner = try BadOwner { request, _ in [bytes(Response(id: request.id))] }
    var agent = try owner.agent()
    let long = [UInt8](repeating: 1, count: agent.maximumRequestData + 1)
    let error = try #require(
      failure { _ = try agent.call(Request(id: 0, peripheralClass: .broker, operation: 0), data: long.span.bytes) })
    guard case .tooLong(4096) = error.reason else {
      Issue.record("\(error)")
      return
    }
    _ = try agent.ping(size: 0)
  }

  @Test(
    "Durations read as a person writes them",
    arguments: [
      (0, "0 ns"), (999, "999 ns"), (1000, "1 µs"), (1049, "1 µs"), (1050, "1.1 µs"), (99_900, "99.9 µs"), (123_400, "123 µs"),
      (999_999, "1000 µs"), (4_200_000_000, "4.2 s"), (300_000_000, "300 ms"),
    ])
  func durations(nanoseconds: UInt64, text: String) {
    #expect(durationText(nanoseconds) == text)
  }
}
