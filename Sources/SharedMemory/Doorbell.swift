import CLinux
import Linux
import RingBuffer

/// How a sleeping side learns that its peer published something (Spec 2 §6).
public enum Doorbell: Sendable {
  /// futex(2) on the doorbell word: between processes of one kernel that map the same file.
  case futex
  /// No interrupt at all: a sleeper looks every so many nanoseconds.
  case poll(nanoseconds: UInt64)
  /// Interrupts between guests; `poll` as above is for a side that none comes to, or whose peer makes none.
  case interrupt(Interrupt, poll: UInt64)

  /// The longest sleep while something is expected. Covers a doorbell that never arrives.
  public static var backstop: UInt64 { 100_000_000 }

  public var isFutex: Bool { if case .futex = self { true } else { false } }

  /// Whether spinning can ever see the peer publish something: not where both share the one processor of one kernel.
  public var spinningHelps: Bool { !isFutex || processorCount > 1 }

  /// What this side tells its peer about interrupts.
  public var bell: Bell { if case .interrupt(let interrupt, _) = self { interrupt.bell } else { Bell() } }

  /// What to wait for besides, and how long to sleep at most where nothing rings; nil where something does.
  public func pollInterval(_ endpoint: borrowing Endpoint) -> UInt64? {
    switch self {
    case .futex: nil
    case .poll(let nanoseconds): nanoseconds
    case .interrupt(let interrupt, let poll):
      interrupt.descriptor != nil && (!endpoint.isEstablished || endpoint.peerBell.rings) ? nil : poll
    }
  }

  /// How long to spin for the answer to what was asked, in nanoseconds: where nothing rings, until a peer that slept has looked
  /// and answered. Else both would sleep in turn, each while the other one looks, and every request would take a poll interval.
  public func spin(_ endpoint: borrowing Endpoint, atLeast standard: UInt64) -> UInt64 {
    guard standard > 0, let interval = pollInterval(endpoint) else { return standard }
    return max(standard, min(2 &* interval, 1_000_000))
  }

  /// Wakes the peer if it sleeps and nobody rang yet. Call it after publishing, once for many messages.
  @inline(__always)
  public func ringIfNeeded(_ endpoint: inout Endpoint) {
    if endpoint.shouldRing() { wake(endpoint.sleeper) }
  }

  /// Wakes the peer come what may: at a new session, whose sleep words the peer doesn't know yet.
  public func ring(_ endpoint: inout Endpoint) {
    endpoint.changeDoorbell()
    wake(endpoint.sleeper)
  }

  /// Wakes whoever sleeps, after the doorbell word has been changed.
  public func wake(_ sleeper: Sleeper) {
    switch self {
    // SAFETY: a word of a mapped region; the kernel uses its address only.
    case .futex: unsafe _ = lx_futex_wake(sleeper.doorbell.address)
    case .poll: break
    case .interrupt(let interrupt, _): interrupt.ring(sleeper.bell)
    }
  }

  /// Sleeps until the peer rings or `nanoseconds` are over. May return early.
  ///
  /// Sample → arm → fence → look again → sleep: a message published at any point is seen or rings (Spec 2 §6).
  public func sleep(_ endpoint: inout Endpoint, atMost nanoseconds: UInt64) {
    let sampled = endpoint.arm()
    sleepFence()  // SP-3
    if !endpoint.needsAttention {
      let limit = min(nanoseconds, pollInterval(endpoint) ?? Self.backstop)
      switch self {
      case .futex: unsafe _ = lx_futex_wait(endpoint.incomingDoorbell.address, sampled, limit)
      case .poll: lx_sleep_ns(limit)
      case .interrupt(let interrupt, _):
        // What rang before `arm` only ends the sleep early.
        if let event = interrupt.descriptor {
          if lx_wait_readable(event, limit) != 0 { interrupt.acknowledge() }
        } else {
          lx_sleep_ns(limit)
        }
      }
    }
    endpoint.disarm()
  }
}
