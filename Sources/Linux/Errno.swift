import CLinux

/// An error number of the kernel, thrown as it is. Whoever prints it adds what was being done to what.
public struct Errno: Error, Equatable, Sendable {
  /// As in `<asm-generic/errno.h>`, or what this machine's kernel uses instead.
  public let code: Int32

  public init(_ code: Int32) { self.code = code }

  /// What the last failed call left in `errno`.
  public static var last: Errno { Errno(lx_errno()) }

  /// strerror(3): "Permission denied".
  public var text: String { unsafe String(cString: lx_strerror(code)) }

  /// EACCES or EPERM.
  public var isPermission: Bool { code == EACCES || code == EPERM }

  /// ENOENT.
  public var isMissing: Bool { code == ENOENT }

  /// EINTR.
  public var isInterruption: Bool { code == EINTR }

  public static var interrupted: Errno { Errno(EINTR) }
  public static var io: Errno { Errno(EIO) }
  public static var fileTooBig: Errno { Errno(EFBIG) }
}

/// The call's result, or the error that it left in `errno` when it is negative.
@inline(__always)
public func check(_ result: Int32) throws(Errno) -> Int32 {
  guard result >= 0 else { throw .last }
  return result
}
