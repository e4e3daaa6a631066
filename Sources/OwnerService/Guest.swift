import BrokerProtocol
import Linux
import Text
import Partition

/// A guest that borrows, over all its channels: what it was granted, and how much of it it has used.
struct Guest {
  let name: String
  /// For each served peripheral, by its number; nil: nothing.
  var grants: [Grants?]
  var complaints = Complaints()

  /// What this guest may do with one peripheral.
  struct Grants {
    let access: Access
    /// Of calls that wait for one device the highest is done first.
    let priority: UInt8
    var operations: TokenBucket
    var bytes: TokenBucket

    /// Nil when the export isn't for that guest.
    init?(_ export: Export, to guest: String, now: UInt64) {
      guard export.grant.clients.contains(where: { sameText($0, guest) }) else { return nil }
      access = export.grant.access
      priority = export.grant.priority
      operations = TokenBucket(rate: export.grant.maximumOperationsPerSecond, now: now)
      bytes = TokenBucket(rate: export.grant.maximumBytesPerSecond, now: now)
    }

    var isLimited: Bool { operations.rate != nil || bytes.rate != nil }

    /// Whether a call that moves so many bytes may be begun now: nil, or when to try again.
    mutating func take(_ count: Int, now: UInt64) -> UInt64? {
      // Both or none: what one has given is of no use when the other one refuses.
      var (operations, bytes) = (operations, bytes)
      if let later = operations.take(1, now: now) { return later }
      if let later = bytes.take(count, now: now) { return later }
      (self.operations, self.bytes) = (operations, bytes)
      return nil
    }
  }
}

/// Sentences about what a guest did wrong: a guest decides how often it does, so they are bounded, for each guest apart from the others.
struct Complaints {
  static var interval: UInt64 { 1_000_000_000 }
  private var next: UInt64 = 0
  private var suppressed = 0

  /// The sentence to report now, if one may be.
  mutating func filter(_ sentence: String, now: UInt64) -> String? {
    guard now >= next else {
      suppressed += 1
      return nil
    }
    next = now &+ Self.interval
    defer { suppressed = 0 }
    return suppressed > 0 ? "\(sentence) (and \(suppressed) more such events)" : sentence
  }
}
