import BrokerProtocol
import Linux
import Partition
import RingBuffer
import SharedMemory

/// One channel of one link, seen from the owner: at most one process of the borrower at a time.
///
/// A request is copied into a slot of this channel's own before anything looks at it, and stays there as a call until it is answered.
/// It is taken out of the ring only when a slot and room for its response are free: a borrower can't make the owner hold
/// more than its slots, nor wait.
struct Channel: ~Copyable {
  /// Calls that one channel can have under way.
  static var slotCount: Int { 4 }

  var endpoint: Endpoint
  let doorbell: Doorbell
  /// Keeps the region mapped.
  let mapping: Mapping
  /// Which of the pump's guests the borrower is, by the owner's own device tree: the region says who is asking, not the request.
  let guest: Int
  /// Its number in its link.
  let number: Int
  /// What the borrower may do, by the number of the peripheral.
  let rights: [Right]

  var calls: FixedArray<Call>
  /// A bit for each slot that is free, and how many are not.
  private var free: UInt32 = 1 << UInt32(slotCount) - 1
  private var underWay = 0
  /// Whether a request waits in the ring for room for its response, which comes without a ring of the doorbell.
  private var isStalled = false
  /// The answer that is being made.
  var response: MessageBuffer
  private(set) var deliveries = Deliveries()
  private(set) var pulse = Pulse()

  /// What is asked for at each request of a guest's grants.
  struct Right {
    /// Nil: nothing.
    let access: Access?
    let priority: UInt8
    let isLimited: Bool

    init(_ grants: Guest.Grants?) {
      access = grants?.access
      priority = grants?.priority ?? 0
      isLimited = grants?.isLimited ?? false
    }
  }

  init(_ link: OpenLink, number: Int, guest: Int, rights: [Right]) {
    endpoint = Endpoint(
      link.mapping.region, layout: link.layout, channel: number, role: .owner,
      identity: LinkIdentity(link.layout, protocolVersion: protocolVersion))
    doorbell = link.doorbell
    endpoint.bell = link.doorbell.bell
    mapping = link.mapping
    self.guest = guest
    self.number = number
    self.rights = rights
    response = MessageBuffer(capacity: min(endpoint.producer.maximumMessageSize, Response.size + maximumData))
    let requestSize = min(endpoint.consumer.maximumMessageSize, Request.size + maximumData)
    calls = FixedArray(count: Self.slotCount) { _ in Call(capacity: requestSize) }
  }

  /// Data that fits into one response.
  var maximumResponseData: Int { response.capacity - Response.size }

  /// How long the owner may sleep for this channel's sake, in nanoseconds: 0 when there is something to do.
  var longestSleep: UInt64 {
    if endpoint.needsHandshake { return 0 }
    // With all slots taken, what frees one is an event of a device.
    guard endpoint.isEstablished, endpoint.consumer.isReady, free != 0 else { return .max }
    return isStalled ? 1_000_000 : pulse.isAwaited ? 10_000_000 : 0
  }

  /// Whether nothing that waits is begun for this channel's borrower now: it may be dead.
  var isSuspect: Bool { pulse.finding != .alive || pulse.isAwaited }

  /// Looks whether the borrower lives, if there is something that it must live for. Returns what was found.
  mutating func takePulse(attended: UInt64) -> Pulse.Finding {
    guard endpoint.isEstablished, underWay > 0 || !deliveries.isEmpty || pulse.isAwaited && endpoint.consumer.isReady else {
      pulse.rest(attended: attended)
      return .alive
    }
    pulse.look(endpoint.peerHeartbeat, attended: attended)
    return pulse.finding
  }

  /// The owner was stopped for a while.
  mutating func distrust(attended: UInt64) {
    if endpoint.isEstablished { pulse.distrust(endpoint.peerHeartbeat, attended: attended) }
  }

  /// A session begins.
  mutating func beginPulse() { pulse.begin() }

  /// The oldest delivery that the borrower has received; takes it out.
  mutating func takeReceived() -> Deliveries.Delivery? {
    guard let first = deliveries.list.first, endpoint.isReceived(messageAt: first.start) else { return nil }
    return deliveries.removeFirst().0
  }

  /// After its session has ended: the newest delivery, with its bytes if the borrower hasn't received it; takes it out.
  mutating func takeUndelivered() -> (Deliveries.Delivery, bytes: ArraySlice<UInt8>?)? {
    guard !deliveries.isEmpty else { return nil }
    let (delivery, bytes) = deliveries.removeLast()
    return (delivery, endpoint.wasReceived(messageAt: delivery.start) ? nil : bytes)
  }

  /// Takes the next request out of the ring into a free slot.
  ///
  /// - Returns: The slot, or nil when there is no request, or no place for it or for its response.
  /// - Throws: What to poison the link with.
  @inline(__always)
  private mutating func takeRequest() throws(PoisonReason) -> Int? {
    guard free != 0, !pulse.isAwaited else { return nil }
    let slot = free.trailingZeroBitCount
    do throws(RingError) {
      // One response for each call under way and one for this.
      isStalled = !(try endpoint.producer.hasRoom(for: underWay + 1, of: response.capacity))
      if isStalled { return nil }
      guard try endpoint.consumer.receive(into: &calls[slot].message) else { return nil }
    } catch {
      throw error.reason
    }
    guard let request = calls[slot].parse() else { throw .badFrame }
    // A sender that gave up meanwhile told its user that this will not happen (Spec 3 §6).
    guard endpoint.isStillWanted() else { return nil }
    calls[slot].begin(request)
    free &= ~(1 &<< UInt32(truncatingIfNeeded: slot))
    underWay += 1
    return slot
  }

