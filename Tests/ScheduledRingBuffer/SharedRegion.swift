// In place of RingBuffer's own SharedRegion.swift: the same words, but each access is a step that the scheduler decides about.

/// Memory whose every access is a step of `Schedule.current`.
public struct SharedRegion: @unchecked Sendable {
  public let size: Int

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

  // What is relaxed and what is ordered makes no difference but for a release: that drains after all stores before it.
  public func load() -> UInt32 { UInt32(truncatingIfNeeded: Schedule.current.load(offset)) }
  public func loadAcquiring() -> UInt32 { load() }
  public func store(_ value: UInt32) { Schedule.current.store(offset, UInt64(value), release: false) }
  public func storeReleasing(_ value: UInt32) { Schedule.current.store(offset, UInt64(value), release: true) }
}

@usableFromInline
struct Line {
  @usableFromInline static var size: Int { 64 }
  @usableFromInline static var payloadSize: Int { 56 }
  @usableFromInline static var payloadWords: Int { 56 / MemoryLayout<UInt>.size }

  let offset: Int

  @usableFromInline
  init(_ ring: UnsafeMutableRawPointer, index: UInt32) {
    offset = Int(bitPattern: ring) + Int(truncatingIfNeeded: index) &* Line.size
  }

  @usableFromInline var stamp: SharedWord { SharedWord(offset: offset) }
  @usableFromInline var length: SharedWord { SharedWord(offset: offset + 4) }

  @usableFromInline func payload(_ index: Int) -> UInt { UInt(Schedule.current.load(offset + 8 + index * 8)) }
  @usableFromInline func setPayload(_ index: Int, _ value: UInt) {
    Schedule.current.store(offset + 8 + index * 8, UInt64(value), release: false)
  }
}

@usableFromInline
func stamp(of position: UInt32) -> UInt32 { position | 0x8000_0000 }

public func sleepFence() { Schedule.current.fence() }
