import CLinux
import Synchronization

/// Memory that another guest writes at any time: nothing but aligned words, each read or written by one plain atomic
/// access. No read-modify-write, no bulk copy, nothing laid over it (Spec 2 §1).
///
/// This is the one place where shared memory is touched. It doesn't own the mapping.
@safe
// Unchecked, since a pointer is not Sendable; this one never changes, and what it points to is read and written atomically only.
public struct SharedRegion: @unchecked Sendable {
  @usableFromInline let base: UnsafeMutableRawPointer
  /// Bytes.
  public let size: Int
  /// Whether its stores and loads need fences besides acquire and release (Spec 2 §1): x86-64 orders write-combined memory only
  /// by these; the others order it as they do normal memory.
  public let needsFences: Bool

  /// - Parameters:
  ///   - base: The start of the mapping, aligned to a page.
  ///   - isWriteCombined: It is mapped write-combined.
  ///
  /// The caller keeps `size` bytes mapped there for as long as any copy of this value, or anything made from it, is used.
  @unsafe
  public init(base: UnsafeMutableRawPointer, size: Int, isWriteCombined: Bool = false) {
    precondition(UInt(bitPattern: base) % 64 == 0, "a region starts at a cache line")
    unsafe self.base = base
    self.size = size
    #if arch(x86_64)
      needsFences = isWriteCombined
    #else
      needsFences = false
    #endif
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
// Unchecked for the reason that `SharedRegion` gives.
public struct SharedWord: @unchecked Sendable {
  @usableFromInline let pointer: UnsafeMutablePointer<Atomic<UInt32>>

  @inlinable
  init(_ pointer: UnsafeMutablePointer<Atomic<UInt32>>) { unsafe self.pointer = pointer }

  @inlinable @inline(__always)
  init(at address: UnsafeMutableRawPointer) { unsafe pointer = address.assumingMemoryBound(to: Atomic<UInt32>.self) }

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

// SAFETY, all below: the caller has the address from a `Line`, which lies in a ring that `SharedRegion` made.

/// 8 bytes of payload, by the machine's natural word.
@inlinable @inline(__always)
func loadSlot(_ address: UnsafeMutableRawPointer) -> UInt64 {
  if MemoryLayout<UInt>.size == 8 { return unsafe UInt64(natural(address).pointee.load(ordering: .relaxed)) }
  let low = unsafe UInt64(natural(address).pointee.load(ordering: .relaxed))
  return unsafe low | UInt64(natural(address + 4).pointee.load(ordering: .relaxed)) &<< 32
}

@inlinable @inline(__always)
func storeSlot(_ address: UnsafeMutableRawPointer, _ value: UInt64) {
  unsafe natural(address).pointee.store(UInt(truncatingIfNeeded: value), ordering: .relaxed)
  if MemoryLayout<UInt>.size == 4 {
    unsafe natural(address + 4).pointee.store(UInt(truncatingIfNeeded: value &>> 32), ordering: .relaxed)
  }
}

/// Two slots at an address that is a multiple of 16, by the widest store that the machine has in one piece. Half as many
/// stores as with words are what it takes to keep up with memcpy. Stores alone: what is stored is ours, and nobody looks
/// at it before the release of a header; a load, on the other hand, must be one that the compiler can't do again.
@inline(__always)
func storeSlots(_ address: UnsafeMutableRawPointer, _ words: UnsafeMutablePointer<UInt64>) {
  #if arch(x86_64) || arch(arm64)
    unsafe address.storeBytes(of: SIMD2(words[0], words[1]), as: SIMD2<UInt64>.self)
  #else
    unsafe storeSlot(address, words[0])
    unsafe storeSlot(address + 8, words[1])
  #endif
}

@inlinable @inline(__always)
func natural(_ address: UnsafeMutableRawPointer) -> UnsafeMutablePointer<Atomic<UInt>> {
  unsafe address.assumingMemoryBound(to: Atomic<UInt>.self)
}

/// Asks the processor for a line, to write to it. A hint: nothing can be observed of it but time.
@inline(__always)
func prefetchForWriting(_ address: UnsafeMutableRawPointer) { unsafe lx_prefetch_for_writing(address) }

/// Around the release of something in write-combined memory, and behind an acquire (see `SharedRegion.needsFences`).
@usableFromInline
func combiningFence() { atomicMemoryFence(ordering: .sequentiallyConsistent) }

/// What goes between "I sleep" and the last look, and between "I published" and "do you sleep?" (SP-3).
///
/// Acquire and release are not enough: a store must be seen before a later load is made, which even x86 reorders.
@inlinable @inline(__always)
public func sleepFence() { atomicMemoryFence(ordering: .sequentiallyConsistent) }
