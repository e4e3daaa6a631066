import BrokerProtocol
import Linux
import Partition
import RingBuffer
import SharedMemory

/// Why a request came to nothing, or to less than was asked for.
public struct AgentError: Error, Sendable {
  public var reason: Reason
  /// Whether the request reached the device: with `no`, trying again is safe.
  public var executed: Executed
  /// How much was done for certain, over all parts of the operation: bytes for a UART.
  public var done = 0
  /// How much may have been done at most, where `executed` is `maybe`.
  public var atMost = 0
  /// The refusal's `value`, which some operations give a meaning (Spec 5 §4).
  public var value: UInt32 = 0

  /// With `noOwner`: the region's file, when no owner has ever used it.
  public var unusedFile: String?

  public init(_ reason: Reason, executed: Executed) {
    self.reason = reason
    self.executed = executed
  }

  public indirect enum Reason: Sendable {
    /// The region can't be reached or is too small.
    case memory(MappingError)
    /// The region went away while it was in use: `Mapping.lossText`.
    case regionLost(String)
    /// The owner describes the region otherwise than this guest's device tree.
    case layoutMismatch(String)
    /// Every channel of the link, so many of them, is in use by processes of this guest.
    case channelsBusy(Int, ChannelHolders)
    /// Nobody takes up the session, and no heartbeat was seen for so many nanoseconds.
    case noOwner(silentFor: UInt64)
    /// The owner was there and fell silent while the request was under way.
    case ownerSilent(silentFor: UInt64)
    /// The owner ended or restarted while the request was under way.
    case connectionReset
    /// The owner lives but did not answer in time.
    case noAnswer(after: UInt64)
    /// One side found the other breaking the protocol.
    case protocolError(PoisonReason)
    /// The owner answered what can't be: a sentence's part.
    case implausible(String)
    /// The owner said no.
    case refused(Status)
    /// More data than one message takes.
    case tooLong(maximum: Int)
    /// The kernel refused something; EINTR when `catchTermination` noted a signal.
    case system(Errno)
  }
}

/// "4.2 s", "850 ms", "184 µs", "95 ns".
public func durationText(_ nanoseconds: UInt64) -> String {
  func text(_ unit: UInt64, _ name: String) -> String {
    let tenths = (nanoseconds + unit / 20) / (unit / 10)
    return tenths < 1000 && tenths % 10 != 0 ? "\(tenths / 10).\(tenths % 10) \(name)" : "\((tenths + 5) / 10) \(name)"
  }
  if nanoseconds < 1000 { return "\(nanoseconds) ns" }
  if nanoseconds < 1_000_000 { return text(1000, "µs") }
  return nanoseconds < 1_000_000_000 ? text(1_000_000, "ms") : text(1_000_000_000, "s")
}
