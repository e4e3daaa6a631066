/// How a request ended, in the numbers of Linux's `<asm-generic/errno.h>` whatever the guest's own architecture counts
/// (Spec 4 §4). Any number is a status, since an owner passes on what its kernel says.
public struct Status: RawRepresentable, Equatable, Sendable {
  public var rawValue: UInt16

  @inlinable
  public init(rawValue: UInt16) { self.rawValue = rawValue }

  @inlinable public static var ok: Status { Status(rawValue: 0) }
  /// The device failed.
  @inlinable public static var io: Status { Status(rawValue: 5) }
  /// The peripheral exists, but its device is gone or can't be opened.
  @inlinable public static var deviceGone: Status { Status(rawValue: 6) }
  /// The peripheral exists, but this guest has no grant, or none for this.
  @inlinable public static var access: Status { Status(rawValue: 13) }
  @inlinable public static var busy: Status { Status(rawValue: 16) }
  /// No such peripheral.
  @inlinable public static var noDevice: Status { Status(rawValue: 19) }
  /// An argument out of its range.
  @inlinable public static var invalid: Status { Status(rawValue: 22) }
  /// The owner doesn't know the operation.
  @inlinable public static var notSupported: Status { Status(rawValue: 95) }
  /// The deadline passed first.
  @inlinable public static var timedOut: Status { Status(rawValue: 110) }
  /// The owner ends, or another request of the group failed first.
  @inlinable public static var canceled: Status { Status(rawValue: 125) }

  /// "EACCES", or "status 4711".
  public var name: String {
    switch rawValue {
    case 0: "OK"
    case 5: "EIO"
    case 6: "ENXIO"
    case 11: "EAGAIN"
    case 13: "EACCES"
    case 16: "EBUSY"
    case 19: "ENODEV"
    case 22: "EINVAL"
    case 90: "EMSGSIZE"
    case 95: "EOPNOTSUPP"
    case 110: "ETIMEDOUT"
    case 125: "ECANCELED"
    default: "status \(rawValue)"
    }
  }
}
