import Foundation
import TestSupport
import Testing

@testable import RingBuffer

@Suite("Session, sleep and wake")
struct EndpointTests {
  // ---- Handshake -----------------------------------------------------------------------------------------------------

  @Test("Spec 3 §2: over junk memory, either side first, both become established")
  func eitherFirst() {
    var link = TestLink()
    link.borrower.start(session: 7)
    for _ in 0..<3 { _ = link.borrower.refresh() }
    expect(link.borrower.state != .established)
    link.owner.start(session: 9)
    link.settle()
    expect(link.owner.state == .established && link.borrower.state == .established)

    var other = TestLink()
    other.owner.start(session: 9)
    for _ in 0..<3 { _ = other.owner.refresh() }
    other.borrower.start(session: 7)
    other.settle()
    expect(other.owner.state == .established && other.borrower.state == .established)
  }

  @Test("Spec 3 §3: a restarted side begins with empty rings, and the other one is told that the session is lost")
  func restart() throws {
    var link = TestLink()
    link.establish()
    let message = MessageBuffer([1, 2, 3])
    try expect(link.borrower.producer.send(message))
    link.borrower.start(session: 0x3333)
    expect(link.owner.refresh() == .lost(nil))
    link.settle()
    expect(link.owner.state == .established && link.borrower.state == .established)
    var buffer = MessageBuffer(capacity: 896)
    try expect(!link.owner.consumer.receive(into: &buffer))
    try expect(link.borrower.producer.send(message))
    try expect(link.owner.consumer.receive(into: &buffer))
    expect(buffer.array == [1, 2, 3])
  }

  @Test("Spec 3 §6: an owner knows which answers were received, however many laps ago, and still when the session is over")
  func received() throws {
    var link = TestLink()
    link.establish()
    let message = MessageBuffer([UInt8](repeating: 7, count: 100))
    var buffer = MessageBuffer(capacity: 896)
    let first = link.owner.producer.position
    try expect(link.owner.producer.send(message))
    expect(!link.owner.isReceived(messageAt: first))
    for _ in 0..<500 {
      try expect(link.borrower.consumer.receive(into: &buffer))
      link.borrower.consumer.giveCredit()
      try expect(link.owner.producer.send(message))
    }
    expect(link.owner.isReceived(messageAt: first))
    try expect(link.borrower.consumer.receive(into: &buffer))
    let last = link.owner.producer.position
    try expect(link.owner.producer.send(message))
    let unread = link.owner.producer.position
    try expect(link.owner.producer.send(message))
    try expect(link.borrower.consumer.receive(into: &buffer))
    // It said nothing of the last one that it received: it does so before it begins anew, and resets nothing before the owner has looked.
    link.borrower.start(session: 0x3333)
    for _ in 0..<3 { _ = link.borrower.refresh() }
    expect(link.owner.refresh() == .lost(nil))
    expect(link.owner.wasReceived(messageAt: first) && link.owner.wasReceived(messageAt: last))
    expect(!link.owner.wasReceived(messageAt: unread))
    link.settle()
    expect(link.owner.state == .established && link.borrower.state == .established)
    expect(!link.owner.wasReceived(messageAt: unread))
  }

  @Test(
    "Spec 3 §5: what looks like a violation of a peer that has restarted is none, and what it received is known all the same")
  func restartLooksWrong() throws {
    var link = TestLink()
    link.establish()
    let message = MessageBuffer([1, 2, 3])
    let unread = link.owner.producer.position
    try expect(link.owner.producer.send(message))
    link.borrower.start(session: 0x3333)
    expect(!link.owner.poison(.badHeader))
    expect(link.owner.state == .established)
    expect(link.owner.refresh() == .lost(nil))
    expect(!link.owner.wasReceived(messageAt: unread))
    link.settle()
    expect(link.owner.poison(.badFrame))
    expect(link.owner.state == .sync)
  }

  @Test("Spec 3 §3: a successor that draws its predecessor's number has another session all the same")
  func sameNumber() throws {
    var link = TestLink()
    link.establish()
    link.owner = Endpoint(link.memory.region, layout: link.layout, channel: 0, role: .owner)
    link.owner.start(session: 0x1111)
    for _ in 0..<8 { _ = link.owner.refresh() }  // takes up the borrower's session before that looks
    expect(link.borrower.refresh() == .lost(nil))
    link.settle()
    expect(link.borrower.state == .established && link.owner.state == .established)
  }

