import CLinux

/// How a program ends, in the numbers of sysexits(3).
public enum ExitCode: Int32, Sendable {
  case ok = 0
  /// The command line makes no sense.
  case usage = 64
  /// A device tree or other input is malformed.
  case dataError = 65
  /// An input file can't be read.
  case noInput = 66
  /// No such peripheral, or no such guest.
  case noHost = 68
  /// The owner doesn't answer.
  case unavailable = 69
  case software = 70
  case osError = 71
  /// A device or system file is missing or in use.
  case osFile = 72
  /// The shared region can't be made or mapped.
  case cantCreate = 73
  /// A device failed; some of it may have been done.
  case ioError = 74
  /// Try again: the deadline passed, or everything is busy.
  case tempFail = 75
  /// The two sides don't speak the same protocol or layout.
  case proto = 76
  /// Not granted, or not permitted.
  case noPermission = 77
  /// A device tree says something that doesn't fit.
  case config = 78
  // A signal ended it, as a shell reports that: 128 and the signal's number.
  /// SIGHUP: the terminal is gone.
  case hungUp = 129
  /// SIGINT
  case interrupted = 130
  /// SIGTERM
  case terminated = 143

  /// What the signal that made `wasInterrupted` true means.
  public static var ofSignal: ExitCode { ExitCode(rawValue: 128 + lx_caught_signal()) ?? .interrupted }
}
