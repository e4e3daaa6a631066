import Testing

@testable import ScheduledRingBuffer

/// A ring of four lines with both ends, positions just below their wrap.
private final class Ring: @unchecked Sendable {
  var producer: Producer
  var consumer: Consumer
  var sent: [UInt8] = []
  var received: [UInt8] = []
  var errors: [RingError] = []

  init() {
    let region = SharedRegion(size: 4096)
    let credit = region.word(at: 0)
    producer = Producer(region, offset: 64, lineCount: 4, credit: credit)
    consumer = Consumer(region, offset: 64, lineCount: 4, credit: credit)
    producer.reset(start: 0xffff_fffe)
    consumer.reset(start: 0xffff_fffe)
  }

  func send(_ value: UInt8) {
    var message = MessageBuffer(capacity: 56)
    message.put([value, value &+ 1].span.bytes, at: 0)
    do throws(RingError) {
      if try producer.send(message) { sent.append(value) }
    } catch {
      errors.append(error)
    }
  }

  func receive() {
    var message = MessageBuffer(capacity: 56)
    do throws(RingError) {
      guard try consumer.receive(into: &message) else { return }
      let bytes = message.bytes
      let first = bytes.unsafeLoad(fromByteOffset: 0, as: UInt8.self)
      let isWhole = bytes.byteCount == 2 && bytes.unsafeLoad(fromByteOffset: 1, as: UInt8.self) == first &+ 1
      received.append(isWhole ? first : 0xff)
    } catch {
      errors.append(error)
    }
  }

  /// What is wrong after a run; the rest of the messages is taken first.
  func fault() -> String? {
    for _ in 0..<8 { receive() }
    if !errors.isEmpty { return "\(errors)" }
    return received == sent ? nil : "sent \(sent), received \(received)"
  }
}

/// Both ends of an established channel.
private final class Channel: @unchecked Sendable {
  var owner: Endpoint
  var borrower: Endpoint
  var executed = false
  var toldNo = false

  init() {
    let layout = try! LinkLayout(size: 0x3000, channels: 1)
    let region = SharedRegion(size: 0x3000)
    owner = Endpoint(region, layout: layout, channel: 0, role: .owner)
    borrower = Endpoint(region, layout: layout, channel: 0, role: .borrower)
    owner.start(session: 1)
    borrower.start(session: 2)
    while owner.state != .established || borrower.state != .established {
      _ = owner.refresh()
      _ = borrower.refresh()
    }
  }

  func send() {
    var message = MessageBuffer(capacity: 56)
    message.count = 1
    _ = try? borrower.producer.send(message)
  }

  func receive() -> Bool {
    var message = MessageBuffer(capacity: 896)
    return (try? owner.consumer.receive(into: &message)) == true
  }

  /// As `Doorbell.sleep` with a futex, but without a time limit.
  func sleep() {
    let sampled = owner.arm()
    sleepFence()
    if !owner.needsAttention { Schedule.current.wait(owner.incomingDoorbell, while: sampled) }
    owner.disarm()
  }
}

@Suite("The ring's own code in every order of its accesses", .serialized)
struct InterleavingTests {
  private func expectNoFault(
    _ result: (schedules: Int, complete: Bool, fault: String?), at place: SourceLocation = #_sourceLocation
  ) {
    if let fault = result.fault { Issue.record("\(fault)", sourceLocation: place) }
    if !result.complete, result.fault == nil { Issue.record("not explored to the end", sourceLocation: place) }
    print("\(result.schedules) schedules")
    #expect(result.schedules > 5, sourceLocation: place)
  }

  @Test("Spec 2 §4, §5: two messages into a ring that fills up, three taken out of it: all arrive, in order and whole")
  func fullRing() {
    expectNoFault(
      Schedule.explore(
        .sequential,
        setUp: { () -> Ring in
          let ring = Ring()
          for value in 10..<13 as Range<UInt8> { ring.send(value) }
          return ring
        },
        {
          $0.send(20); $0.send(30)
        },
        {
          $0.receive(); $0.receive(); $0.receive()
        }, check: { $0.fault() }))
  }

  @Test("Spec 2 §4, §5: the same with stores that wait in buffers", arguments: [Schedule.Order.tso, .weak])
  func bufferedRing(order: Schedule.Order) {
    expectNoFault(
      Schedule.explore(
        order,
        setUp: { () -> Ring in
          let ring = Ring()
          for value in 10..<14 as Range<UInt8> { ring.send(value) }
          return ring
        },
        {
          $0.send(20)
        },
        {
          $0.receive(); $0.receive()
        }, check: { $0.fault() }))
  }

  @Test("Spec 2 §6: no message is missed by a sleeper that nobody rings again", arguments: Schedule.Order.allCases)
  func sleep(order: Schedule.Order) {
    expectNoFault(
      Schedule.explore(
        order, setUp: { Channel() },
        {
          $0.send()
          _ = $0.borrower.shouldRing()
        }, { $0.sleep() }, check: { $0.receive() ? nil : "the message did not arrive" }))
  }

  @Test("Spec 2 §6: nor when the publisher looks late whether it sleeps, for a message that is received already")
  func lateRing() {
    expectNoFault(
      Schedule.explore(
        .sequential,
        setUp: { () -> Channel in
          let channel = Channel()
          channel.send()
          _ = channel.receive()
          return channel
        },
        {
          _ = $0.borrower.shouldRing()
          $0.send()
          _ = $0.borrower.shouldRing()
        }, { $0.sleep() }, check: { _ in nil }))
  }

  @Test("Spec 3 §6: what was reported as not executed is not", arguments: Schedule.Order.allCases)
  func fate(order: Schedule.Order) {
    var outcomes: Set<String> = []
    expectNoFault(
      Schedule.explore(
        order,
        setUp: { () -> Channel in
          let channel = Channel()
          channel.send()
          return channel
        },
        { $0.toldNo = $0.borrower.giveUp(messageAt: 2, session: 3) },
        { $0.executed = $0.receive() && $0.owner.isStillWanted() },
        check: {
          outcomes.insert("\($0.executed ? "executed" : "not executed"), told \($0.toldNo ? "no" : "maybe")")
          return $0.executed && $0.toldNo ? "executed though reported as not" : nil
        }))
    #expect(outcomes.count >= 2, "\(outcomes)")
  }
}
