import BrokerProtocol
import CLinux
import Linux
import Text

/// A UART that the kernel shows as a terminal: a real one by its path, or a simulated one, of which this side holds a
/// pseudo-terminal's master and a person may open the slave.
final class SerialPort {
  private enum Kind {
    case real
    /// The slave is kept open, so that its settings stay and the line never hangs up. The line's settings are kept here:
    /// a pseudo-terminal knows speeds, but has 8 data bits and no parity whatever it is told.
    case simulated(slave: Int32, UARTSettings)
  }

  private(set) var fileDescriptor: Int32
  private var kind: Kind
  /// What a client has set: set again when the terminal is opened again.
  private var configured: UARTSettings?
  /// The terminal is a pseudo-terminal's slave. When it is gone its number is given to the next one, which is somebody else's.
  private var isPseudo = false
  /// The symbolic link that `path` was when it was opened, so that a new one of the same name is told from it; 0: none.
  private var link: UInt64 = 0
  /// Overruns before the counter that the kernel has now, and what that said last.
  private var overrunsBefore: UInt32 = 0
  private var overrunsSeen: UInt32 = 0
  /// What a person opens.
  let path: String
  /// A simulated line's other name.
  private var name: LineName?

  /// Opens a terminal and locks it (flock(2)); raw, with its speed as it is.
  ///
  /// - Throws: EBUSY when somebody else holds it so, ENOTTY when it is no terminal.
  init(path: String) throws(Errno) {
    self.path = path
    kind = .real
    fileDescriptor = -1
    try reopen()
  }

  /// A simulated UART at 115200 8N1.
  init(simulated: ()) throws(Errno) {
    var name = [CChar](repeating: 0, count: 64)
    let master = try check(unsafe lx_open_pty(&name, name.count))
    path = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let slave: Int32
    do throws(Errno) {
      slave = try check(unsafe lx_open(path.systemPath, O_RDWR | O_NOCTTY, 0))
    } catch {
      _ = close(master)
      throw error
    }
    fileDescriptor = master
    let settings = UARTSettings(baud: 115_200)
    kind = .simulated(slave: slave, settings)
    try makeRaw()
    try configure(settings)
  }

  deinit {
    if fileDescriptor >= 0 { _ = close(fileDescriptor) }
    if case .simulated(let slave, _) = kind { _ = close(slave) }
  }

  /// A simulated UART has nothing that could fail.
  func closeDevice() {
    guard case .real = kind, fileDescriptor >= 0 else { return }
    _ = close(fileDescriptor)
    fileDescriptor = -1
  }

  func reopen() throws(Errno) {
    guard case .real = kind else { return }
    closeDevice()
    let link = unsafe lx_link_stamp(path.systemPath)
    if isPseudo, link == self.link, unsafe lx_path_is_devpts(path.systemPath) != 0 { throw Errno(ENXIO) }
    // Without O_NONBLOCK the kernel would wait for a carrier here.
    let opened = try check(unsafe lx_open(path.systemPath, O_RDWR | O_NOCTTY | O_NONBLOCK, 0))
    fileDescriptor = opened
    do throws(Errno) {
      // A lock, as picocom and agetty take it. Not TIOCEXCL: stty -F should still be able to look.
      guard flock(opened, LOCK_EX | LOCK_NB) == 0 else { throw lx_errno() == EWOULDBLOCK ? Errno(EBUSY) : .last }
      try makeRaw()
      if let configured { try configure(configured) }
      isPseudo = lx_is_devpts(opened) != 0
      self.link = link
      // The driver may begin to count anew.
      let count = lx_tty_overruns(opened)
      overrunsBefore = overrunsBefore &+ overrunsSeen &- UInt32(truncatingIfNeeded: max(0, count))
      overrunsSeen = UInt32(truncatingIfNeeded: max(0, count))
    } catch {
      _ = close(opened)
      fileDescriptor = -1
      throw error
    }
  }

  var text: String {
    guard case .simulated = kind else { return path }
    return "\(path) (simulated\(name.map { "; also \($0.path)" } ?? ""))"
  }

