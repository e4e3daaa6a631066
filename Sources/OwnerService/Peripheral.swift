import BrokerProtocol
import Linux
import Partition
import RingBuffer
import SharedMemory

/// One exported peripheral: what the operations of its class mean, on its device.
///
/// The pump's thread only. It never blocks and reads no clock. It knows bytes, devices and time-outs, but no guest: who may ask, in
/// which order and how often is decided before it is asked.
protocol Peripheral: AnyObject {
  /// What requests for it say as their class.
  var peripheralClass: PeripheralClass { get }
  /// "/dev/ttyAMA2": what it is on, for people.
  var text: String { get }
  /// Queues that go on independently of each other: a call waits for those before it in its own lane only.
  var laneCount: Int { get }

  /// Whether `call` makes sense, and where it waits. Nothing is done yet.
  ///
  /// - Parameter access: What the guest was granted.
  func admit(_ call: borrowing Call, _ access: Access) -> Verdict

  /// Takes on a request: checks it, and does at once what nobody else waits for. As `admit` and `advance`, which it is made of; a class may have a
  /// shorter way for what is asked most.
  ///
  /// - Parameter busy: A bit for each lane in which something waits.
  func begin(_ call: inout Call, _ data: inout MessageBuffer, _ access: Access, busy: UInt32, now: UInt64) -> Beginning

  /// Does as much of `call` as can be done without waiting. Called again whenever what it waits for may have come, until it is done.
  ///
  /// - Parameter data: Takes the answer's data, from `Response.size` on; its capacity is what an answer can have.
  func advance(_ call: inout Call, _ data: inout MessageBuffer, now: UInt64) -> Step

  /// Gives up a call. The answer says how far it came.
  ///
  /// - Parameter isBegun: It was its turn; else it waited behind others, and gets nothing before them.
  func stop(_ call: inout Call, _ data: inout MessageBuffer, _ reason: StopReason, isBegun: Bool, now: UInt64) -> Answer

  /// The device's descriptor, nil while there is none; and whether the peripheral itself has something to read.
  var descriptor: Int32? { get }
  var wantsInput: Bool { get }
  /// The device is readable, or failed.
  func ready(_ events: WaitSet.Events, now: UInt64)
  /// Why calls that wait can't go on, if something has happened since the last time: all of a lane's, or of every one.
  func takeStop() -> (lane: Int?, reason: StopReason)?

  /// So many bytes of an answer that was `returnable` have arrived.
  func settle(_ count: Int)
  /// Bytes of such an answer never arrived: they are the oldest again.
  func takeBack(_ bytes: ArraySlice<UInt8>)

  /// Gives a simulated device its name beside the region of the first link that has a file. Returns why it can't have it: a sentence.
  func publish(besideOneOf regions: [MemorySource]) -> String?
  /// Every 200 ms or so: looks at what no event tells of.
  func beat(now: UInt64)
  /// What the owner's operator should know since the last time: a sentence.
  func takeNews() -> String?
  /// The owner ends: what is lost by that, as a sentence.
  func end() -> String?
}

/// Whether a call is taken on.
enum Verdict {
  case refused(Status, value: UInt32 = 0)
  /// It is done at once, whatever waits.
  case immediate
  /// It waits in a lane, where it counts as so many bytes.
  case lane(Int, cost: Int)
}

/// What has become of a request that was taken.
enum Beginning {
  case done(Answer)
  /// It waits in a lane, where it counts as so many bytes.
  case waits(lane: Int, cost: Int)
}

/// How far a call has come.
enum Step {
  case done(Answer)
  case waits(Wait)
}

/// What a call waits for.
enum Wait: Equatable {
  /// The device takes bytes again.
  case writable
  /// An event that comes unasked: bytes, the end of a job.
  case event
  /// Nothing tells: it looks again every millisecond.
  case time
}

/// Why a call is given up.
enum StopReason {
  case timedOut
  /// What waited to be sent was thrown away on request.
  case flushed
  case deviceGone
  /// The owner ends.
  case ended
}

/// A response but for its id and data. Small, so that it is passed in registers.
struct Answer {
  var status: Status
  var executed: Executed
  /// The data are a device's bytes that are lost if they don't arrive: they are remembered until then, and may come back.
  var isReturnable: Bool
  /// Calls that wait can't go on after this one: `takeStop` says which.
  var stopsOthers = false
  var count: UInt32
  var value: UInt32
  /// Bytes of data in place.
  var data: UInt32

  /// - Parameters: Counts of at most `maximumData`, or of what a request asked for.
  @inline(__always)
  init(
    status: Status = .ok, executed: Executed = .yes, count: Int = 0, value: UInt32 = 0, data: Int = 0,
    isReturnable: Bool = false
  ) {
    self.status = status
    self.executed = executed
    self.count = UInt32(truncatingIfNeeded: count)
    self.value = value
    self.data = UInt32(truncatingIfNeeded: data)
    self.isReturnable = isReturnable
  }
}

extension Answer {
  /// Nothing was done, and nothing will be.
  static func refused(_ status: Status, value: UInt32 = 0) -> Answer {
    Answer(status: status, executed: .no, value: value)
  }
}

extension Peripheral {
  func begin(_ call: inout Call, _ data: inout MessageBuffer, _ access: Access, busy: UInt32, now: UInt64) -> Beginning {
    beginAny(&call, &data, access, busy: busy, now: now)
  }

  @inline(never)
  func beginAny(_ call: inout Call, _ data: inout MessageBuffer, _ access: Access, busy: UInt32, now: UInt64) -> Beginning {
    switch admit(call, access) {
    case .refused(let status, let value): return .done(.refused(status, value: value))
    case .immediate:
      guard case .done(let answer) = advance(&call, &data, now: now) else { return .done(.refused(.io)) }
      return .done(answer)
    case .lane(let lane, let cost):
      let isFree = busy &>> UInt32(truncatingIfNeeded: lane) & 1 == 0
      if isFree, case .done(let answer) = advance(&call, &data, now: now) { return .done(answer) }
      return .waits(lane: lane, cost: cost)
    }
  }
}
