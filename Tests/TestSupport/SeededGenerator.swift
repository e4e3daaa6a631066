import Foundation

/// A generator that anybody can repeat: prints its seed as a line to paste.
public struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64
  /// What it began with.
  public let seed: UInt64

  public init(_ name: String) {
    let given = ProcessInfo.processInfo.environment["GUESTBROKER_SEED"].flatMap { UInt64($0) }
    seed = given ?? UInt64.random(in: 1...UInt64.max)
    state = seed
    print("\(name): GUESTBROKER_SEED=\(seed) repeats this run")
  }

  /// xorshift64*
  public mutating func next() -> UInt64 {
    state ^= state >> 12
    state ^= state << 25
    state ^= state >> 27
    return state &* 2_685_821_657_736_338_717
  }
}
