/// Bytes in the order they came, in a fixed block of memory.
///
/// Bytes that are lent may come back, to be the oldest again: their room is kept until they are settled.
@safe
struct ByteQueue: ~Copyable {
  private let base: UnsafeMutableRawPointer
  let capacity: Int
  private var head = 0
  private(set) var count = 0
  /// Bytes that were lent, and neither came back nor were settled.
  private(set) var lent = 0

  init(capacity: Int) {
    unsafe base = .allocate(byteCount: capacity, alignment: 16)
    self.capacity = capacity
  }

  deinit { unsafe base.deallocate() }

  var isFull: Bool { count + lent == capacity }

  /// Forgets the bytes that are here; not those that are lent.
  mutating func removeAll() {
    head = 0
    count = 0
  }

  /// Hands out the free space behind the last byte, as far as it is in one piece, and takes in as many bytes as `read`
  /// says that it put there. Returns what `read` returned, which may be negative.
  mutating func fill(_ read: (UnsafeMutableRawBufferPointer) -> Int) -> Int {
    if count == 0 { head = 0 }
    let tail = place(count)
    let room = min(capacity - count - lent, capacity - tail)
    // SAFETY: tail + room is at most capacity.
    let got = unsafe read(UnsafeMutableRawBufferPointer(start: base + tail, count: room))
    if got > 0 { count += min(got, room) }
    return got
  }

  /// Moves the oldest bytes to `destination`, from `offset` on, at most `limit` and at most what fits. Returns how many.
  mutating func lend(_ limit: Int, to destination: inout MutableRawSpan, at offset: Int) -> Int {
    let lending = max(0, min(limit, count, destination.byteCount - offset))
    for i in 0..<lending {
      // SAFETY: a place is less than capacity.
      destination.storeBytes(
        of: unsafe base.load(fromByteOffset: place(i), as: UInt8.self), toByteOffset: offset + i, as: UInt8.self)
    }
    head = place(lending)
    count -= lending
    lent += lending
    return lending
  }

  /// So many lent bytes have arrived: they don't come back.
  mutating func settle(_ arrived: Int) { lent -= min(arrived, lent) }

  /// Takes lent bytes back, in front of those that are here.
  mutating func takeBack(_ bytes: ArraySlice<UInt8>) {
    let returning = bytes.suffix(lent)
    head = head >= returning.count ? head - returning.count : head + capacity - returning.count
    lent -= returning.count
    count += returning.count
    var offset = 0
    for byte in returning {
      // SAFETY: a place is less than capacity.
      unsafe base.storeBytes(of: byte, toByteOffset: place(offset), as: UInt8.self)
      offset += 1
    }
  }

  /// Where the `index`-th oldest byte is; `index` is at most `capacity`.
  private func place(_ index: Int) -> Int { head + index < capacity ? head + index : head + index - capacity }
}
