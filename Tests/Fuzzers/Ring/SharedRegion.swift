// In place of RingBuffer's own SharedRegion.swift: the same words, over memory that changes while it is looked at.

/// Memory in which the input of the fuzzer has a say at every load, and that counts accesses.
enum Memory {
  static let size = 0x1000 + 2 * 64 * 64
  nonisolated(unsafe) private static let words = UnsafeMutablePointer<UInt32>.allocate(capacity: size / 4)
  nonisolated(unsafe) static var input = Input(nil, 0)
  /// Whether the peer writes while an operation goes on.
  nonisolated(unsafe) static var isTampered = false
  /// Since the operation began.
  nonisolated(unsafe) static var accesses = 0

  static func fill(_ value: UInt32) { words.update(repeating: value, count: size / 4) }

  /// Within the region, aligned, and not for ever.
  private static func check(_ offset: Int, _ bytes: Int) {
    accesses += 1
    precondition(accesses < 5000, "an operation goes on and on")
    precondition(offset >= 0 && offset % bytes == 0 && offset <= size - bytes, "an access outside the region")
  }

  static func load(_ offset: Int) -> UInt32 {
    check(offset, 4)
    if isTampered {
      let byte = input.byte()
      switch byte & 7 {
      case 0: words[offset / 4] = input.word()
      case 1: words[offset / 4] &+= UInt32(byte >> 3)
      case 2: words[offset / 4] &-= UInt32(byte >> 3)
      case 3: words[offset / 4] ^= 1 << UInt32(byte >> 3)
      default: break
      }
    }
    return words[offset / 4]
  }

  static func store(_ offset: Int, _ value: UInt32) {
    check(offset, 4)
    words[offset / 4] = value
  }
}

/// The fuzzer's bytes; behind their end, zeros.
struct Input {
  private let bytes: UnsafePointer<UInt8>?
  private let count: Int
  private var next = 0

  init(_ bytes: UnsafePointer<UInt8>?, _ count: Int) {
    self.bytes = bytes
    self.count = count
  }

  var isEmpty: Bool { next >= count }

  mutating func byte() -> UInt8 {
    guard let bytes, next < count else { return 0xff }
    defer { next += 1 }
    return bytes[next]
  }

  mutating func word() -> UInt32 { (0..<4).reduce(0) { word, _ in word << 8 | UInt32(byte()) } }
}

public struct SharedRegion: @unchecked Sendable {
  let size = Memory.size
  let needsFences = false

  func word(at offset: Int) -> SharedWord { SharedWord(offset: offset) }

  /// The offset stands for the address.
  func lines(at offset: Int, count: Int) -> UnsafeMutableRawPointer { UnsafeMutableRawPointer(bitPattern: offset)! }
}

public struct SharedWord: Sendable {
  let offset: Int

  init(offset: Int) { self.offset = offset }
  @usableFromInline init(at address: UnsafeMutableRawPointer) { offset = Int(bitPattern: address) }
  @usableFromInline func load() -> UInt32 { Memory.load(offset) }
  @usableFromInline func loadAcquiring() -> UInt32 { Memory.load(offset) }
  @usableFromInline func store(_ value: UInt32) { Memory.store(offset, value) }
  @usableFromInline func storeReleasing(_ value: UInt32) { Memory.store(offset, value) }
}

@usableFromInline
func loadSlot(_ address: UnsafeMutableRawPointer) -> UInt64 {
  let offset = Int(bitPattern: address)
  return UInt64(Memory.load(offset)) | UInt64(Memory.load(offset + 4)) << 32
}
@usableFromInline
func storeSlot(_ address: UnsafeMutableRawPointer, _ value: UInt64) {
  let offset = Int(bitPattern: address)
  Memory.store(offset, UInt32(truncatingIfNeeded: value))
  Memory.store(offset + 4, UInt32(truncatingIfNeeded: value >> 32))
}
func storeSlots(_ address: UnsafeMutableRawPointer, _ words: UnsafeMutablePointer<UInt64>) {
  storeSlot(address, words[0])
  storeSlot(address + 8, words[1])
}
@usableFromInline
func prefetchForWriting(_ address: UnsafeMutableRawPointer) {}

@usableFromInline
func combiningFence() {}

public func sleepFence() {}
