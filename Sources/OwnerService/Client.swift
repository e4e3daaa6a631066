import BrokerProtocol
import Linux
import RingBuffer
import SharedMemory

/// One channel of one link, seen from the owner: at most one process of the borrower at a time.
///
/// A request is copied into a slot of this client's own before anything looks at it, and stays there until it is answered.
/// It is taken out of the ring only when a slot and room for its response are free: a client can't make the owner hold
/// more than its slots, nor wait.
struct Client: ~Copyable {
  /// Requests that one client can have under way.
  static var slotCount: Int { 4 }

  var endpoint: Endpoint
  let doorbell: Doorbell
  /// Keeps the region mapped.
  let mapping: Mapping
  /// The borrower's guest, by the owner's own device tree: the region says who is asking, not the request.
  let guest: String
  let channel: Int
  /// What this client's guest may do with each served peripheral, by number: bit 0 read, bit 1 write, 0 nothing.
  let grants: [UInt8]

  var slots: FixedArray<Slot>
  /// A bit for each slot that is free, and how many are not.
  private var free: UInt32 = 1 << UInt32(slotCount) - 1
  private var underWay = 0
  private var response: MessageBuffer
  private let maximumResponse: Int
  private(set) var deliveries = Deliveries()
  private(set) var pulse = Pulse()

  init(_ link: OpenLink, channel: Int, guest: String, grants: [UInt8]) {
    endpoint = Endpoint(
      link.mapping.region, layout: link.layout, channel: channel, role: .owner,
      identity: LinkIdentity(link.layout, protocolVersion: protocolVersion))
    doorbell = link.doorbell
    endpoint.bell = link.doorbell.bell
    mapping = link.mapping
    self.guest = guest
    self.channel = channel
    self.grants = grants
    let size = min(endpoint.producer.maximumMessageSize, Response.size + maximumData)
    maximumResponse = size
    response = MessageBuffer(capacity: size)
    let requestSize = min(endpoint.consumer.maximumMessageSize, Request.size + maximumData)
    slots = FixedArray(count: Self.slotCount) { _ in Slot(capacity: requestSize) }
  }

  /// Data that fits into one response.
  var maximumResponseData: Int { maximumResponse - Response.size }

  /// Whether a request waits in the ring for room for its response, which comes without a ring of the doorbell.
  private var isStalled = false

  /// How long the owner may sleep for this client's sake, in nanoseconds: 0 when there is something to do.
  var longestSleep: UInt64 {
    if endpoint.needsHandshake { return 0 }
    // With all slots taken, what frees one is an event of a device.
    guard endpoint.isEstablished, endpoint.consumer.isReady, free != 0 else { return .max }
    return isStalled ? 1_000_000 : pulse.isAwaited ? 10_000_000 : 0
  }

  /// Whether nothing that waits is begun for this client now: it may be dead.
  var isSuspect: Bool { pulse.finding != .alive }

  /// Looks whether the client lives, if there is something that it must live for. Returns what was found.
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
  mutating func takeRequest() throws(PoisonReason) -> Int? {
    guard free != 0, !pulse.isAwaited else { return nil }
    let slot = free.trailingZeroBitCount
    do throws(RingError) {
      // One response for each request under way and one for this.
      isStalled = !(try endpoint.producer.hasRoom(for: underWay + 1, of: maximumResponse))
      if isStalled { return nil }
      guard try endpoint.consumer.receive(into: &slots[slot].message) else { return nil }
    } catch {
      throw error.reason
    }
    guard let request = slots[slot].parse() else { throw .badFrame }
    // A sender that gave up meanwhile told its user that this will not happen (Spec 3 §6).
    guard endpoint.isStillWanted() else { return nil }
    slots[slot].begin(request)
    free &= ~(1 &<< UInt32(truncatingIfNeeded: slot))
    underWay += 1
    return slot
  }

  /// Answers the request in `slot` and frees it.
  @inline(__always)
  mutating func answer(
    _ slot: Int, _ status: Status = .ok, executed: Executed, count: Int = 0, value: Int = 0
  ) {
    answer(slot, status, executed: executed, count: count, value: value, data: 0) { _, _ in }
  }

