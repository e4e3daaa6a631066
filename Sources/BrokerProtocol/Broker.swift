/// Operations of class `broker`: about the owner itself (Spec 4 §6).
public enum BrokerOperation: UInt8, Sendable {
  /// Returns the data it was given.
  case ping = 0
  /// Data: a peripheral's name. Returns a `DirectoryEntry`.
  case find = 1
  /// `argument0`: how many entries to skip. Returns as many `DirectoryEntry` as fit, of what this borrower was granted;
  /// `value` is how many there are in all.
  case directory = 2

  /// Whether the arguments, and the length of the data, are ones that the operation has.
  @inlinable
  public func allows(_ request: Request, data count: Int) -> Bool {
    switch self {
    case .ping, .find: request.argument0 | request.argument1 == 0
    case .directory: request.argument1 == 0 && count == 0
    }
  }
}

/// A peripheral that the owner offers to this borrower (Spec 4 §6).
public struct DirectoryEntry: Sendable {
  /// What requests say to mean it, as long as this session lasts.
  public var number: UInt16
  /// A `PeripheralClass`; kept as it came.
  public var peripheralClass: UInt8
  /// Bits that this version doesn't know mean nothing.
  public var access: Access
  public var name: String

  public init(number: UInt16, peripheralClass: PeripheralClass, access: Access, name: String) {
    self.number = number
    self.peripheralClass = peripheralClass.rawValue
    self.access = access
    self.name = name
  }

  /// Bytes when encoded.
  public var size: Int { 5 + name.utf8.count }

  /// Takes the entry at `offset` and moves `offset` behind it. Nil at the end, and when there is no well-formed one.
  public init?(_ bytes: RawSpan, at offset: inout Int) {
    guard
      let number = bytes.half(at: offset), let peripheralClass = bytes.byte(at: offset &+ 2),
      let access = bytes.byte(at: offset &+ 3), let length = bytes.byte(at: offset &+ 4),
      let name = bytes.name(at: offset &+ 5, count: Int(length), limit: maximumName)
    else { return nil }
    self.number = number
    self.peripheralClass = peripheralClass
    self.access = Access(rawValue: access)
    self.name = name
    offset = offset &+ size
  }

  /// - Precondition: Room for `size` bytes at `offset`; a name of at most `maximumName` bytes.
  public func encode(into bytes: inout MutableRawSpan, at offset: Int) {
    bytes.put(number, at: offset)
    bytes.put(peripheralClass, at: offset + 2)
    bytes.put(access.rawValue, at: offset + 3)
    bytes.put(UInt8(truncatingIfNeeded: name.utf8.count), at: offset + 4)
    var place = offset + 5
    for byte in name.utf8 {
      bytes.put(byte, at: place)
      place += 1
    }
  }
}
