/// Time in which this process could look: a gap between two looks, in which it was stopped or its guest was paused, counts as
/// `maximumGap` at most.
///
/// What a peer has to do in time is measured by it. Where both were paused and one is resumed first, it doesn't find that the
/// other one has been silent all the while.
public struct AttendedClock: Sendable {
  /// Two heartbeat intervals: whoever waits looks more often than that.
  public static var maximumGap: UInt64 { 400_000_000 }

  /// Nanoseconds since the first look.
  public private(set) var time: UInt64 = 0
  private var lastLook: UInt64

  /// - Parameter now: Monotonic nanoseconds.
  public init(now: UInt64) { lastLook = now }

  /// - Parameter now: Monotonic nanoseconds, at least those of the last look.
  /// - Returns: `time`.
  @discardableResult
  public mutating func look(now: UInt64) -> UInt64 {
    time &+= min(now &- lastLook, Self.maximumGap)
    lastLook = now
    return time
  }
}