  /// Answers the request in `slot`, with `data` bytes that `fill` puts behind the header, from the offset it is given.
  @inline(__always)
  mutating func answer(
    _ slot: Int, _ status: Status = .ok, executed: Executed, count: Int = 0, value: Int = 0, data: Int,
    _ fill: (inout MutableRawSpan, Int) -> Void
  ) {
    var storage = response.storage
    fill(&storage, Response.size)
    let head = Response(
      id: slots[slot].request.id, status: status, executed: executed, count: UInt32(truncatingIfNeeded: count),
      value: UInt32(truncatingIfNeeded: value))
    drop(slot)
    Self.send(head, in: &response, data: data, &endpoint, doorbell)
  }

  /// Answers the request in `slot` with the oldest `count` bytes of `queue`, and remembers them until they have arrived.
  mutating func deliver(
    _ slot: Int, _ status: Status, _ count: Int, of queue: inout ByteQueue, uart: Int, executed: Executed, value: UInt32
  ) {
    let place = deliveries.add(count, of: &queue, uart: uart, start: endpoint.producer.position)
    deliveries.copy(place, to: &response, at: Response.size)
    let head = Response(
      id: slots[slot].request.id, status: status, executed: executed, count: UInt32(truncatingIfNeeded: place.count),
      value: value)
    drop(slot)
    Self.send(head, in: &response, data: place.count, &endpoint, doorbell)
  }

  /// Answers the request in `slot` with its own data, as much of it as an answer can have.
  @inline(__always)
  mutating func echo(_ slot: Int) {
    // In the request's own place, whose header is as long as a response's.
    let count = min(slots[slot].message.count, maximumResponse) - Response.size
    let head = Response(id: slots[slot].request.id, count: UInt32(truncatingIfNeeded: count))
    drop(slot)
    Self.send(head, in: &slots[slot].message, data: count, &endpoint, doorbell)
  }

  /// Sends the response whose data is in place in `message`.
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

  /// Wakes the client after a step of the handshake.
  mutating func ring() { doorbell.ring(&endpoint) }

  /// Forgets the request in `slot`: nobody waits for its answer any more.
  mutating func drop(_ slot: Int) {
    free |= 1 &<< UInt32(truncatingIfNeeded: slot)
    underWay -= 1
  }
}

/// A request that was taken, its data, and how far it has come.
struct Slot: ~Copyable {
  var message: MessageBuffer
  private(set) var request = Request(id: 0, frameClass: .broker, operation: 0)
  /// Bytes that the device took so far.
  var done = 0
  /// Monotonic nanoseconds; set when the request has to wait: since when, and until when at most.
  private(set) var arrival: UInt64 = 0
  private(set) var deadline: UInt64 = 0

  init(capacity: Int) { message = MessageBuffer(capacity: capacity) }

  func parse() -> Request? { Request(message.bytes) }

  mutating func begin(_ request: Request) {
    self.request = request
    done = 0
  }

  /// The data as a line's settings; nil when they are none.
  func parseSettings() -> UARTSettings? {
    let bytes = message.bytes
    guard bytes.byteCount >= Request.size else { return nil }
    return UARTSettings(bytes.extracting(Request.size..<bytes.byteCount))
  }

  /// Writes the data that the device hasn't taken yet.
  @inline(__always)
  func write(to driver: UARTDriver) -> DeviceResult { driver.write(message.bytes, from: Request.size + done) }

  /// Whether this is a write of which the device hasn't taken all.
  var hasUntakenBytes: Bool { request.operation == UARTOperation.write.rawValue && done < dataCount }

  /// Bytes of data behind the request's header.
  var dataCount: Int { message.count - Request.size }

  /// The data behind the request's header, at most `limit` bytes of it.
  func copyData(limit: Int) -> [UInt8] {
    let bytes = message.bytes
    return (0..<min(dataCount, limit)).map { unsafe bytes.unsafeLoad(fromByteOffset: Request.size + $0, as: UInt8.self) }
  }

  /// When the owner must have answered. A wait is bounded whatever the request says.
  mutating func startWaiting(now: UInt64) {
    let limit: UInt32 = 3_600_000
    arrival = now
    deadline = now &+ UInt64(min(request.timeout, limit)) &* 1_000_000
  }
}

/// A request that waits: in which client's which slot.
struct Waiting {
  var client: Int
  var slot: Int
}
