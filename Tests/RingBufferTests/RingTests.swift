import TestSupport
import Testing

@testable import RingBuffer

@Suite("Producer and consumer")
struct RingTests {
  @Test(
    "Spec 2 §4: messages of every size come out as they went in, on every line",
    arguments: [UInt32(0), 0x7fff_fff0, 0xffff_ffd0])
  func everySize(start: UInt32) throws {
    var ring = TestRing(start: start)
    for size in 1...ring.producer.maximumMessageSize {
      let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ size) }
      try expect(ring.send(bytes))
      try expect(ring.receive() == bytes)
      try expect(ring.receive() == nil)
    }
  }

  @Test("Order is kept through many laps and through the wrap of the position")
  func order() throws {
    var generator = SeededGenerator("order")
    var ring = TestRing(start: 0xffff_ff00)
    var sent: UInt32 = 0
    var received: UInt32 = 0
    while received < 20_000 {
      if Bool.random(using: &generator) {
        let size = Int.random(in: 4...ring.producer.maximumMessageSize, using: &generator)
        var bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: sent), count: size)
        withUnsafeBytes(of: sent.littleEndian) { for i in 0..<4 { bytes[i] = $0[i] } }
        if try ring.send(bytes) { sent += 1 }
      } else if let bytes = try ring.receive() {
        let number = bytes.prefix(4).reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        try #require(number == received)
        expect(bytes.dropFirst(4).allSatisfy { $0 == UInt8(truncatingIfNeeded: received) })
        received += 1
      }
    }
  }

  @Test("Full is a state: nothing is written, and a line that is given back is used again")
  func full() throws {
    var ring = TestRing()
    for i in 0..<64 { try expect(ring.send([UInt8(i)])) }
    try expect(!ring.send([99]))
    try expect(!ring.producer.hasRoom(of: 1))
    try expect(ring.receive() == [0])
    try expect(ring.producer.hasRoom(of: 56))
    try expect(!ring.producer.hasRoom(of: 57))
    try expect(ring.send([99]))
    for i in 1..<64 { try expect(ring.receive() == [UInt8(i)]) }
    try expect(ring.receive() == [99])
  }

  @Test("Room for several messages is room for all of their lines")
  func roomForSeveral() throws {
    var ring = TestRing()
    try expect(ring.producer.hasRoom(for: 64, of: 56))
    try expect(!ring.producer.hasRoom(for: 65, of: 56))
    try expect(!ring.producer.hasRoom(for: 33, of: 57))
  }

  @Test("Spec 2 §4: the unused bytes of a message's last word are 0, whatever the buffer held before")
  func noLeak() throws {
    var ring = TestRing()
    ring.message.put([UInt8](repeating: 0xee, count: 56).span.bytes, at: 0)
    try expect(ring.send([1, 2, 3, 4, 5]))
    expect(ring.memory[ring.line(0) + 12] == 0x0000_0005)
  }

  @Test("Spec 2 §4: after a reset no stamp of an earlier session is left, where positions happen to match too")
  func resetClears() throws {
    var ring = TestRing(start: 5)
    for _ in 0..<40 { try expect(ring.send([1])) }
    ring.begin(at: 5)
    try expect(ring.receive() == nil)
    expect(!ring.consumer.isReady)
    for position in UInt32(0)..<64 { expect(ring.memory[ring.line(position)] == 0) }
  }

  @Test("A message that looks like a header does not become one: payload never lies where a stamp is read")
  func forgedHeader() throws {
    var ring = TestRing()
    // Words that would be stamps of the lines that the message covers.
    var bytes: [UInt8] = []
    for position in UInt32(0)..<196 { withUnsafeBytes(of: (position | 0x8000_0000).littleEndian) { bytes += Array($0) } }
    try expect(ring.send(bytes))
    try expect(ring.receive() == bytes)
    try expect(ring.receive() == nil)
  }

  // ---- What no honest peer writes ------------------------------------------------------------------------------------

  @Test(
    "Spec 2 §4: a stamp that is neither this position's nor the previous lap's nor 0 is refused",
    arguments: [
      UInt32(1), 0x7fff_ffff, 0x8000_0001, 0x8000_0040, 0xffff_ffff, 0x8000_0005,
    ])
  func badStamp(stamp: UInt32) throws {
    var ring = TestRing(start: 4)
    ring.memory[ring.line(4)] = stamp
    expect(ring.consumer.isReady)
    expectThrow(RingError.badStamp(position: 4)) { _ = try ring.receive() }
  }

  @Test("Spec 2 §4: the previous lap's stamp means empty")
  func previousLap() throws {
    var ring = TestRing(start: 100)
    ring.memory[ring.line(100)] = 0x8000_0000 | (100 - 64)
    expect(!ring.consumer.isReady)
    try expect(ring.receive() == nil)
  }

  @Test("Spec 2 §4: a length of 0 or beyond a quarter of the ring is refused", arguments: [UInt32(0), 897, 0x8000_0000, .max])
  func badLength(length: UInt32) throws {
    var ring = TestRing()
    ring.memory[ring.line(0) + 4] = length
    ring.memory[ring.line(0)] = 0x8000_0000
    expectThrow(RingError.badLength(position: 0, length: length)) { _ = try ring.receive() }
  }

  @Test("A message longer than the receiver's buffer is refused and not cut")
  func beyondTheBuffer() throws {
    var ring = TestRing()
    try expect(ring.send([UInt8](repeating: 1, count: 57)))
    var small = MessageBuffer(capacity: 56)
    expectThrow(RingError.badLength(position: 0, length: 57)) { _ = try ring.consumer.receive(into: &small) }
  }

  @Test("Spec 2 §5: credit for what was never sent, or taken back, is refused")
  func badCredit() throws {
    var ring = TestRing(start: 10)
    for _ in 0..<64 { _ = try ring.send([1]) }
    for credit in [UInt32(75), 9, 0, .max, 10 &+ 0x8000_0000] {
      ring.memory[TestRing.creditOffset] = credit
      expectThrow(RingError.badCredit(credit)) { _ = try ring.producer.hasRoom(of: 1) }
    }
    ring.memory[TestRing.creditOffset] = 20
    try expect(ring.producer.hasRoom(for: 10, of: 1))
    for _ in 0..<10 { try expect(ring.send([1])) }
    ring.memory[TestRing.creditOffset] = 19
    expectThrow(RingError.badCredit(19)) { _ = try ring.producer.hasRoom(of: 1) }
  }

  @Test("Whatever a peer writes into lines and credit, both ends answer with a message, a state or an error")
  func fuzz() throws {
    var generator = SeededGenerator("ring fuzz")
    for _ in 0..<300 {
      var ring = TestRing(start: UInt32.random(in: 0...UInt32.max, using: &generator))
      for _ in 0..<200 {
        let offset = Int.random(in: 0..<(64 + 64 * 64) / 4, using: &generator) * 4
        switch Int.random(in: 0..<6, using: &generator) {
        case 0: ring.memory[offset] = .random(in: 0...UInt32.max, using: &generator)
        case 1: ring.memory[offset] = .random(in: 0...64, using: &generator)
        case 2: ring.memory[ring.line(ring.consumer.position)] = ring.consumer.position | 0x8000_0000
        case 3: ring.memory[TestRing.creditOffset] = ring.producer.position &- .random(in: 0...70, using: &generator)
        case 4:
          let size = Int.random(in: 1...ring.producer.maximumMessageSize, using: &generator)
          _ = try? ring.send([UInt8](repeating: 1, count: size))
        default:
          if let bytes = try? ring.receive() { expect((1...ring.producer.maximumMessageSize).contains(bytes.count)) }
        }
      }
    }
  }

  // ---- Two threads ---------------------------------------------------------------------------------------------------

  @Test("A producer and a consumer in two threads: every message, in order, intact")
  func twoThreads() throws {
    let count = 50_000
    final class Ends: @unchecked Sendable {
      var ring = TestRing(start: 0xffff_fff0)
      var wrong = 0
    }
    let ends = Ends()
    // Each thread has an end and a buffer of its own; `ring` is only their common memory.
    let lines = 64
    let region = ends.ring.memory.region
    let credit = region.word(at: TestRing.creditOffset)
    let sender = inThread {
      var producer = Producer(region, offset: 64, lineCount: lines, credit: credit)
      producer.reset(start: 0xffff_fff0)  // cleared when the ring was made
      var message = MessageBuffer(capacity: 896)
      for i in 0..<count {
        message.put([UInt8](repeating: UInt8(truncatingIfNeeded: i), count: 1 + i % 300).span.bytes, at: 0)
        while (try? producer.send(message)) != true {}
      }
    }
    let receiver = inThread {
      var consumer = Consumer(region, offset: 64, lineCount: lines, credit: credit)
      consumer.position = 0xffff_fff0
      var message = MessageBuffer(capacity: 896)
      for i in 0..<count {
        while (try? consumer.receive(into: &message)) != true {}
        let bytes = message.array
        if bytes.count != 1 + i % 300 || bytes.contains(where: { $0 != UInt8(truncatingIfNeeded: i) }) { ends.wrong += 1 }
      }
    }
    sender.wait()
    receiver.wait()
    expect(ends.wrong == 0)
  }

  // ---- Our own caller's mistakes -------------------------------------------------------------------------------------

  @Test("Sending nothing, or more than a quarter of the ring, is the caller's mistake")
  func callersMistake() async {
    await #expect(processExitsWith: .failure) {
      var ring = TestRing()
      ring.message.count = 0
      _ = try ring.producer.send(ring.message)
    }
    await #expect(processExitsWith: .failure) {
      var ring = TestRing()
      let long = MessageBuffer([UInt8](repeating: 1, count: 897))
      _ = try ring.producer.send(long)
    }
    await #expect(processExitsWith: .failure) {
      let memory = TestRegion(size: 4096)
      _ = memory.region.word(at: 4094)
    }
  }
}