  /// Gives a simulated line the name `path`. A real one keeps its own.
  func publish(as path: String) throws(Errno) {
    if case .simulated = kind { name = try LineName(path, of: self.path) }
  }

  // ---- Bytes ---------------------------------------------------------------------------------------------------------

  func write(_ bytes: RawSpan, from start: Int) -> DeviceResult {
    let count = unsafe bytes.withUnsafeBytes { unsafe CLinux.write(fileDescriptor, $0.baseAddress! + start, $0.count - start) }
    return result(count)
  }

  /// Reads once, as much as `buffer` has room for in one piece.
  func read(into buffer: inout ByteQueue) -> DeviceResult {
    let number = fileDescriptor
    let count = unsafe buffer.fill { space in unsafe CLinux.read(number, space.baseAddress, space.count) }
    if count == 0, case .real = kind { return .failed(Errno(ENODEV)) }  // end of file: the line is gone
    return result(count)
  }

  private func result(_ count: Int) -> DeviceResult {
    if count > 0 { return .done(count) }
    if count == 0 { return .wouldBlock }
    let errno = Errno.last
    return errno.code == EAGAIN || errno.code == EINTR ? .wouldBlock : .failed(errno)
  }

  /// For a simulated UART the bytes have left when the pseudo-terminal has them.
  var unsent: Int {
    guard case .real = kind else { return 0 }
    let queued = lx_tty_unsent(fileDescriptor)
    if queued > 0 { return Int(queued) }
    return lx_tty_transmitter_empty(fileDescriptor) == 0 ? 1 : 0
  }

  var isSimulated: Bool { if case .simulated = kind { true } else { false } }

  var tellsUnsent: Bool { !isPseudo && !isSimulated }

  /// Counts on while the device is gone, and when it is opened again.
  var overruns: UInt32 {
    guard case .real = kind else { return 0 }
    let count = fileDescriptor < 0 ? -1 : lx_tty_overruns(fileDescriptor)
    if count >= 0 { overrunsSeen = UInt32(truncatingIfNeeded: count) }
    return overrunsBefore &+ overrunsSeen
  }

  /// A simulated line has sent what its pseudo-terminal took: there is nothing to throw away.
  func discardOutput() -> Int? {
    guard case .real = kind else { return 0 }
    let unsent = tellsUnsent ? unsent : nil
    _ = lx_tty_flush(fileDescriptor, lx_TCOFLUSH)
    return unsent
  }

  /// By reading, which counts exactly. A line that sends all the time is cut off after 1 MiB.
  func discardInput(waiting: UInt64) -> Int {
    guard fileDescriptor >= 0 else { return 0 }
    var space = [UInt8](repeating: 0, count: 4096)
    var discarded = 0
    // A line that never stops is not waited for.
    var waits = waiting > 0 ? 5 : 0
    while discarded < 1 << 20 {
      let count = unsafe space.withUnsafeMutableBytes { unsafe CLinux.read(fileDescriptor, $0.baseAddress, $0.count) }
      if count > 0 {
        discarded += count
      } else if count == 0 || lx_errno() != EAGAIN || waits == 0 || lx_wait_readable(fileDescriptor, waiting) == 0 {
        break
      } else {
        waits -= 1
      }
    }
    return discarded
  }

  /// What becomes of it after a failure: the end of a sentence.
  var reopenText: String {
    isPseudo && link == 0
      ? "a pseudo-terminal that is gone is not opened again, since its name may be another program's by now: start brokerd with the new one"
      : "it will be opened again when somebody asks for it"
  }

  // ---- Settings (ioctl_tty(2): termios2, any speed) ------------------------------------------------------------------

  /// The end that has the line's settings.
  private var settingsDescriptor: Int32 {
    switch kind {
    case .real: fileDescriptor
    case .simulated(let slave, _): slave
    }
  }

  private func readTermios() throws(Errno) -> termios2 {
    var t = termios2()
    _ = try check(unsafe lx_tty_get(settingsDescriptor, &t))
    return t
  }

