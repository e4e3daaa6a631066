import TestSupport
import Testing

@testable import OwnerService

@Suite("Rates")
struct TokenBucketTests {
  private let second: UInt64 = 1_000_000_000

  @Test("Without a rate everything may be done")
  func unlimited() {
    var bucket = TokenBucket(rate: nil, now: 0)
    for _ in 0..<1000 { #expect(bucket.take(1 << 30, now: 0) == nil) }
  }

  @Test("A second's worth at once, then as it comes; who is refused is told when")
  func burst() {
    var bucket = TokenBucket(rate: 10, now: 0)
    for _ in 0..<10 { #expect(bucket.take(1, now: 0) == nil) }
    let later = bucket.take(1, now: 0)
    #expect(later == second / 10 + 1)
    #expect(bucket.take(1, now: later ?? 0) == nil)
    #expect(bucket.take(1, now: later ?? 0) != nil)
    // A pause saves a second's worth, no more.
    for _ in 0..<10 { #expect(bucket.take(1, now: 3600 * second) == nil) }
    #expect(bucket.take(1, now: 3600 * second) != nil)
  }

  @Test("What is larger than a second's worth is done when the bucket is full, and paid off before the next")
  func large() {
    var bucket = TokenBucket(rate: 1000, now: 0)
    #expect(bucket.take(4000, now: 0) == nil)
    #expect(bucket.take(1, now: 2 * second) != nil)
    #expect(bucket.take(1, now: 3 * second + second / 100) == nil)
  }

  @Test("What was used without asking is paid off before the next")
  func charged() {
    var bucket = TokenBucket(rate: 1000, now: 0)
    bucket.charge(1000, now: 0)
    #expect(bucket.take(1, now: second / 2000) != nil)
    bucket.charge(1000, now: 0)
    bucket.charge(1000, now: 0)
    // Nothing is done in debt, however little it is, and it is told when the debt is paid.
    #expect(bucket.take(0, now: second) == 2 * second + 1)
    #expect(bucket.take(1, now: 2 * second) != nil)
    #expect(bucket.take(1, now: 2 * second + second / 100) == nil)
  }

  @Test("Whoever asks as soon as he may gets the rate, within a hundredth, over a long time")
  func average() {
    var generator = SeededGenerator("average")
    for rate: UInt32 in [1, 7, 1000, 115_200, .max] {
      var bucket = TokenBucket(rate: rate, now: 0)
      var now: UInt64 = 0
      var done = 0.0
      while now < 100 * second {
        let count = Int.random(in: 1...max(1, Int(min(rate, 5000))), using: &generator)
        if let later = bucket.take(count, now: now) {
          #expect(later > now)
          now = later
        } else {
          done += Double(count)
          if rate == .max { now += second / 1000 }
        }
      }
      // The first second's worth comes besides.
      if rate != .max { #expect(done <= Double(rate) * 101.1 + 5000 && done >= Double(rate) * 99) }
    }
  }

  @Test("A guest that breaks rules in a loop fills no log, and hides no other one's sentence")
  func complaints() {
    var first = Complaints()
    var second = Complaints()
    #expect(first.filter("a", now: 5) == "a")
    for now in 6..<1000 as Range<UInt64> { #expect(first.filter("b", now: now) == nil) }
    #expect(second.filter("c", now: 1000) == "c")
    #expect(first.filter("d", now: 5 + Complaints.interval) == "d (and 994 more such events)")
  }
}
