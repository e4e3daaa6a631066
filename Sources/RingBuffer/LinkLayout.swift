/// Where everything lies in a link's region (Spec 2 §2). Computed by each side from its own device tree: nothing that the
/// peer writes goes into it.
public struct LinkLayout: Equatable, Sendable {
  /// "GBLK", little-endian.
  public static var magic: UInt32 { 0x4b4c_4247 }
  public static var version: UInt32 { 1 }
  public static var maximumChannels: Int { 8 }
  /// More of a region than this is not used.
  public static var maximumSize: UInt64 { 1 << 28 }
  public static var minimumLines: Int { 64 }
  public static var maximumLines: Int { 1 << 16 }
  static var headerSize: Int { 0x1000 }

  /// The region's size in bytes, as the device tree says.
  public let size: Int
  /// How many processes of the borrower can use the link at once.
  public let channels: Int
  /// Lines of each ring, a power of two.
  public let lines: Int

  public enum Invalid: Error, Equatable, Sendable {
    /// The region must have `needed` bytes for that many channels.
    case tooSmall(needed: Int)
    /// Not 1...8.
    case badChannels
  }

  /// - Parameter size: Bytes of the region.
  public init(size: Int, channels: Int) throws(Invalid) {
    guard channels >= 1, channels <= Self.maximumChannels else { throw .badChannels }
    func needed(_ lines: Int) -> Int { Self.headerSize + channels * 2 * lines * Line.size }
    guard size >= needed(Self.minimumLines) else { throw .tooSmall(needed: needed(Self.minimumLines)) }
    var lines = Self.minimumLines
    while lines < Self.maximumLines, needed(lines * 2) <= size { lines *= 2 }
    self.size = size
    self.channels = channels
    self.lines = lines
  }

  /// Of the words that one side writes about one channel (Spec 2 §3).
  func control(_ role: Role, channel: Int) -> Int { 0x100 + channel * 0x100 + (role == .owner ? 0 : 0x80) }

  /// Of the ring that `role` writes in one channel.
  func ring(from role: Role, channel: Int) -> Int {
    Self.headerSize + (channel * 2 + (role == .borrower ? 0 : 1)) * lines * Line.size
  }
}

/// Which end of a link this guest is. The owner has the peripherals.
public enum Role: Sendable {
  case owner, borrower

  public var peer: Role { self == .owner ? .borrower : .owner }
}

/// What the owner says about itself at the start of the region, for the borrower and for tools to compare (Spec 2 §2).
public struct LinkIdentity: Equatable, Sendable {
  public var magic: UInt32
  public var layoutVersion: UInt32
  public var size: UInt32
  public var channels: UInt32
  public var lines: UInt32
  public var protocolVersion: UInt32

  public init(_ layout: LinkLayout, protocolVersion: UInt32) {
    magic = LinkLayout.magic
    layoutVersion = LinkLayout.version
    size = UInt32(truncatingIfNeeded: layout.size)
    channels = UInt32(truncatingIfNeeded: layout.channels)
    lines = UInt32(truncatingIfNeeded: layout.lines)
    self.protocolVersion = protocolVersion
  }

  /// What the region says now.
  public init(reading region: SharedRegion) {
    magic = region.word(at: 0x00).load()
    layoutVersion = region.word(at: 0x04).load()
    size = region.word(at: 0x08).load()
    channels = region.word(at: 0x0c).load()
    lines = region.word(at: 0x10).load()
    protocolVersion = region.word(at: 0x14).load()
  }

  /// Before the release of a session or acknowledgement that makes it visible (SP-4, SP-5).
  func write(to region: SharedRegion) {
    region.word(at: 0x00).store(magic)
    region.word(at: 0x04).store(layoutVersion)
    region.word(at: 0x08).store(size)
    region.word(at: 0x0c).store(channels)
    region.word(at: 0x10).store(lines)
    region.word(at: 0x14).store(protocolVersion)
  }
}

/// Somebody who may be asleep: the word of ours that a futex of his sleeps on, and what he says about interrupts.
public struct Sleeper: Sendable {
  public let doorbell: SharedWord
  public let bell: Bell
}

/// What a side says about its doorbell (Spec 2 §6).
public struct Bell: Equatable, Sendable {
  let word: UInt32

  /// What a side without interrupts does to learn of something.
  public enum Kind: UInt32, Sendable {
    /// Nothing that it says: interrupts, or an older version.
    case unsaid = 0
    case futex = 1
    case poll = 2
  }

  /// It neither makes nor takes interrupts.
  public init(_ kind: Kind = .unsaid) { word = kind.rawValue << 29 }

  init(word: UInt32) { self.word = word }

  /// - Parameters:
  ///   - rings: Whether this side makes one at the peer when it rings.
  ///   - id: Its ivshmem id, for the peer to make one here; nil when it doesn't need it, or takes none.
  public init(rings: Bool, id: UInt16?) { word = (rings ? 1 << 31 : 0) | (id.map { UInt32($0) + 1 } ?? 0) }

  public var rings: Bool { word >> 31 == 1 }
  public var id: UInt16? { UInt16(exactly: Int(word & 0x1fff_ffff) - 1) }
  /// Nil when it is none of these.
  public var kind: Kind? { rings ? .unsaid : Kind(rawValue: word >> 29 & 3) }
}