  @Test("Spec 3 §5: a side that doesn't see what its peer stored refuses it with a reason, and takes its successor")
  func badMemory() {
    var link = TestLink()
    link.borrower.start(session: 0x2222)
    for offset in stride(from: 0x120, to: 0x140, by: 4) {
      link.owner.start(session: UInt32(offset))
      let right = link.memory[offset]
      link.memory[offset] = right ^ 0x100
      var events: [Endpoint.Event] = []
      for _ in 0..<8 {
        events.append(link.owner.refresh())
        // The owner states it again with its acknowledgement.
        link.memory[offset] = right ^ 0x100
        events.append(link.borrower.refresh())
      }
      expect(events.contains(.lost(.badMemory)), "offset \(offset)")
      expect(link.borrower.state != .established && link.memory[0x18c] == PoisonReason.badMemory.rawValue)
      link.owner.start(session: 0x3333)
      link.settle()
      expect(link.owner.state == .established && link.borrower.state == .established, "offset \(offset)")
    }
  }

  @Test("Spec 2 §6: each side sees what the other says about interrupts")
  func bells() {
    for (bell, word) in [
      (Bell(), 0), (Bell(rings: true, id: nil), 0x8000_0000), (Bell(rings: false, id: 0), 1),
      (Bell(rings: true, id: .max), 0x8001_0000),
    ] as [(Bell, UInt32)] {
      var link = TestLink()
      link.owner.bell = bell
      link.establish()
      expect(link.memory[0x118] == word && link.borrower.peerBell == bell && link.owner.peerBell == Bell())
    }
    // Whatever the peer says there.
    for word in [0x0001_0001, 0x7fff_ffff, 0xffff_ffff] as [UInt32] {
      var link = TestLink()
      link.establish()
      link.memory[0x198] = word
      expect(link.owner.peerBell.id == nil && link.owner.peerBell.rings == (word >> 31 == 1))
    }
  }

  @Test("Spec 3 §3: a side that ends its session ends the peer's; its successor begins a new one")
  func close() {
    var link = TestLink()
    link.establish()
    link.owner.end()
    expect(link.borrower.refresh() == .lost(nil))
    expect(link.borrower.refresh() == .none)
    expect(link.borrower.state == .sync)
    link.owner.start(session: 0x4444)
    link.settle()
    expect(link.borrower.state == .established)
  }

  @Test("Spec 3 §3: what a side says of itself is restored for a peer's next session, whatever the last one wrote over it")
  func wordsRestored() throws {
    var generator = SeededGenerator("wordsRestored")
    for _ in 0..<500 {
      var link = TestLink()
      link.establish()
      // The owner's words as well as its ring.
      for _ in 0..<40 {
        link.memory[Int.random(in: 0x40..<0x60, using: &generator) * 4] = .random(in: 0...UInt32.max, using: &generator)
        link.memory[Int.random(in: 0x400..<0xc00, using: &generator) * 4] = .random(in: 0...UInt32.max, using: &generator)
      }
      link.borrower = Endpoint(link.memory.region, layout: link.layout, channel: 0, role: .borrower)
      link.borrower.start(session: .random(in: 3...UInt32.max, using: &generator))
      link.settle()
      expect(link.owner.state == .established && link.borrower.state == .established)
      var buffer = MessageBuffer(capacity: 896)
      for _ in 0..<100 {
        try expect(link.borrower.producer.send(MessageBuffer([1])))
        try expect(link.owner.consumer.receive(into: &buffer))
        try expect(link.owner.producer.send(MessageBuffer([2])))
        try expect(link.borrower.consumer.receive(into: &buffer))
      }
    }
  }

