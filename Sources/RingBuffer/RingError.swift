/// What a peer did that no honest peer does. The link is dead until the peer starts a new session (Spec 3 §5).
public enum RingError: Error, Equatable, Sendable {
  /// A line's header is of a lap that it can't be of, or has a tag that isn't one or can't be there (Spec 2 §4).
  case badHeader(position: UInt32)
  /// A message is longer than the ring's maximum or the receiver's buffer (Spec 2 §4).
  case tooLong(position: UInt32)
  /// The peer claims to have read what was never sent, or to have un-read something (Spec 2 §5).
  case badCredit(UInt32)

  /// What goes into the error word, for the peer and for tools (Spec 3 §5).
  public var reason: PoisonReason {
    switch self {
    case .badHeader: .badHeader
    case .tooLong: .tooLong
    case .badCredit: .badCredit
    }
  }
}

/// The error word's values (Spec 3 §5).
public enum PoisonReason: UInt32, Error, Sendable {
  case none = 0
  case badHeader = 1
  case tooLong = 2
  case badCredit = 3
  /// A frame that the protocol above can't parse (Spec 4 §2).
  case badFrame = 4
  /// What one side stores the other doesn't see as it was stored (Spec 2 §1).
  case badMemory = 5
  /// A borrower with requests under way showed no heartbeat for the session's time-out (Spec 3 §4).
  case silent = 6

  public var text: String {
    switch self {
    case .none: "no error"
    case .badHeader: "a ring line had an impossible header"
    case .tooLong: "a message was too long"
    case .badCredit: "the credit word was impossible"
    case .badFrame: "a frame could not be parsed"
    case .badMemory:
      "what one side stores in the shared memory the other doesn't see: both must map it alike, see mapping in the device trees"
    case .silent: "a borrower with requests under way was silent for too long"
    }
  }
}
