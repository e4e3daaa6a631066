import Testing

@testable import ScheduledRingBuffer

/// A ring of four lines with both ends, positions just below their wrap.
private final class Ring: @unchecked Sendable {
  var producer: Producer
  var consumer: Consumer
  var sent: [UInt8] = []
  var received: [UInt8] = []
  var errors: [RingError] = []

  init(lines: Int = 4) {
    let region = SharedRegion(size: 4096)
    let credit = region.word(at: 0)
    producer = Producer(region, offset: 64, lineCount: lines, credit: credit)
    consumer = Consumer(region, offset: 64, lineCount: lines, credit: credit)
    producer.reset(start: 0xffff_fff0)
    consumer.reset(start: 0xffff_fff0)
  }

  /// A message of 2 bytes takes a seventh of a line, one of 50 all of it, one of 64 more than one.
  func send(_ value: UInt8, size: Int = 2) {
    var message = MessageBuffer(capacity: 64)
    message.put([UInt8](repeating: value, count: size).span.bytes, at: 0)
    do throws(RingError) {
      if try producer.send(message) { sent.append(value) }
    } catch {
      errors.append(error)
    }
  }

  /// So that `lines` lines are full, but for `left` messages of 2 bytes in the last of them.
  func fill(lines: Int, left: Int = 0) {
    for value in 0..<lines * 7 - left { send(UInt8(value)) }
  }

