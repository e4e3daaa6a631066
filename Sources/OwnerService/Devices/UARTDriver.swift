import BrokerProtocol
import Linux

/// What a non-blocking operation on a device came to.
enum DeviceResult {
  /// So many bytes, at least 1.
  case done(Int)
  /// Not now; the file descriptor tells when.
  case wouldBlock
  case failed(Errno)
}

/// A UART behind one of the ways to have one. No operation here waits for the line.
enum UARTDriver {
  /// A terminal of the kernel, or a simulated UART whose far end is a pseudo-terminal.
  case port(SerialPort)
  /// A transmitter with nothing behind it, which is always ready. For measuring everything but the device.
  case null(NullUART)

  /// For epoll; nil when there is nothing to wait for.
  var fileDescriptor: Int32? {
    switch self {
    case .port(let port): port.fileDescriptor
    case .null: nil
    }
  }

  @inline(__always)
  func write(_ bytes: RawSpan, from start: Int) -> DeviceResult {
    switch self {
    case .port(let port): port.write(bytes, from: start)
    case .null(let null): null.write(bytes, from: start)
    }
  }

  func read(into buffer: inout ByteQueue) -> DeviceResult {
    switch self {
    case .port(let port): port.read(into: &buffer)
    case .null: .wouldBlock
    }
  }

  /// Bytes that were written and have not left the transmitter; 0 when all have.
  @inline(__always)
  var unsent: Int {
    switch self {
    case .port(let port): port.unsent
    case .null: 0
    }
  }

  /// Received bytes that were lost on the way here, ever. Only growth means something; wraps at 2^32.
  var overruns: UInt32 {
    switch self {
    case .port(let port): port.overruns
    case .null: 0
    }
  }

  /// Whether `unsent` tells what the far end hasn't got yet. A pseudo-terminal takes bytes for a far end that may never read them.
  var tellsUnsent: Bool {
    switch self {
    case .port(let port): port.tellsUnsent
    case .null: true
    }
  }

  /// Whether bytes that the far end hasn't read are gone when the owner ends.
  var losesUnreadBytes: Bool {
    switch self {
    case .port(let port): port.isSimulated
    case .null: false
    }
  }

  /// Throws away what was written and has not left.
  ///
  /// - Returns: How many bytes; nil when nobody can tell.
  func discardOutput() -> Int? {
    switch self {
    case .port(let port): port.discardOutput()
    case .null: 0
    }
  }

  /// Throws away what was received and is still in the kernel.
  ///
  /// - Parameter waiting: Nanoseconds to wait for more, each time that there is nothing.
  /// - Returns: How many bytes.
  func discardInput(waiting: UInt64 = 0) -> Int {
    switch self {
    case .port(let port): port.discardInput(waiting: waiting)
    case .null: 0
    }
  }

  var settings: UARTSettings {
    get throws(Errno) {
      switch self {
      case .port(let port): try port.settings
      case .null(let null): null.settings
      }
    }
  }

  /// Takes effect at once: call it when nothing is unsent.
  ///
  /// - Throws: EINVAL when the hardware can't; then the old settings stay.
  func configure(_ settings: UARTSettings) throws(Errno) {
    switch self {
    case .port(let port): try port.configure(settings)
    case .null(let null): null.settings = settings
    }
  }

  /// Lets the device go after it failed.
  func close() {
    switch self {
    case .port(let port): port.closeDevice()
    case .null: break
    }
  }

  /// Opens the device again.
  func reopen() throws(Errno) {
    switch self {
    case .port(let port): try port.reopen()
    case .null: break
    }
  }

  /// What becomes of it after a failure: the end of a sentence.
  var reopenText: String {
    switch self {
    case .port(let port): port.reopenText
    case .null: ""
    }
  }

  /// "/dev/ttyAMA2", "/dev/pts/3 (simulated)".
  var text: String {
    switch self {
    case .port(let port): port.text
    case .null: "nothing (simulated, always ready)"
    }
  }
}

final class NullUART {
  var settings = UARTSettings(baud: 115_200)

  @inline(__always)
  func write(_ bytes: RawSpan, from start: Int) -> DeviceResult { .done(bytes.byteCount &- start) }
}
