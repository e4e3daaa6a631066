/// What a peer did that no honest peer does. The link is dead until the peer starts a new session (Spec 3 §5).
public enum RingError: Error, Equatable, Sendable {
  /// A line's stamp is neither this position's, nor the previous lap's, nor 0 (Spec 2 §4).
  case badStamp(position: UInt32)
  /// A message's length is 0 or beyond the ring's maximum (Spec 2 §4).
  case badLength(position: UInt32, length: UInt32)
  /// The peer claims to have read what was never sent, or to have un-read something (Spec 2 §5).
  case badCredit(UInt32)

  /// What goes into the error word, for the peer and for tools (Spec 3 §5).
  public var reason: PoisonReason {
    switch self {
    case .badStamp: .badStamp
    case .badLength: .badLength
    case .badCredit: .badCredit
    }
  }
}

/// The error word's values (Spec 3 §5).
public enum PoisonReason: UInt32, Error, Sendable {
  case none = 0
  case badStamp = 1
  case badLength = 2
  case badCredit = 3
  /// A frame that the protocol above can't parse (Spec 4 §2).
  case badFrame = 4

  public var text: String {
    switch self {
    case .none: "no error"
    case .badStamp: "a ring line had an impossible stamp"
    case .badLength: "a message had an impossible length"
    case .badCredit: "the credit word was impossible"
    case .badFrame: "a frame could not be parsed"
    }
  }
}
