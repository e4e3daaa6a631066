import Linux
import BrokerProtocol
import Partition

/// A peripheral that is served: its queues, and what its calls wait for.
struct Served: ~Copyable {
  let name: String
  let peripheral: any Peripheral
  /// What requests for it say as their class.
  let peripheralClass: UInt8
  /// Its key in the wait set.
  let key: Int
  private(set) var lanes: [Lane]
  /// A bit for each lane in which something waits.
  private(set) var busy: UInt32 = 0

  init(name: String, _ peripheral: any Peripheral, key: Int, guests: Int) {
    self.name = name
    self.peripheral = peripheral
    peripheralClass = peripheral.peripheralClass.rawValue
    self.key = key
    lanes = (0..<peripheral.laneCount).map { _ in Lane(guests: guests) }
  }

  /// One of a peripheral's queues, and the call that is at its head.
  struct Lane {
    var queue: Queue
    /// The call that is under way, and what it waits for. Nil: the next one has yet to be chosen.
    var current: (call: CallID, wait: Wait)?
    /// When a guest that has used its share of the rate may go on.
    var notBefore: UInt64?

    init(guests: Int) { queue = Queue(guests: guests) }
  }

  // ---- Calls: the peripheral does them in the channel's own memory ------------------------------------------------------

  @inline(__always)
  func begin(_ slot: Int, of channel: inout Channel, _ access: Access, busy: UInt32, now: UInt64) -> Beginning {
    peripheral.begin(&channel.calls[slot], &channel.response, access, busy: busy, now: now)
  }

  func advance(_ slot: Int, of channel: inout Channel, now: UInt64) -> Step {
    peripheral.advance(&channel.calls[slot], &channel.response, now: now)
  }

  func stop(_ slot: Int, of channel: inout Channel, _ reason: StopReason, isBegun: Bool, now: UInt64) -> Answer {
    peripheral.stop(&channel.calls[slot], &channel.response, reason, isBegun: isBegun, now: now)
  }

  // ---- Lanes ---------------------------------------------------------------------------------------------------------

  /// Whether something waits in `lane`.
  @inline(__always)
  func isBusy(_ lane: Int) -> Bool { busy &>> UInt32(truncatingIfNeeded: lane) & 1 != 0 }

  mutating func add(_ entry: Queue.Entry, to lane: Int) {
    lanes[lane].queue.add(entry)
    busy |= 1 &<< UInt32(truncatingIfNeeded: lane)
  }

  /// Forgets a call, whatever it has come to.
  mutating func remove(_ call: CallID, from lane: Int) {
    lanes[lane].queue.remove(call)
    if lanes[lane].current?.call == call { lanes[lane].current = nil }
    if lanes[lane].queue.isEmpty {
      busy &= ~(1 &<< UInt32(truncatingIfNeeded: lane))
      lanes[lane].notBefore = nil
    }
  }

  /// The call that is next in `lane`: see `Queue.next`.
  mutating func next(in lane: Int, _ mayBegin: (Queue.Entry) -> Bool) -> Queue.Entry? { lanes[lane].queue.next(mayBegin) }

  /// Counts bytes for `guest` that nobody knew of when its call was chosen.
  mutating func charge(_ guest: Int, _ bytes: UInt32, in lane: Int) { lanes[lane].queue.charge(guest, bytes) }

  /// Has a call that `next` chose be the one under way.
  mutating func begin(_ entry: Queue.Entry, in lane: Int) {
    lanes[lane].queue.begin(entry)
    lanes[lane].current = (entry.call, .event)
  }

  /// What the call at the head of `lane` waits for; nil when the next one has yet to be chosen.
  mutating func setCurrent(_ current: (call: CallID, wait: Wait)?, in lane: Int) { lanes[lane].current = current }

  mutating func setNotBefore(_ time: UInt64?, in lane: Int) { lanes[lane].notBefore = time }
}
