// In place of RingBuffer's own SharedRegion.swift: the same words, but each access is a step that the scheduler decides about.

/// Memory whose every access is a step of `Schedule.current`.
public struct SharedRegion: @unchecked Sendable {
  public let size: Int

  /// What write-combined memory needs is not what the scheduler models.
  public var needsFences: Bool { false }

  public init(size: Int) { self.size = size }

  public func word(at offset: Int) -> SharedWord {
    precondition(offset >= 0 && offset &+ 4 <= size && offset % 4 == 0, "a control word lies in the region")
    return SharedWord(offset: offset)
  }

  /// The offset stands for the address.
  func lines(at offset: Int, count: Int) -> UnsafeMutableRawPointer {
    precondition(offset >= 0 && offset % 64 == 0 && count >= 0 && count <= (size &- offset) / 64, "a ring lies in the region")
    return UnsafeMutableRawPointer(bitPattern: offset)!
  }
}

public struct SharedWord: Sendable {
  let offset: Int

  init(offset: Int) { self.offset = offset }
  @usableFromInline init(at address: UnsafeMutableRawPointer) { offset = Int(bitPattern: address) }

  // What is relaxed and what is ordered makes no difference but for a release: that drains after all stores before it.
  public func load() -> UInt32 { UInt32(truncatingIfNeeded: Schedule.current.load(offset)) }
  public func loadAcquiring() -> UInt32 { load() }
  public func store(_ value: UInt32) { Schedule.current.store(offset, UInt64(value), release: false) }
  public func storeReleasing(_ value: UInt32) { Schedule.current.store(offset, UInt64(value), release: true) }
}

@usableFromInline
func loadSlot(_ address: UnsafeMutableRawPointer) -> UInt64 { Schedule.current.load(Int(bitPattern: address)) }
@usableFromInline
func storeSlot(_ address: UnsafeMutableRawPointer, _ value: UInt64) {
  Schedule.current.store(Int(bitPattern: address), value, release: false)
}
func storeSlots(_ address: UnsafeMutableRawPointer, _ words: UnsafeMutablePointer<UInt64>) {
  storeSlot(address, words[0])
  storeSlot(address + 8, words[1])
}
@usableFromInline
func prefetchForWriting(_ address: UnsafeMutableRawPointer) {}

@usableFromInline
func combiningFence() {}

public func sleepFence() { Schedule.current.fence() }