  @Test("Spec 2 §2: an owner states its identity anew with each session of its peer")
  func identityRestated() throws {
    let memory = TestRegion(size: 0x1000 + 2 * 64 * 64)
    let layout = try LinkLayout(size: memory.region.size, channels: 1)
    let identity = LinkIdentity(layout, protocolVersion: 1)
    var owner = Endpoint(memory.region, layout: layout, channel: 0, role: .owner, identity: identity)
    var borrower = Endpoint(memory.region, layout: layout, channel: 0, role: .borrower)
    owner.start(session: 1)
    expect(LinkIdentity(reading: memory.region) == identity)
    memory[0] = 0
    borrower.start(session: 2)
    _ = owner.refresh()
    expect(LinkIdentity(reading: memory.region) == identity)
  }

  @Test("Spec 3 §5: a poisoned peer reads the reason, and its next session is accepted by itself")
  func poison() {
    var link = TestLink()
    link.establish()
    link.owner.poison(.tooLong)
    expect(link.owner.state == .sync)
    // The same session gets no second chance.
    expect(link.owner.refresh() == .none)
    expect(link.owner.state == .sync)
    expect(link.borrower.peerRefusal == .tooLong)
    expect(link.borrower.refresh() == .lost(.tooLong))
    link.settle()
    expect(link.owner.state == .established && link.borrower.state == .established)
    expect(link.borrower.peerRefusal == nil)
  }

  @Test("Spec 3 §5: what looks like a violation because the peer restarted is none")
  func poisonAfterRestart() {
    var link = TestLink()
    link.establish()
    link.borrower.start(session: 0x3333)
    link.owner.poison(.badHeader)
    link.settle()
    expect(link.owner.state == .established)
  }

  @Test("At every step of random crashes, restarts, sends and receives: no message crosses sessions, and both recover")
  func randomSessions() throws {
    var generator = SeededGenerator("randomSessions")
    for _ in 0..<200 {
      var link = TestLink()
      link.owner.start(session: .random(in: 1...UInt32.max, using: &generator))
      link.borrower.start(session: .random(in: 1...UInt32.max, using: &generator))
      var sent: UInt32 = 0
      var expected: (owner: UInt32, borrower: UInt32, number: UInt32) = (0, 0, 0)
      var buffer = MessageBuffer(capacity: 896)
      for _ in 0..<300 {
        switch Int.random(in: 0..<12, using: &generator) {
        case 0: link.borrower.start(session: .random(in: 1...UInt32.max, using: &generator))
        case 1: link.owner.start(session: .random(in: 1...UInt32.max, using: &generator))
        case 2:
          // A crash: the successor knows nothing but the region.
          link.borrower = Endpoint(link.memory.region, layout: link.layout, channel: 0, role: .borrower)
          link.borrower.start(session: .random(in: 1...UInt32.max, using: &generator))
        case 3...5: _ = link.owner.refresh()
        case 6...8: _ = link.borrower.refresh()
        case 9, 10:
          guard link.borrower.state == .established else { continue }
          var bytes: [UInt8] = []
          for word in [link.borrower.session, sent] { withUnsafeBytes(of: word.littleEndian) { bytes += Array($0) } }
          let message = MessageBuffer(bytes + [UInt8](repeating: 1, count: .random(in: 0...200, using: &generator)))
          if try link.borrower.producer.send(message) { sent += 1 }
        default:
          _ = link.owner.refresh()
          guard link.owner.state == .established else { continue }
          do {
            guard try link.owner.consumer.receive(into: &buffer) else { continue }
          } catch {
            // Only a restart under way may look like a violation, and then poisoning does nothing.
            link.owner.poison(error.reason)
            expect(link.owner.state == .established, "an honest peer was poisoned: \(error)")
            continue
          }
          guard link.owner.isStillWanted() else { continue }
          let words = stride(from: 0, to: 8, by: 4).map { start in
            buffer.array[start..<start + 4].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
          }
          expect(words[0] == link.borrower.session, "a message of a session that is over")
          if expected.owner == link.owner.session, expected.borrower == words[0] { expect(words[1] == expected.number) }
          expected = (link.owner.session, words[0], words[1] + 1)
        }
      }
      link.settle()
      expect(link.owner.state == .established && link.borrower.state == .established)
      while try link.owner.consumer.receive(into: &buffer) {}
      try expect(link.borrower.producer.send(MessageBuffer([42])))
      try expect(link.owner.consumer.receive(into: &buffer))
      expect(buffer.array == [42])
    }
  }

  // ---- The fate of a message (Spec 3 §6) -------------------------------------------------------------------------------

