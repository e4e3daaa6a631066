/// How often something may be done: so many in a second on average, and as many at once after a pause of a second.
///
/// Pure: the time is an argument.
struct TokenBucket {
  /// In a second; nil: as much as can be.
  let rate: UInt32?
  /// Nanosecond-tokens: `rate` × 10^9 of them are a second's worth.
  private var level: UInt64
  private var filled: UInt64

  init(rate: UInt32?, now: UInt64) {
    self.rate = rate
    level = UInt64(rate ?? 0) &* 1_000_000_000
    filled = now
  }

  /// Takes `count`, which may be more than there is when the bucket is full: then it is in debt for a while, so that no call is too large to be
  /// done at all.
  ///
  /// - Returns: Nil when it was taken; else when to try again.
  mutating func take(_ count: Int, now: UInt64) -> UInt64? {
    guard let rate else { return nil }
    fill(rate, now: now)
    // Still in debt.
    if filled > now { return filled &+ 1 }
    let capacity = UInt64(rate) &* 1_000_000_000
    let price = UInt64(max(0, count)) &* 1_000_000_000
    let needed = min(price, capacity)
    guard level >= needed else {
      return now &+ (needed - level) / UInt64(max(1, rate)) &+ 1
    }
    pay(price, rate, now: now)
    return nil
  }

  /// Takes `count` whether it is there or not: it has been used already.
  mutating func charge(_ count: UInt32, now: UInt64) {
    guard let rate, count > 0 else { return }
    fill(rate, now: now)
    pay(UInt64(count) &* 1_000_000_000, rate, now: now)
  }

  private mutating func pay(_ price: UInt64, _ rate: UInt32, now: UInt64) {
    if price > level {
      // A debt is paid off by the time that comes: there is nothing before that.
      filled = max(filled, now) &+ (price - level) / UInt64(max(1, rate))
      level = 0
    } else {
      level -= price
    }
  }

  private mutating func fill(_ rate: UInt32, now: UInt64) {
    guard now > filled else { return }
    let capacity = UInt64(rate) &* 1_000_000_000
    let gained = min(now &- filled, 1_000_000_000) &* UInt64(rate)
    level = min(capacity, level &+ gained)
    filled = now
  }
}
