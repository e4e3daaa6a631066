/// What an owner concludes from a borrower's heartbeat: whether a request's sender still lives (Spec 3 §4).
///
/// Only a borrower with something under way has to beat, so that one that asks for nothing is never suspect.
struct Pulse {
  /// After so much silence nothing that waited is begun for it, in nanoseconds of attended time: two heartbeats and some.
  static var suspectAfter: UInt64 { 500_000_000 }
  /// After so much silence its session is over: ten heartbeats, as an owner's.
  static var goneAfter: UInt64 { 2_000_000_000 }

  enum Finding: Equatable { case alive, suspect, gone }

  /// The heartbeat that was seen last; nil while nothing is under way.
  private var beat: UInt32?
  /// When it was new, in attended time.
  private var since: UInt64 = 0
  private(set) var finding = Finding.alive
  /// A new heartbeat must come before anything is done for it: the owner itself was away, and nobody knows what it missed.
  private(set) var isAwaited = false

  /// Nothing is under way.
  mutating func rest(attended: UInt64) {
    finding = .alive
    if isAwaited { since = attended } else { beat = nil }
  }

  /// The owner was away: whoever asked for something before may be dead by now.
  mutating func distrust(_ current: UInt32, attended: UInt64) {
    beat = current
    since = attended
    isAwaited = true
  }

  /// A session begins: who begins one lives.
  mutating func begin() {
    isAwaited = false
    beat = nil
    finding = .alive
  }

  /// Something is under way: looks at the borrower's heartbeat word.
  mutating func look(_ current: UInt32, attended: UInt64) {
    if let beat, beat == current {
      let silence = attended &- since
      finding = silence > Self.goneAfter ? .gone : silence > Self.suspectAfter ? .suspect : .alive
      return
    }
    if beat != nil { isAwaited = false }
    beat = current
    since = attended
    finding = .alive
  }
}
