/// Received bytes that went out in answers of which it isn't known yet that the borrower has received them.
///
/// When its session ends before that, they go back to where they came from, and so to the next reader.
struct Deliveries {
  struct Delivery {
    /// Which of the pump's peripherals they came from.
    var peripheral: Int
    var count: Int
    /// Where the answer is: `producer.position` before it was sent.
    var start: UInt32
  }

  /// In the order in which they were sent.
  private(set) var list: [Delivery] = []
  /// Their bytes, one behind the other. A copy of our own: the borrower can change what is in the ring.
  private(set) var bytes: [UInt8] = []

  var isEmpty: Bool { list.isEmpty }

  /// Remembers the bytes of an answer from `offset` on, which is sent next.
  mutating func add(_ answer: RawSpan, from offset: Int, peripheral: Int, start: UInt32) {
    guard answer.byteCount > offset else { return }
    list.append(Delivery(peripheral: peripheral, count: answer.byteCount - offset, start: start))
    // SAFETY: the span has that many bytes.
    for place in offset..<answer.byteCount { bytes.append(unsafe answer.unsafeLoad(fromByteOffset: place, as: UInt8.self)) }
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
