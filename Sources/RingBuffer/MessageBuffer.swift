/// Private memory for one message, copied out of shared memory before anybody looks at it, or filled before it is sent.
///
/// Aligned, and a multiple of 8 bytes long, so that it is copied slot by slot.
@safe
// Unchecked, since a pointer is not Sendable; no copy of this one exists, so whoever has the buffer has the memory alone.
public struct MessageBuffer: ~Copyable, @unchecked Sendable {
  @usableFromInline let words: UnsafeMutablePointer<UInt64>
  /// Bytes that fit: 8 at least.
  public let capacity: Int
  /// Bytes in use.
  @usableFromInline var used = 0

  /// The one allocation.
  public init(capacity: Int) {
    precondition(capacity > 0 && capacity <= 1 << 24)
    let count = (capacity + 7) / 8
    unsafe words = .allocate(capacity: count)
    unsafe words.initialize(repeating: 0, count: count)
    self.capacity = max(8, capacity)
  }

  @inlinable
  deinit { unsafe words.deallocate() }

  /// Bytes in use.
  ///
  /// - Precondition: At most `capacity`.
  @inlinable
  public var count: Int {
    get { used }
    set {
      precondition(newValue >= 0 && newValue <= capacity)
      used = newValue
    }
  }

  /// The bytes in use.
  @inlinable
  public var bytes: RawSpan {
    @_lifetime(borrow self)
    get {
      // SAFETY: `used` is at most `capacity`, and the memory lives as long as self.
      let span = unsafe RawSpan(_unsafeStart: UnsafeRawPointer(words), byteCount: used)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// Puts `bytes` behind the first `offset` bytes; then everything up to their end is in use.
  ///
  /// - Precondition: They fit.
  @inlinable
  public mutating func put(_ bytes: RawSpan, at offset: Int) {
    precondition(offset >= 0 && offset <= capacity && bytes.byteCount <= capacity &- offset)
    // SAFETY: the precondition.
    unsafe bytes.withUnsafeBytes {
      if let source = $0.baseAddress {
        unsafe (UnsafeMutableRawPointer(words) + offset).copyMemory(from: source, byteCount: $0.count)
      }
    }
    used = offset &+ bytes.byteCount
  }

  /// All `capacity` bytes, to be filled; then set `count`.
  @inlinable
  public var storage: MutableRawSpan {
    @_lifetime(&self)
    mutating get {
      // SAFETY: as above, and self is held exclusively.
      let span = unsafe MutableRawSpan(_unsafeStart: UnsafeMutableRawPointer(words), byteCount: capacity)
      return unsafe _overrideLifetime(span, mutating: &self)
    }
  }
}