  /// What has become of the next request.
  enum Served {
    /// There is none.
    case nothing
    case answered
    /// It was answered, and that peripheral's other calls can't go on.
    case answeredStopping(peripheral: Int)
    /// It is for the broker itself.
    case broker(slot: Int)
    case waits(slot: Int, peripheral: Int, lane: Int, cost: Int)
  }

  /// Takes the next request, and does what it asks for as far as nobody else waits.
  ///
  /// - Throws: What to poison the link with.
  @inline(__always)
  mutating func serve(_ served: borrowing FixedArray<OwnerService.Served>, now: UInt64) throws(PoisonReason) -> Served {
    guard let slot = try takeRequest() else { return .nothing }
    let request = calls[slot].request
    if request.peripheralClass == PeripheralClass.broker.rawValue { return .broker(slot: slot) }
    let number = Int(request.peripheral)
    guard number < rights.count else { return refuse(slot, .noDevice) }
    guard let access = rights[number].access else { return refuse(slot, .access) }
    guard request.peripheralClass == served[number].peripheralClass else { return refuse(slot, .notSupported) }
    // Whose rate is bounded waits for its turn.
    let busy = rights[number].isLimited ? .max : served[number].busy
    switch served[number].begin(slot, of: &self, access, busy: busy, now: now) {
    case .done(let answer):
      self.answer(slot, answer, of: number)
      return answer.stopsOthers ? .answeredStopping(peripheral: number) : .answered
    case .waits(let lane, let cost): return .waits(slot: slot, peripheral: number, lane: lane, cost: cost)
    }
  }

  @inline(never)
  private mutating func refuse(_ slot: Int, _ status: Status) -> Served {
    answer(slot, .refused(status))
    return .answered
  }

  // ---- Calls ---------------------------------------------------------------------------------------------------------

  /// Sends the answer to the call in `slot`, whose data are in place, and frees the slot.
  ///
  /// - Parameter peripheral: The pump's number of the one that made it.
  @inline(__always)
  mutating func answer(_ slot: Int, _ answer: Answer, of peripheral: Int = 0) {
    if answer.isReturnable {
      response.count = Response.size + Int(answer.data)
      Self.remember(response, in: &deliveries, of: peripheral, start: endpoint.producer.position)
    }
    let head = Response(
      id: calls[slot].request.id, status: answer.status, executed: answer.executed, count: answer.count, value: answer.value)
    drop(slot)
    Self.send(head, in: &response, data: Int(truncatingIfNeeded: answer.data), &endpoint, doorbell)
  }

  /// As `answer`, with data that `fill` puts behind the header, from the offset that it is given.
  mutating func answer(_ slot: Int, _ answer: Answer, _ fill: (inout MutableRawSpan, Int) -> Void) {
    var storage = response.storage
    fill(&storage, Response.size)
    self.answer(slot, answer)
  }

  /// Keeps the data of the answer that is sent next until it is known that they have arrived. Static, since it reads one part of the
  /// channel while it changes another.
  private static func remember(
    _ answer: borrowing MessageBuffer, in deliveries: inout Deliveries, of peripheral: Int, start: UInt32
  ) {
    deliveries.add(answer.bytes, from: Response.size, peripheral: peripheral, start: start)
  }

  /// Answers the call in `slot` with its own data, as much of it as an answer can have.
  @inline(__always)
  mutating func echo(_ slot: Int) {
    // In the request's own place, whose header is as long as a response's.
    let count = min(calls[slot].message.count, response.capacity) - Response.size
    let head = Response(id: calls[slot].request.id, count: UInt32(truncatingIfNeeded: count))
    drop(slot)
    Self.send(head, in: &calls[slot].message, data: count, &endpoint, doorbell)
  }

  /// Sends the response whose data is in place in `message`. Every answer leaves here.
  @inline(__always)
  private static func send(
    _ head: Response, in message: inout MessageBuffer, data: Int, _ endpoint: inout Endpoint, _ doorbell: borrowing Doorbell
  ) {
    var storage = message.storage
    head.encode(into: &storage)
    message.count = Response.size + data
    do throws(RingError) {
      // Room was reserved when the request was taken, so that false can't be.
      _ = try endpoint.producer.send(message)
      doorbell.ringIfNeeded(&endpoint)
    } catch {
      endpoint.poison(error.reason)
    }
  }

  /// Wakes the borrower after a step of the handshake.
  mutating func ring() { doorbell.ring(&endpoint) }

  /// Frees the call in `slot`: nobody waits for its answer any more.
  mutating func drop(_ slot: Int) {
    free |= 1 &<< UInt32(truncatingIfNeeded: slot)
    underWay -= 1
  }
}
