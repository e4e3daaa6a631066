/// Calls that wait for one lane of a peripheral, and which of them is next: the highest priority first; of one priority that of the guest
/// that has had the least; within a guest in the order in which they came.
///
/// Pure: it knows no device, no clock and no memory.
struct Queue {
  struct Entry: Equatable {
    var call: CallID
    var guest: Int
    /// The larger, the sooner.
    var priority: UInt8
    /// What it takes of its guest's share: bytes; at least 1 is counted.
    var cost: Int
  }

  /// What a guest that has asked for less than its share can get before others, once: so much is remembered of it. A program that sends its next
  /// request when the last one is answered has nothing queued at times, and still gets its share.
  static var allowance: UInt64 { 65536 }

  /// In the order in which they came.
  private(set) var entries: [Entry] = []
  /// By guest: what it has had, in the unit of costs; only differences mean something.
  private var had: [UInt64]
  /// What the guest had had whose turn it was last.
  private var level: UInt64 = 0

  init(guests: Int) { had = [UInt64](repeating: 0, count: guests) }

  var isEmpty: Bool { entries.isEmpty }

  mutating func add(_ entry: Entry) {
    if !entries.contains(where: { $0.guest == entry.guest }) {
      had[entry.guest] = max(had[entry.guest], level - min(level, Self.allowance))
    }
    entries.append(entry)
  }

  mutating func remove(_ call: CallID) { entries.removeAll { $0.call == call } }

  /// Counts bytes for `guest` that weren't known when its call was chosen.
  mutating func charge(_ guest: Int, _ bytes: UInt32) { had[guest] &+= UInt64(bytes) }

  /// The call that is next. It stays in the queue until it is removed.
  ///
  /// - Parameter mayBegin: Whether an entry can be begun now.
  func next(_ mayBegin: (Entry) -> Bool) -> Entry? {
    var best: Entry?
    for entry in entries where mayBegin(entry) {
      guard let other = best else {
        best = entry
        continue
      }
      let isSooner =
        entry.priority == other.priority ? had[entry.guest] < had[other.guest] : entry.priority > other.priority
      if isSooner { best = entry }
    }
    return best
  }

  /// Counts a call that is begun for its guest.
  mutating func begin(_ entry: Entry) {
    level = max(level, had[entry.guest])
    had[entry.guest] &+= UInt64(max(1, entry.cost))
  }
}
