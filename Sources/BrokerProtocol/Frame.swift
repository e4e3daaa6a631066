/// Version of what the frames mean (Spec 4 §1). The owner states its own in the link's header.
public var protocolVersion: UInt32 { 1 }

/// Bytes of data in one request or response at most, where the ring is large enough for it (Spec 4 §1).
public var maximumData: Int { 4096 }

/// Longest name of a peripheral, in bytes (Spec, device tree §2).
public var maximumName: Int { 31 }

/// What a borrower asks of an owner. `size` bytes, then the operation's data (Spec 4 §2).
public struct Request: Equatable, Sendable {
  public static var size: Int { 20 }

  /// Chosen by the borrower, returned in the response. Unique among its outstanding requests.
  public var id: UInt32
  /// A `PeripheralClass`; kept as it came, since a newer peer may know more of them.
  public var peripheralClass: UInt8
  /// An operation of that class.
  public var operation: UInt8
  /// The peripheral's number, as `BrokerOperation.find` returned it.
  public var peripheral: UInt16
  /// How long the owner may wait for the device, in milliseconds. 0: not at all.
  public var timeout: UInt32
  /// Two numbers that the operation gives a meaning.
  public var argument0: UInt32
  public var argument1: UInt32

  @inlinable
  public init(
    id: UInt32, peripheralClass: PeripheralClass, operation: UInt8, peripheral: UInt16 = 0, timeout: UInt32 = 0,
    argument0: UInt32 = 0, argument1: UInt32 = 0
  ) {
    self.id = id
    self.peripheralClass = peripheralClass.rawValue
    self.operation = operation
    self.peripheral = peripheral
    self.timeout = timeout
    self.argument0 = argument0
    self.argument1 = argument1
  }

  /// - Returns: Nil when the frame is too short to be one.
  @inlinable @inline(__always)
  public init?(_ frame: RawSpan) {
    guard
      let id = frame.word(at: 0), let peripheralClass = frame.byte(at: 4), let operation = frame.byte(at: 5),
      let peripheral = frame.half(at: 6), let timeout = frame.word(at: 8), let argument0 = frame.word(at: 12),
      let argument1 = frame.word(at: 16)
    else { return nil }
    self.id = id
    self.peripheralClass = peripheralClass
    self.operation = operation
    self.peripheral = peripheral
    self.timeout = timeout
    self.argument0 = argument0
    self.argument1 = argument1
  }

  /// - Precondition: Room for `size` bytes.
  @inlinable @inline(__always)
  public func encode(into frame: inout MutableRawSpan) {
    frame.put(id, at: 0)
    frame.put(peripheralClass, at: 4)
    frame.put(operation, at: 5)
    frame.put(peripheral, at: 6)
    frame.put(timeout, at: 8)
    frame.put(argument0, at: 12)
    frame.put(argument1, at: 16)
  }
}

/// What the owner answers. `size` bytes, then the operation's data (Spec 4 §3).
public struct Response: Equatable, Sendable {
  public static var size: Int { 20 }

  /// The request's.
  public var id: UInt32
  public var status: Status
  /// Whether the request reached the device.
  public var executed: Executed
  /// How much was done: bytes, or elements. Counts from the request's start.
  public var count: UInt32
  /// Which element failed, where a request has several; else 0.
  public var failedIndex: UInt32
  /// A number that the operation gives a meaning.
  public var value: UInt32

  @inlinable
  public init(
    id: UInt32, status: Status = .ok, executed: Executed = .yes, count: UInt32 = 0, failedIndex: UInt32 = 0,
    value: UInt32 = 0
  ) {
    self.id = id
    self.status = status
    self.executed = executed
    self.count = count
    self.failedIndex = failedIndex
    self.value = value
  }

  /// - Returns: Nil when the frame is too short to be one, or says something that this version can't mean.
  @inlinable @inline(__always)
  public init?(_ frame: RawSpan) {
    guard
      let id = frame.word(at: 0), let rawStatus = frame.half(at: 4), let rawExecuted = frame.byte(at: 6),
      let executed = Executed(rawValue: rawExecuted), let count = frame.word(at: 8),
      let failedIndex = frame.word(at: 12), let value = frame.word(at: 16)
    else { return nil }
    self.id = id
    self.status = Status(rawValue: rawStatus)
    self.executed = executed
    self.count = count
    self.failedIndex = failedIndex
    self.value = value
  }

  /// - Precondition: Room for `size` bytes.
  @inlinable @inline(__always)
  public func encode(into frame: inout MutableRawSpan) {
    frame.put(id, at: 0)
    frame.put(status.rawValue, at: 4)
    frame.put(executed.rawValue, at: 6)
    frame.put(UInt8(0), at: 7)
    frame.put(count, at: 8)
    frame.put(failedIndex, at: 12)
    frame.put(value, at: 16)
  }
}

/// Whether a request reached the device: what a caller needs to know before it tries again (Spec 4 §5).
public enum Executed: UInt8, Sendable {
  /// It did not, and will not.
  case no = 0
  /// Nobody can tell any more.
  case maybe = 1
  /// It did; `count` says how far.
  case yes = 2

  public var name: String {
    switch self {
    case .no: "no"
    case .maybe: "maybe"
    case .yes: "yes"
    }
  }
}
