import Text

/// Operations of class `uart` (Spec 5).
public enum UARTOperation: UInt8, Sendable {
  /// Data: the bytes. `argument0` bit 0: wait until they have left the transmitter. Returns in `count` how many the
  /// device took, in `value` how many bytes had not left it yet, these or earlier ones; with `timedOut`, 4 bytes of data: for how many
  /// milliseconds nothing had moved.
  case write = 1
  /// `argument0`: bytes at most; `argument1`: bytes to wait for. Returns them; `value` is how many were lost before, or
  /// `uartLossUnknown`.
  case read = 2
  /// Returns `UARTSettings`.
  case settings = 3
  /// Data: `UARTSettings`. Returns what the device made of them.
  case configure = 4
  /// `argument0`: bit 0 what was received, bit 1 what is to be sent. `count`: bytes thrown away, where known.
  case flush = 5
}

/// Bit 0 of a write's `argument0`.
public var uartDrain: UInt32 { 1 }

/// Bits 0 and 1 of a flush's `argument0`: what was received, and what is to be sent.
public var uartFlushInput: UInt32 { 1 }
public var uartFlushOutput: UInt32 { 2 }

/// What comes with a write's `timedOut`: for how long the line had stood still (Spec 5 §2).
public struct UARTStandstill: Equatable, Sendable {
  public static var size: Int { 4 }
  /// Since the device took a byte or sent one, or since the request came; the owner looks every 50 ms while something waits.
  public var milliseconds: UInt32

  public init(nanoseconds: UInt64) { milliseconds = UInt32(clamping: nanoseconds / 1_000_000) }

  /// - Returns: Nil when there is none: an owner of an older version doesn't say it.
  public init?(_ data: RawSpan) {
    guard data.byteCount == Self.size, let milliseconds = data.word(at: 0) else { return nil }
    self.milliseconds = milliseconds
  }

  /// - Precondition: Room for `size` bytes at `offset`.
  public func encode(into bytes: inout MutableRawSpan, at offset: Int) { bytes.put(milliseconds, at: offset) }
}

/// A read's `value` when bytes may have been lost, and nobody knows how many.
public var uartLossUnknown: UInt32 { .max }

extension UARTOperation {
  /// Whether the arguments, and the length of the data, are ones that the operation has (Spec 5).
  public func allows(_ request: Request, data count: Int) -> Bool {
    let (first, second) = (request.argument0, request.argument1)
    switch self {
    case .write: return first & ~uartDrain | second == 0
    case .read: return first > 0 && second <= first && count == 0
    case .settings: return first | second == 0 && count == 0
    case .configure: return first | second == 0 && count == UARTSettings.size
    case .flush: return first != 0 && first & ~(uartFlushInput | uartFlushOutput) | second == 0 && count == 0
    }
  }
}

/// A serial line's settings. `size` bytes on the wire (Spec 5 §4).
public struct UARTSettings: Equatable, Sendable {
  public static var size: Int { 8 }

  public enum Parity: UInt8, Sendable {
    case none = 0
    case odd = 1
    case even = 2
    case mark = 3
    case space = 4

    public var name: String {
      switch self {
      case .none: "none"
      case .odd: "odd"
      case .even: "even"
      case .mark: "mark"
      case .space: "space"
      }
    }

    /// ser2net's letter.
    var letter: UInt8 {
      switch self {
      case .none: 0x6e  // n
      case .odd: 0x6f  // o
      case .even: 0x65  // e
      case .mark: 0x6d  // m
      case .space: 0x73  // s
      }
    }
  }

  /// Bits per second; any number the hardware can make.
  public var baud: UInt32
  /// 5...8.
  public var dataBits: UInt8
  public var parity: Parity
  /// 1 or 2.
  public var stopBits: UInt8
  /// Hardware flow control, by RTS and CTS.
  public var rtscts: Bool
  /// Software flow control, by the bytes XON and XOFF.
  public var xonxoff: Bool