  @Test("Spec 3 §6: a message given up before it was taken is not executed, and its sender knows")
  func givenUpBefore() throws {
    var link = TestLink()
    link.establish()
    let start = link.borrower.producer.position
    try expect(link.borrower.producer.send(MessageBuffer([1])))
    expect(link.borrower.giveUp(messageAt: start, session: 0x3333))
    var buffer = MessageBuffer(capacity: 896)
    // The owner hasn't noticed yet and takes it.
    if try link.owner.consumer.receive(into: &buffer) { expect(!link.owner.isStillWanted()) }
  }

  @Test("Spec 3 §6: a message given up after it was taken may have been executed")
  func givenUpAfter() throws {
    var link = TestLink()
    link.establish()
    let start = link.borrower.producer.position
    try expect(link.borrower.producer.send(MessageBuffer([1])))
    var buffer = MessageBuffer(capacity: 896)
    try expect(link.owner.consumer.receive(into: &buffer))
    expect(link.owner.isStillWanted())
    expect(!link.borrower.giveUp(messageAt: start, session: 0x3333))
  }

  @Test("Spec 3 §6: nobody can tell when a successor of the peer has reset the credit")
  func givenUpAcrossRestart() throws {
    var link = TestLink()
    link.establish()
    let start = link.borrower.producer.position
    try expect(link.borrower.producer.send(MessageBuffer([1])))
    var buffer = MessageBuffer(capacity: 896)
    try expect(link.owner.consumer.receive(into: &buffer))
    link.owner = Endpoint(link.memory.region, layout: link.layout, channel: 0, role: .owner)
    link.owner.start(session: 0x5555)
    _ = link.owner.refresh()
    expect(!link.borrower.giveUp(messageAt: start, session: 0x3333))
  }

  @Test("Spec 3 §6, two threads: what was reported as not executed never is")
  func givenUpRace() throws {
    let rounds = 10_000
    final class Shared: @unchecked Sendable {
      let memory = TestRegion(size: 0x1000 + 2 * 64 * 64)
      let layout = try! LinkLayout(size: 0x1000 + 2 * 64 * 64, channels: 1)
      let executed: SharedRegion
      private let executedMemory: TestRegion
      init(rounds: Int) {
        executedMemory = TestRegion(size: (rounds + 16) * 4 / 64 * 64 + 64, fill: 0)
        executed = executedMemory.region
      }
    }
    let shared = Shared(rounds: rounds)
    let owner = inThread {
      var owner = Endpoint(shared.memory.region, layout: shared.layout, channel: 0, role: .owner)
      owner.start(session: 0x1111)
      var buffer = MessageBuffer(capacity: 896)
      while shared.executed.word(at: rounds * 4).load() == 0 {
        _ = owner.refresh()
        guard owner.state == .established, (try? owner.consumer.receive(into: &buffer)) == true, owner.isStillWanted() else {
          continue
        }
        let index = buffer.array.reversed().reduce(0) { $0 << 8 | Int($1) }
        shared.executed.word(at: index * 4).store(1)
      }
    }
    let promised = UnsafeMutablePointer<Bool>.allocate(capacity: rounds)
    promised.initialize(repeating: false, count: rounds)
    defer { promised.deallocate() }
    var borrower = Endpoint(shared.memory.region, layout: shared.layout, channel: 0, role: .borrower)
    var session: UInt32 = 1
    borrower.start(session: session)
    var kept = 0
    for round in 0..<rounds {
      while borrower.state != .established { _ = borrower.refresh() }
      var bytes: [UInt8] = []
      withUnsafeBytes(of: UInt32(round).littleEndian) { bytes = Array($0) }
      let start = borrower.producer.position
      _ = try borrower.producer.send(MessageBuffer(bytes))
      for _ in 0..<(round % 97) * 3 { if (try? borrower.producer.hasRoom(of: 1)) != true { break } }
      session &+= 1
      promised[round] = borrower.giveUp(messageAt: start, session: session)
      if promised[round] { kept += 1 }
    }
    shared.executed.word(at: rounds * 4).store(1)
    owner.wait()
    print("givenUpRace: \(kept) of \(rounds) certainly not executed")
    for round in 0..<rounds where promised[round] { expect(shared.executed.word(at: round * 4).load() == 0) }
  }

