/// Bytes in the order they came, in a fixed block of memory.
@safe
struct ByteQueue: ~Copyable {
  private let base: UnsafeMutableRawPointer
  let capacity: Int
  private var head = 0
  private(set) var count = 0

  init(capacity: Int) {
    unsafe base = .allocate(byteCount: capacity, alignment: 16)
    self.capacity = capacity
  }

  deinit { unsafe base.deallocate() }

  var isFull: Bool { count == capacity }

  mutating func removeAll() {
    head = 0
    count = 0
  }

  /// Hands out the free space behind the last byte, as far as it is in one piece, and takes in as many bytes as `read`
  /// says that it put there. Returns what `read` returned, which may be negative.
  mutating func fill(_ read: (UnsafeMutableRawBufferPointer) -> Int) -> Int {
    if count == 0 { head = 0 }
    let tail = head + count < capacity ? head + count : head + count - capacity
    let room = min(capacity - count, capacity - tail)
    // SAFETY: tail + room is at most capacity.
    let got = unsafe read(UnsafeMutableRawBufferPointer(start: base + tail, count: room))
    if got > 0 { count += min(got, room) }
    return got
  }

  /// Moves the oldest bytes to `destination`, from `offset` on, at most `limit` and at most what fits. Returns how many.
  mutating func take(_ limit: Int, into destination: inout MutableRawSpan, at offset: Int) -> Int {
    let wanted = min(limit, count, destination.byteCount - offset)
    for i in 0..<max(0, wanted) {
      let place = head + i < capacity ? head + i : head + i - capacity
      // SAFETY: place is less than capacity.
      destination.storeBytes(
        of: unsafe base.load(fromByteOffset: place, as: UInt8.self), toByteOffset: offset + i, as: UInt8.self)
    }
    guard wanted > 0 else { return 0 }
    head = head + wanted < capacity ? head + wanted : head + wanted - capacity
    count -= wanted
    return wanted
  }
}
