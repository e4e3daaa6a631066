import CLinux
import Foundation

/// A pair of terminal ends made by the kernel: what is written to one comes out of the other. The slave stands for a real
/// serial port, through the kernel's whole tty layer.
public final class TerminalPair: @unchecked Sendable {
  public let master: Int32
  public let slavePath: String
  /// Kept open, so that the master sees no hang-up while brokerd restarts.
  private let slave: Int32

  public init() throws {
    var name = [CChar](repeating: 0, count: 64)
    master = lx_open_pty(&name, name.count)
    slavePath = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    slave = open(slavePath, O_RDWR | O_NOCTTY)
    guard master >= 0, slave >= 0 else { throw POSIXError(.ENXIO) }
    var t = termios2()
    _ = lx_tty_get(slave, &t)
    t.c_lflag = 0
    t.c_oflag = 0
    t.c_iflag = 0
    _ = lx_tty_set(slave, &t)
  }

  deinit {
    close(master)
    close(slave)
  }

  /// Reads until `count` bytes came.
  public func read(_ count: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while bytes.count < count {
      let got = CLinux.read(master, &buffer, min(buffer.count, count - bytes.count))
      if got > 0 { bytes += buffer[..<got] } else { usleep(500) }
    }
    return bytes
  }

  public func write(_ bytes: [UInt8]) {
    var done = 0
    while done < bytes.count {
      let put = bytes.withUnsafeBytes { CLinux.write(master, $0.baseAddress! + done, $0.count - done) }
      if put > 0 { done += put } else { usleep(500) }
    }
  }
}
