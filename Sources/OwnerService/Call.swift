import BrokerProtocol
import RingBuffer

/// Where a call is: in which of the pump's channels' which slot.
struct CallID: Equatable {
  var channel: Int
  var slot: Int
}

/// A request that was taken, its data, and how far it has come.
struct Call: ~Copyable {
  var message: MessageBuffer
  private(set) var request = Request(id: 0, peripheralClass: .broker, operation: 0)
  /// Bytes that the device took so far.
  var done = 0
  /// Monotonic nanoseconds; set when the call has to wait: since when, and until when at most.
  private(set) var arrival: UInt64 = 0
  private(set) var deadline: UInt64 = 0

  init(capacity: Int) { message = MessageBuffer(capacity: capacity) }

  func parse() -> Request? { Request(message.bytes) }

  mutating func begin(_ request: Request) {
    self.request = request
    done = 0
  }

  /// Bytes of data behind the request's header.
  var dataCount: Int { message.count - Request.size }

  /// The data behind the request's header, at most `limit` bytes of it.
  func copyData(limit: Int) -> [UInt8] {
    let bytes = message.bytes
    return (0..<min(dataCount, limit)).map { unsafe bytes.unsafeLoad(fromByteOffset: Request.size + $0, as: UInt8.self) }
  }

  /// When the owner must have answered. A wait is bounded whatever the request says.
  mutating func startWaiting(now: UInt64) {
    let limit: UInt32 = 3_600_000
    arrival = now
    deadline = now &+ UInt64(min(request.timeout, limit)) &* 1_000_000
  }
}