  /// Bytes pass as they are, in both directions.
  private func makeRaw() throws(Errno) {
    var t = try readTermios()
    t.c_iflag = 0
    t.c_oflag = 0
    t.c_lflag = 0
    t.c_cflag = (t.c_cflag & ~(lx_CSIZE | lx_PARENB)) | lx_CS8 | lx_CREAD | lx_CLOCAL
    _ = try check(unsafe lx_tty_set(settingsDescriptor, &t))
  }

  var settings: UARTSettings {
    get throws(Errno) {
      if case .simulated(_, let settings) = kind { return settings }
      let t = try readTermios()
      let size = t.c_cflag & lx_CSIZE
      let parity: UARTSettings.Parity =
        if t.c_cflag & lx_PARENB == 0 { .none } else if t.c_cflag & lx_CMSPAR != 0 {
          t.c_cflag & lx_PARODD != 0 ? .mark : .space
        } else { t.c_cflag & lx_PARODD != 0 ? .odd : .even }
      return UARTSettings(
        baud: t.c_ospeed, dataBits: size == lx_CS5 ? 5 : size == lx_CS6 ? 6 : size == lx_CS7 ? 7 : 8, parity: parity,
        stopBits: t.c_cflag & lx_CSTOPB != 0 ? 2 : 1, rtscts: t.c_cflag & lx_CRTSCTS != 0,
        xonxoff: t.c_iflag & lx_IXON != 0)
    }
  }

  func configure(_ wanted: UARTSettings) throws(Errno) {
    let old = try readTermios()
    var t = old
    if case .simulated(let slave, _) = kind {
      t.c_cflag = (t.c_cflag & ~(lx_CBAUD | lx_CBAUD << lx_IBSHIFT)) | lx_speed_bits(wanted.baud)
      t.c_ispeed = wanted.baud
      t.c_ospeed = wanted.baud
      _ = try check(unsafe lx_tty_set(slave, &t))
      kind = .simulated(slave: slave, wanted)
      return
    }
    t.c_cflag &= ~(lx_CBAUD | lx_CBAUD << lx_IBSHIFT | lx_CSIZE | lx_PARENB | lx_PARODD | lx_CMSPAR | lx_CSTOPB | lx_CRTSCTS)
    // A speed with a number of its own in <asm/termbits.h> is set by it, so that stty and older drivers know it too.
    t.c_cflag |= lx_speed_bits(wanted.baud)
    t.c_ispeed = wanted.baud
    t.c_ospeed = wanted.baud
    t.c_cflag |= wanted.dataBits == 5 ? lx_CS5 : wanted.dataBits == 6 ? lx_CS6 : wanted.dataBits == 7 ? lx_CS7 : lx_CS8
    switch wanted.parity {
    case .none: break
    case .odd: t.c_cflag |= lx_PARENB | lx_PARODD
    case .even: t.c_cflag |= lx_PARENB
    case .mark: t.c_cflag |= lx_PARENB | lx_CMSPAR | lx_PARODD
    case .space: t.c_cflag |= lx_PARENB | lx_CMSPAR
    }
    if wanted.stopBits == 2 { t.c_cflag |= lx_CSTOPB }
    if wanted.rtscts { t.c_cflag |= lx_CRTSCTS }
    t.c_iflag = wanted.xonxoff ? lx_IXON | lx_IXOFF : 0
    _ = try check(unsafe lx_tty_set(settingsDescriptor, &t))
    // The kernel says yes and does what it can. More than 3 % off the speed is no longer the same speed.
    let got = try settings
    let difference = Int64(got.baud) - Int64(wanted.baud)
    guard
      difference.magnitude <= UInt64(wanted.baud) * 3 / 100, got.dataBits == wanted.dataBits,
      got.parity == wanted.parity, got.stopBits == wanted.stopBits, got.rtscts == wanted.rtscts
    else {
      var t = old
      _ = unsafe lx_tty_set(settingsDescriptor, &t)
      throw Errno(EINVAL)
    }
    configured = wanted
  }
}