  func receive() {
    var message = MessageBuffer(capacity: 64)
    do throws(RingError) {
      guard try consumer.receive(into: &message) else { return }
      let bytes = message.bytes
      let first = bytes.unsafeLoad(fromByteOffset: 0, as: UInt8.self)
      var isWhole = [2, 10, 50, 64].contains(bytes.byteCount)
      for offset in 0..<bytes.byteCount {
        isWhole = isWhole && bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self) == first
      }
      received.append(isWhole ? first : 0xff)
    } catch {
      errors.append(error)
    }
  }

  /// What is wrong after a run; the rest of the messages is taken first.
  func fault() -> String? {
    for _ in 0..<30 { receive() }
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
  var news: Endpoint.Event?

  init(isEstablished: Bool = true) {
    let layout = try! LinkLayout(size: 0x3000, channels: 1)
    let region = SharedRegion(size: 0x3000)
    owner = Endpoint(region, layout: layout, channel: 0, role: .owner)
    borrower = Endpoint(region, layout: layout, channel: 0, role: .borrower)
    owner.start(session: 1)
    borrower.start(session: 2)
    while borrower.state != .acknowledged { _ = borrower.refresh() }
    while owner.state != .established { _ = owner.refresh() }
    while isEstablished, borrower.state != .established { _ = borrower.refresh() }
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
    #expect(result.schedules > 2, sourceLocation: place)
  }

  @Test(
    "Spec 2 §4: messages that share a line arrive while it is filled, the next line included",
    arguments: Schedule.Order.allCases)
  func sharedLine(order: Schedule.Order) {
    expectNoFault(
      Schedule.explore(
        order,
        setUp: { () -> Ring in
          let ring = Ring()
          ring.fill(lines: 1, left: 1)
          for _ in 0..<5 { ring.receive() }
          return ring
        },
        {
          $0.send(20)
          if order == .sequential { $0.send(30) }
        },
        {
          $0.receive(); $0.receive()
          if order == .sequential { $0.receive() }
        }, check: { $0.fault() }))
  }

  @Test("Spec 2 §4: a line that is given up for a message that doesn't fit is left behind", arguments: Schedule.Order.allCases)
  func skippedLine(order: Schedule.Order) {
    expectNoFault(
      Schedule.explore(
        order,
        setUp: { () -> Ring in
          let ring = Ring()
          ring.fill(lines: 1, left: 1)
          for _ in 0..<5 { ring.receive() }
          return ring
        },
        { $0.send(20, size: 10) },
        {
          $0.receive(); $0.receive()
          if order == .sequential { $0.receive() }
        }, check: { $0.fault() }))
  }

  @Test("Spec 2 §5: a line is used again when it was given back, and not before", arguments: Schedule.Order.allCases)
  func fullRing(order: Schedule.Order) {
    expectNoFault(
      Schedule.explore(
        order,
        setUp: { () -> Ring in
          let ring = Ring()
          ring.fill(lines: 4)
          for _ in 0..<6 { ring.receive() }
          return ring
        },
        {
          // Each fills a line: the second one wants the line that the consumer is reading.
          $0.send(40, size: order == .sequential ? 50 : 2); $0.send(50, size: order == .sequential ? 50 : 2)
        },
        {
          $0.receive(); $0.receive()
          if order == .sequential { $0.receive() }
        }, check: { $0.fault() }))
  }

  @Test("Spec 2 §4: a message of two lines is seen whole or not at all")
  func twoLines() {
    expectNoFault(
      Schedule.explore(
        .sequential, setUp: { Ring(lines: 8) }, { $0.send(20, size: 64) },
        {
          $0.receive(); $0.receive()
        }, check: { $0.fault() }))
  }

  @Test("Messages that are appended over lines and published at once arrive together", arguments: Schedule.Order.allCases)
  func published(order: Schedule.Order) {
    expectNoFault(
      Schedule.explore(
        order,
        setUp: { () -> Ring in
          let ring = Ring()
          ring.fill(lines: 1, left: 1)
          for _ in 0..<6 { ring.receive() }
          return ring
        },
        { ring in
          var message = MessageBuffer(capacity: 2)
          for value in 60..<62 as Range<UInt8> {
            message.put([value, value].span.bytes, at: 0)
            if (try? ring.producer.append(message)) == true { ring.sent.append(value) }
          }
          ring.producer.publish()
        },
        {
          $0.receive(); $0.receive()
        }, check: { $0.fault() ?? ($0.sent.contains(61) ? nil : "not sent") }))
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

  /// - Parameter after: What the owner does when it has looked at the request.
  private func fate(_ order: Schedule.Order, then after: @escaping @Sendable (Channel) -> Void) {
    var outcomes: Set<String> = []
    expectNoFault(
      Schedule.explore(
        order,
        setUp: { () -> Channel in
          let channel = Channel()
          channel.send()
          return channel
        },
        { $0.toldNo = $0.borrower.giveUp(messageAt: 0, session: 3) },
        {
          $0.executed = $0.receive() && $0.owner.isStillWanted()
          after($0)
        },
        check: {
          outcomes.insert("\($0.executed ? "executed" : "not executed"), told \($0.toldNo ? "no" : "maybe")")
          return $0.executed && $0.toldNo ? "executed though reported as not" : nil
        }))
    #expect(outcomes.count >= 2, "\(outcomes)")
  }

  @Test("Spec 3 §6: what was reported as not executed is not", arguments: Schedule.Order.allCases)
  func fate(order: Schedule.Order) { fate(order) { _ in } }

  // With buffers there are too many orders; `models/fate.pml` has them.
  @Test("Spec 3 §6: nor when the owner takes up the sender's next session meanwhile")
  func fateAcrossSessions() { fate(.sequential) { _ = $0.owner.refresh() } }

  @Test("Spec 3 §3: a peer that begins again is not taken for one whose memory can't be seen")
  func patternOfSuccessor() {
    var news: Set<String> = []
    expectNoFault(
      Schedule.explore(
        .sequential, setUp: { Channel(isEstablished: false) }, { $0.owner.start(session: 9) },
        { $0.news = $0.borrower.refresh() },
        check: {
          news.insert("\($0.news.map { "\($0)" } ?? "")")
          return $0.news == .lost(.badMemory) ? "a restart was taken for bad memory" : nil
        }))
    #expect(news.count >= 2, "\(news)")
  }
}