  // ---- Sleep and wake (Spec 2 §6) ----------------------------------------------------------------------------------------

  @Test("Spec 2 §6: one ring for each sleep, none for who is awake")
  func ring() throws {
    var link = TestLink()
    link.establish()
    link.owner.disarm()
    expect(!link.borrower.shouldRing())
    link.owner.arm()
    let before = link.owner.incomingDoorbell.load()
    expect(link.borrower.shouldRing())
    expect(link.owner.incomingDoorbell.load() != before)
    expect(!link.borrower.shouldRing())
    link.owner.disarm()
    expect(!link.borrower.shouldRing())
    link.owner.arm()
    expect(link.borrower.shouldRing())
  }

  @Test("Spec 2 §6: a ring that comes late, for a message that is received already, does not use up the sleep's only one")
  func lateRing() throws {
    var link = TestLink()
    link.establish()
    var buffer = MessageBuffer(capacity: 896)
    try expect(link.borrower.producer.send(MessageBuffer([1])))
    try expect(link.owner.consumer.receive(into: &buffer))
    let sampled = link.owner.arm()
    // Only now the borrower looks whether the owner sleeps.
    expect(link.borrower.shouldRing())
    try expect(link.borrower.producer.send(MessageBuffer([2])))
    expect(!link.borrower.shouldRing())
    expect(link.owner.incomingDoorbell.load() != sampled)
  }

  @Test("Spec 2 §6: what came before the last look keeps the sleeper awake")
  func lastLook() throws {
    var link = TestLink()
    link.establish()
    link.owner.arm()
    expect(!link.owner.needsAttention)
    try expect(link.borrower.producer.send(MessageBuffer([1])))
    expect(link.owner.needsAttention)
    var buffer = MessageBuffer(capacity: 896)
    try expect(link.owner.consumer.receive(into: &buffer))
    expect(!link.owner.needsAttention)
    link.borrower.start(session: 0x9999)
    expect(link.owner.needsAttention)
  }

  // ---- A hostile peer --------------------------------------------------------------------------------------------------

  @Test("Whatever a peer writes anywhere in the region, nothing traps, and an honest successor is served")
  func hostile() throws {
    var generator = SeededGenerator("hostile endpoint")
    for _ in 0..<200 {
      var link = TestLink()
      link.owner.start(session: 0x1111)
      var buffer = MessageBuffer(capacity: 896)
      let answer = MessageBuffer([7])
      for _ in 0..<400 {
        // The borrower's words, its ring, and the owner's own words and ring: the page is writable as a whole.
        let offset = Int.random(in: 0..<(0x1000 + 2 * 64 * 64) / 4, using: &generator) * 4
        switch Int.random(in: 0..<8, using: &generator) {
        case 0: link.memory[offset] = .random(in: 0...UInt32.max, using: &generator)
        case 1: link.memory[0x180 + Int.random(in: 0..<24, using: &generator) * 4] = .random(in: 0...3, using: &generator)
        case 2: link.memory[0x180] = .random(in: 0...UInt32.max, using: &generator)
        case 3: link.memory[0x184] = link.owner.session
        case 4: link.memory[0x1000 + Int(link.owner.consumer.position & 63) * 64] = link.owner.consumer.position | 0x8000_0000
        default:
          _ = link.owner.refresh()
          if link.owner.needsAttention { _ = link.owner.shouldRing() }
          guard link.owner.state == .established else { continue }
          do {
            if try link.owner.consumer.receive(into: &buffer) { expect((1...896).contains(buffer.count)) }
            _ = try link.owner.producer.send(answer)
          } catch {
            link.owner.poison(error.reason)
          }
        }
      }
      link.borrower = Endpoint(link.memory.region, layout: link.layout, channel: 0, role: .borrower)
      link.owner.start(session: 0x7777)
      link.borrower.start(session: 0x8888)
      link.settle()
      expect(link.owner.state == .established && link.borrower.state == .established)
      try expect(link.borrower.producer.send(MessageBuffer([42])))
      try expect(link.owner.consumer.receive(into: &buffer))
      expect(buffer.array == [42])
    }
  }
}
