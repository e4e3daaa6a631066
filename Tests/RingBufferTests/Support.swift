import Foundation
import Testing

@testable import RingBuffer

/// Private memory that stands for a link's region, filled with junk: nothing may assume that it starts as 0.
final class TestRegion: @unchecked Sendable {
  let memory: UnsafeMutableRawPointer
  let region: SharedRegion

  init(size: Int, fill: UInt8 = 0xa5, isWriteCombined: Bool = false) {
    memory = .allocate(byteCount: size, alignment: 4096)
    memory.initializeMemory(as: UInt8.self, repeating: fill, count: size)
    region = SharedRegion(base: memory, size: size, isWriteCombined: isWriteCombined)
  }

  deinit { memory.deallocate() }

  /// The word at `offset`, for playing a hostile peer and for looking.
  subscript(offset: Int) -> UInt32 {
    get { region.word(at: offset).load() }
    set { region.word(at: offset).store(newValue) }
  }
}

/// A ring of its own, with both ends.
struct TestRing: ~Copyable {
  let memory: TestRegion
  var producer: Producer
  var consumer: Consumer
  var message: MessageBuffer
  static let creditOffset = 0

  init(lines: Int = 64, start: UInt32 = 0, isWriteCombined: Bool = false) {
    memory = TestRegion(size: 64 + lines * 64, isWriteCombined: isWriteCombined)
    let credit = memory.region.word(at: Self.creditOffset)
    producer = Producer(memory.region, offset: 64, lineCount: lines, credit: credit)
    consumer = Consumer(memory.region, offset: 64, lineCount: lines, credit: credit)
    message = MessageBuffer(capacity: lines / 4 * 56)
    begin(at: start)
  }

  /// As a handshake does it.
  mutating func begin(at start: UInt32) {
    producer.clear(0..<producer.lineCount)
    producer.reset(start: start)
    consumer.reset(start: start)
  }

  mutating func send(_ bytes: [UInt8]) throws -> Bool {
    message.put(bytes.span.bytes, at: 0)
    return try producer.send(message)
  }

  mutating func receive() throws -> [UInt8]? {
    guard try consumer.receive(into: &message) else { return nil }
    return message.array
  }

  /// Offset of the line that holds `position`.
  func line(_ position: UInt32) -> Int { 64 + Int(position / 8 & (producer.lineCount - 1)) * 64 }
}

extension MessageBuffer {
  init(_ bytes: [UInt8], capacity: Int? = nil) {
    self.init(capacity: capacity ?? max(1, bytes.count))
    put(bytes.span.bytes, at: 0)
  }

  var array: [UInt8] {
    let span = bytes
    return (0..<span.byteCount).map { span.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
  }
}

/// Both ends of one channel over one region.
struct TestLink: ~Copyable {
  let memory: TestRegion
  let layout: LinkLayout
  var owner: Endpoint
  var borrower: Endpoint

  init(size: Int = 0x1000 + 2 * 64 * 64, channels: Int = 1) {
    memory = TestRegion(size: size)
    layout = try! LinkLayout(size: size, channels: channels)
    owner = Endpoint(memory.region, layout: layout, channel: 0, role: .owner)
    borrower = Endpoint(memory.region, layout: layout, channel: 0, role: .borrower)
  }

  /// Lets both sides step until neither has anything to do.
  mutating func settle() {
    for _ in 0..<8 where owner.needsHandshake || borrower.needsHandshake {
      _ = owner.refresh()
      _ = borrower.refresh()
    }
  }

  mutating func establish(owner ownerSession: UInt32 = 0x1111, borrower borrowerSession: UInt32 = 0x2222) {
    owner.start(session: ownerSession)
    borrower.start(session: borrowerSession)
    settle()
  }
}

/// Runs `body` in a thread of its own and hands back a way to wait for its end.
func inThread(_ body: @escaping @Sendable () -> Void) -> DispatchSemaphore {
  let done = DispatchSemaphore(value: 0)
  let thread = Thread {
    body()
    done.signal()
  }
  thread.start()
  return done
}

/// As `#expect`, which can't look into an expression with values that can't be copied.
func expect(_ condition: Bool, _ comment: @autoclosure () -> Comment? = nil, at place: SourceLocation = #_sourceLocation) {
  if !condition { Issue.record(comment(), sourceLocation: place) }
}

/// That `body` throws `expected` and nothing else.
func expectThrow(
  _ expected: RingError, at place: SourceLocation = #_sourceLocation, _ body: () throws -> Void
) {
  do {
    try body()
    Issue.record("nothing was thrown", sourceLocation: place)
  } catch {
    if error as? RingError != expected { Issue.record("threw \(error)", sourceLocation: place) }
  }
}