  public init(
    baud: UInt32, dataBits: UInt8 = 8, parity: Parity = .none, stopBits: UInt8 = 1, rtscts: Bool = false,
    xonxoff: Bool = false
  ) {
    self.baud = baud
    self.dataBits = dataBits
    self.parity = parity
    self.stopBits = stopBits
    self.rtscts = rtscts
    self.xonxoff = xonxoff
  }

  /// - Returns: Nil unless the bytes are settings that exist.
  public init?(_ data: RawSpan) {
    guard
      data.byteCount == Self.size, let baud = data.word(at: 0), baud > 0, let dataBits = data.byte(at: 4),
      (5...8).contains(dataBits), let rawParity = data.byte(at: 5), let parity = Parity(rawValue: rawParity),
      let stopBits = data.byte(at: 6), stopBits == 1 || stopBits == 2, let flow = data.byte(at: 7), flow <= 3
    else { return nil }
    self.init(
      baud: baud, dataBits: dataBits, parity: parity, stopBits: stopBits, rtscts: flow & 1 != 0, xonxoff: flow & 2 != 0)
  }

  /// - Precondition: Room for `size` bytes at `offset`.
  public func encode(into bytes: inout MutableRawSpan, at offset: Int) {
    bytes.put(baud, at: offset)
    bytes.put(dataBits, at: offset + 4)
    bytes.put(parity.rawValue, at: offset + 5)
    bytes.put(stopBits, at: offset + 6)
    bytes.put(UInt8((rtscts ? 1 : 0) | (xonxoff ? 2 : 0)), at: offset + 7)
  }

  /// "115200n81", "9600e71 rtscts": ser2net's grammar.
  public var text: String {
    let frame = [parity.letter, 0x30 + dataBits, 0x30 + stopBits]
    return "\(baud)\(String(decoding: frame, as: UTF8.self))\(rtscts ? " rtscts" : "")\(xonxoff ? " xonxoff" : "")"
  }

  /// Changes what `word` names: "115200", "115200n81", "115200n8", "115200,8n1", "rtscts", "xonxoff", "noflow".
  ///
  /// - Returns: False when it is none of these; then nothing is changed.
  public mutating func apply(_ word: String) -> Bool {
    if sameText(word, "noflow") {
      rtscts = false
      xonxoff = false
      return true
    }
    if sameText(word, "rtscts") {
      rtscts = true
      return true
    }
    if sameText(word, "xonxoff") {
      xonxoff = true
      return true
    }

    var baud: UInt32 = 0
    var rest = Array(word.utf8)[...]
    while let digit = rest.first, digit >= 0x30, digit <= 0x39 {
      let (product, tooLarge) = baud.multipliedReportingOverflow(by: 10)
      let (sum, carried) = product.addingReportingOverflow(UInt32(digit - 0x30))
      if tooLarge || carried { return false }
      baud = sum
      rest = rest.dropFirst()
    }
    guard baud > 0 else { return false }
    if rest.isEmpty {
      self.baud = baud
      return true
    }
    // "n81", as ser2net has it; "n8", as the kernel's console= does, with one stop bit; ",8n1", as people say it.
    var letters = Array(rest)
    if letters[0] == 0x2c, letters.count == 4 { letters = [letters[2], letters[1], letters[3]] }
    if letters.count == 2 { letters.append(0x31) }
    guard letters.count == 3 else { return false }
    // An upper-case letter is the same.
    guard
      let parity = [Parity.none, .odd, .even, .mark, .space].first(where: { $0.letter == letters[0] | 0x20 }),
      letters[1] >= 0x35, letters[1] <= 0x38, letters[2] == 0x31 || letters[2] == 0x32
    else { return false }
    self.baud = baud
    self.parity = parity
    dataBits = letters[1] - 0x30
    stopBits = letters[2] - 0x30
    return true
  }
}
