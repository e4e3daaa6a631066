import RingBuffer

/// Received bytes that went out in answers of which it isn't known yet that the borrower has received them.
///
/// When its session ends before that, they go back to where they came from, and so to the next reader.
struct Deliveries {
  struct Delivery {
    /// The UART that they came from, by its place in the pump.
    var uart: Int
    var count: Int
    /// Where the answer is: `producer.position` before it was sent.
    var start: UInt32
  }

  /// In the order in which they were sent.
  private(set) var list: [Delivery] = []
  /// Their bytes, one behind the other. A copy of our own: the borrower can change what is in the ring.
  private(set) var bytes: [UInt8] = []

  var isEmpty: Bool { list.isEmpty }

  /// Lends the oldest bytes of `queue` to the answer that is sent next. Returns where they are in `bytes`.
  mutating func add(_ limit: Int, of queue: inout ByteQueue, uart: Int, start: UInt32) -> Range<Int> {
    let first = bytes.count
    let count = queue.lend(limit, to: &bytes)
    if count > 0 { list.append(Delivery(uart: uart, count: count, start: start)) }
    return first..<first + count
  }

  /// Puts some of `bytes` into an answer.
  func copy(_ place: Range<Int>, to answer: inout MessageBuffer, at offset: Int) {
    answer.put(unsafe bytes.span.extracting(place).bytes, at: offset)
  }

  /// Takes out the oldest delivery, with its bytes.
  mutating func removeFirst() -> (Delivery, bytes: ArraySlice<UInt8>) {
    let delivery = list.removeFirst()
    let slice = bytes.prefix(delivery.count)
    bytes.removeFirst(delivery.count)
    return (delivery, slice)
  }

  /// Takes out the newest delivery, with its bytes.
  mutating func removeLast() -> (Delivery, bytes: ArraySlice<UInt8>) {
    let delivery = list.removeLast()
    let slice = bytes.suffix(delivery.count)
    bytes.removeLast(delivery.count)
    return (delivery, slice)
  }
}
