import CLinux
import Linux
import RingBuffer

/// How a sleeping side learns that its peer published something (Spec 2 §6).
public enum Doorbell: Equatable, Sendable {
  /// futex(2) on the doorbell word: between processes of one kernel that map the same file.
  case futex
  /// No interrupt at all: a sleeper looks every so many nanoseconds.
  case poll(nanoseconds: UInt64)

  /// The longest sleep while something is expected. Covers a doorbell that never arrives.
  public static var backstop: UInt64 { 100_000_000 }

  /// Whether spinning can ever see the peer publish something: not where both share the one processor of one kernel.
  public var spinningHelps: Bool { self != .futex || processorCount > 1 }

  /// Wakes the peer if it sleeps and nobody rang yet. Call it after publishing, once for many messages.
  @inline(__always)
  public func ringIfNeeded(_ endpoint: inout Endpoint) {
    if endpoint.shouldRing() { wake(endpoint.outgoingDoorbell) }
  }

  /// Wakes the peer come what may: at a new session, whose sleep words the peer doesn't know yet.
  public func ring(_ endpoint: inout Endpoint) {
    endpoint.changeDoorbell()
    wake(endpoint.outgoingDoorbell)
  }

  /// Wakes whoever sleeps on a doorbell word, which has been changed.
  public func wake(_ word: SharedWord) {
    // SAFETY: a word of a mapped region; the kernel uses its address only.
    if self == .futex { unsafe _ = lx_futex_wake(word.address) }
  }

  /// Sleeps until the peer rings or `nanoseconds` are over. May return early.
  ///
  /// Sample → arm → fence → look again → sleep: a message published at any point is seen or rings (Spec 2 §6).
  public func sleep(_ endpoint: inout Endpoint, atMost nanoseconds: UInt64) {
    let sampled = endpoint.arm()
    sleepFence()  // SP-3
    if !endpoint.needsAttention {
      switch self {
      case .futex: unsafe _ = lx_futex_wait(endpoint.incomingDoorbell.address, sampled, min(nanoseconds, Self.backstop))
      case .poll(let interval): lx_sleep_ns(min(nanoseconds, interval))
      }
    }
    endpoint.disarm()
  }
}
