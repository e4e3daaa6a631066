import CLinux
import Foundation
import Linux
import Text
import Partition
import RingBuffer
import SharedMemory
import TestSupport
import Testing

@testable import BrokerProtocol
@testable import GuestAgent
@testable import OwnerService

/// The borrower's; the owner's has the same name in its own room.
typealias UART = GuestAgent.UART

/// An owner that serves in a thread of this process, over files that only this test knows.
final class TestOwner: @unchecked Sendable {
  private(set) var paths: [String: String] = [:]
  private let stop = lx_eventfd(0)
  private let done = DispatchSemaphore(value: 0)
  let served: [String]

  /// - Parameters:
  ///   - guests: Who is at the other end of a link each.
  ///   - change: Makes another partition of the example's guest1.
  init(
    guests: [String] = ["guest2"], bindings: [String: String] = ["uart2": "null"],
    _ change: (inout Partition) -> Void = { _ in }
  ) throws {
    var (partition, _) = try Partition.load(deviceTree: nil, builtInGuest: "guest1", running: [])
    let link = partition.links[0]
    partition.links = guests.map { guest in
      var copy = link
      copy.name = "link-\(guest)"
      copy.peerName = guest
      return copy
    }
    change(&partition)
    for link in partition.links {
      paths[link.name] = temporaryMemory()
    }
    var configuration = ServiceConfiguration(partition: partition, isExample: true)
    configuration.memory = paths.map { Assignment(name: $0.key, path: $0.value) }
    configuration.bindings = bindings.map { Assignment(name: $0.key, path: $0.value) }
    configuration.spinNanoseconds = 0
    // Two references: one to hand to the thread, and one for what it reports.
    let box = Reports()
    let service = Handed(try Service(configuration) { box.add($0) })
    served = service.value.served
    reports = box
    let (stop, done) = (stop, done)
    let thread = Thread {
      try? service.value.run(until: stop)
      done.signal()
    }
    thread.start()
  }

  private let reports: Reports
  /// What the service complained about.
  var reported: [String] { reports.all }

  /// The one thread that uses it from now on is another.
  private struct Handed<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
  }

  private final class Reports: @unchecked Sendable {
    private let lock = NSLock()
    private var sentences: [String] = []
    func add(_ sentence: String) { lock.withLock { sentences.append(sentence) } }
    var all: [String] { lock.withLock { sentences } }
  }

  deinit {
    eventfd_write(stop, 1)
    done.wait()
    close(stop)
    for path in paths.values { unlink(path) }
  }

  func path(of guest: String) -> String { paths["link-\(guest)"] ?? "" }

  /// A guest's agent, connected.
  func agent(_ guest: String = "guest2") throws -> Agent {
    let (partition, _) = try Partition.load(deviceTree: nil, builtInGuest: "guest2", running: [])
    var configuration = AgentConfiguration(isExample: true, memory: path(of: guest))
    configuration.patience = 30_000_000_000
    var agent = try Agent(partition.links[0], configuration)
    try agent.connect()
    return agent
  }

  /// A guest's end of a channel, to send what an agent would not.
  func rawEnd(_ guest: String = "guest2", channel: Int = 3) throws -> RawEnd { try RawEnd(path(of: guest), channel: channel) }
}

/// A borrower's end without manners.
struct RawEnd: ~Copyable {
  let mapping: Mapping
  let layout: LinkLayout
  var endpoint: Endpoint
  var message: MessageBuffer

  init(_ path: String, channel: Int) throws {
    let layout = try LinkLayout(size: 1 << 20, channels: 4)
    let mapping = try Mapping(.file(path), size: 1 << 20)
    self.layout = layout
    self.mapping = mapping
    message = MessageBuffer(capacity: 1 << 13)
    endpoint = Endpoint(mapping.region, layout: layout, channel: channel, role: .borrower)
  }

  mutating func connect() {
    endpoint.start(session: randomSession())
    Doorbell.futex.ring(&endpoint)
    while endpoint.state != .established {
      _ = endpoint.refresh()
      usleep(100)
    }
  }

  mutating func send(_ request: Request, _ data: [UInt8] = []) throws -> Bool {
    var storage = message.storage
    request.encode(into: &storage)
    message.put(data.span.bytes, at: Request.size)
    let isSent = try endpoint.producer.send(message)
    Doorbell.futex.ringIfNeeded(&endpoint)
    return isSent
  }

  /// The next answer, waited for.
  mutating func answer() throws -> Response {
    while try !endpoint.consumer.receive(into: &message) {
      endpoint.beat()
      usleep(100)
    }
    let response = Response(message.bytes)
    return try #require(response)
  }
}

/// The status that `body` is refused with; nil when it isn't.
func refusal(_ body: () throws -> Void) -> Status? {
  do {
    try body()
    return nil
  } catch let error as AgentError {
    if case .refused(let status) = error.reason, error.executed == .no { return status }
    Issue.record("another error: \(error)")
    return nil
  } catch {
    Issue.record("another error: \(error)")
    return nil
  }
}
