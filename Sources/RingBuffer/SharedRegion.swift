import Synchronization

/// Memory that another guest writes at any time: nothing but aligned words, each read or written by one plain atomic
/// access. No read-modify-write, no bulk copy, nothing laid over it (Spec 2 §1).
///
/// This is the one place where shared memory is touched. It doesn't own the mapping.
@safe
public struct SharedRegion: @unchecked Sendable {  // Sendable: every access is atomic
  @usableFromInline let base: UnsafeMutableRawPointer
  /// Bytes.
  public let size: Int

  /// - Parameter base: The start of the mapping, aligned to a page.
  ///
  /// The caller keeps `size` bytes mapped there for as long as any copy of this value, or anything made from it, is used.
  @unsafe
  public init(base: UnsafeMutableRawPointer, size: Int) {
    precondition(UInt(bitPattern: base) % 64 == 0, "a region starts at a cache line")
    unsafe self.base = base
    self.size = size
  }

  /// For munmap(2) alone, which wants the address.
  public var address: UnsafeMutableRawPointer { unsafe base }

  /// The 32-bit control word at `offset`.
  ///
  /// - Precondition: Aligned and inside the region. Offsets come from `LinkLayout`, never from the peer.
  @inlinable
  public func word(at offset: Int) -> SharedWord {
    precondition(offset >= 0 && offset &+ 4 <= size && offset % 4 == 0, "a control word lies in the region")
    // SAFETY: the precondition.
    return unsafe SharedWord((base + offset).assumingMemoryBound(to: Atomic<UInt32>.self))
  }

  /// The `count` cache lines from `offset` on.
  @inlinable
  func lines(at offset: Int, count: Int) -> UnsafeMutableRawPointer {
    precondition(offset >= 0 && offset % 64 == 0 && count >= 0 && count <= (size &- offset) / 64, "a ring lies in the region")
    return unsafe base + offset
  }
}

/// A 32-bit control word in shared memory. Exactly one side writes it.
@safe
public struct SharedWord: @unchecked Sendable {  // Sendable: every access is atomic
  @usableFromInline let pointer: UnsafeMutablePointer<Atomic<UInt32>>

  @inlinable
  init(_ pointer: UnsafeMutablePointer<Atomic<UInt32>>) { unsafe self.pointer = pointer }

  // SAFETY, all four: `SharedRegion` made the pointer inside its mapping.
  @inlinable @inline(__always)
  public func load() -> UInt32 { unsafe pointer.pointee.load(ordering: .relaxed) }

  @inlinable @inline(__always)
  public func loadAcquiring() -> UInt32 { unsafe pointer.pointee.load(ordering: .acquiring) }

  @inlinable @inline(__always)
  public func store(_ value: UInt32) { unsafe pointer.pointee.store(value, ordering: .relaxed) }

  @inlinable @inline(__always)
  public func storeReleasing(_ value: UInt32) { unsafe pointer.pointee.store(value, ordering: .releasing) }

  /// For futex(2) alone, which wants the address.
  public var address: UnsafeRawPointer { unsafe UnsafeRawPointer(pointer) }
}

/// One cache line of a ring: two 32-bit header words, then 56 bytes of payload (Spec 2 §4).
@safe
@usableFromInline
struct Line {
  @usableFromInline static var size: Int { 64 }
  @usableFromInline static var payloadSize: Int { 56 }
  /// Payload is copied by the machine's natural word.
  @usableFromInline static var payloadWords: Int { 56 / MemoryLayout<UInt>.size }

  @usableFromInline let pointer: UnsafeMutableRawPointer

  /// - Parameter index: Less than the ring's line count, by the caller's mask.
  @inlinable @inline(__always)
  init(_ ring: UnsafeMutableRawPointer, index: UInt32) {
    unsafe pointer = ring + Int(truncatingIfNeeded: index) &* Line.size
  }

  /// Which position of the ring this line holds, and that it does (Spec 2 §4).
  @inlinable @inline(__always)
  var stamp: SharedWord { unsafe SharedWord(pointer.assumingMemoryBound(to: Atomic<UInt32>.self)) }

  /// The message's length in bytes, in its first line.
  @inlinable @inline(__always)
  var length: SharedWord { unsafe SharedWord((pointer + 4).assumingMemoryBound(to: Atomic<UInt32>.self)) }

  // SAFETY, both: the caller keeps `index` in 0..<payloadWords, so that the word lies in this line.
  @inlinable @inline(__always)
  func payload(_ index: Int) -> UInt { unsafe word(index).pointee.load(ordering: .relaxed) }

  @inlinable @inline(__always)
  func setPayload(_ index: Int, _ value: UInt) { unsafe word(index).pointee.store(value, ordering: .relaxed) }

  @inlinable @inline(__always)
  func word(_ index: Int) -> UnsafeMutablePointer<Atomic<UInt>> {
    unsafe (pointer + 8 + index &* MemoryLayout<UInt>.size).assumingMemoryBound(to: Atomic<UInt>.self)
  }
}

/// The stamp of a line that holds the message starting at `position`. Never 0, so that 0 means "nothing here".
@inlinable @inline(__always)
func stamp(of position: UInt32) -> UInt32 { position | 0x8000_0000 }

/// What goes between "I sleep" and the last look, and between "I published" and "do you sleep?" (SP-3).
///
/// Acquire and release are not enough: a store must be seen before a later load is made, which even x86 reorders.
@inlinable @inline(__always)
public func sleepFence() { atomicMemoryFence(ordering: .sequentiallyConsistent) }
