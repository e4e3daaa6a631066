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

  /// What this side tells its peer about its doorbell.
  public var bell: Bell {
    switch self {
    case .futex: Bell(.futex)
    case .poll: Bell(.poll)
    case .interrupt(let interrupt, _): interrupt.bell
    }
  }

  /// How often a side with a futex looks whose peer doesn't ring it, since the two device trees don't agree; nanoseconds.
  public static var standardPoll: UInt64 { 200_000 }

  /// With timed polls no sleep is shorter than this part of the time for which nothing has come, nor longer for its sake than
  /// `restInterval`: what comes late comes later by a sixteenth at most, and looking in vain costs next to nothing.
  static var restDivisor: UInt64 { 16 }
  public static var restInterval: UInt64 { 2_000_000 }

  /// How long to sleep between two looks where nothing rings.
  ///
  /// - Parameters:
  ///   - interval: By the device tree.
  ///   - idle: For how long nothing has come; all in nanoseconds.
  public static func pollInterval(_ interval: UInt64, idle: UInt64) -> UInt64 {
    max(interval, min(idle / restDivisor, restInterval))
  }

  /// What the peer does otherwise than this side, so that one of them is not rung: a sentence's part; nil when they agree.
  public func disagreement(_ endpoint: borrowing Endpoint) -> String? {
    let theirs = endpoint.peerBell.kind
    return switch self {
    case .futex where theirs == .poll: "its doorbell there is \"poll\", here \"futex\""
    case .poll where theirs == .futex: "its doorbell there is \"futex\", here \"poll\""
    default: nil
    }
  }

  /// What to wait for besides, and how long to sleep at most where nothing rings; nil where something does.
  public func pollInterval(_ endpoint: borrowing Endpoint) -> UInt64? {
    switch self {
    case .futex: endpoint.isEstablished && endpoint.peerBell.kind == .poll ? Self.standardPoll : nil
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
    // A peer that sleeps on a futex is another process of this kernel, where the trees don't agree.
    case .poll: if sleeper.bell.kind == .futex { unsafe _ = lx_futex_wake(sleeper.doorbell.address) }
    case .interrupt(let interrupt, _): interrupt.ring(sleeper.bell)
    }
  }

  /// Sleeps until the peer rings or `nanoseconds` are over. May return early.
  ///
  /// - Parameter idle: For how long nothing has come, in nanoseconds.
  ///
  /// Sample → arm → fence → look again → sleep: a message published at any point is seen or rings (Spec 2 §6).
  public func sleep(_ endpoint: inout Endpoint, atMost nanoseconds: UInt64, idle: UInt64 = 0) {
    let sampled = endpoint.arm()
    sleepFence()  // SP-3
    if !endpoint.needsAttention {
      let limit = min(nanoseconds, pollInterval(endpoint).map { Self.pollInterval($0, idle: idle) } ?? Self.backstop)
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
