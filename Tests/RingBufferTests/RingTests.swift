import TestSupport
import Testing

@testable import RingBuffer

@Suite("Producer and consumer")
struct RingTests {
  @Test(
    "Spec 2 §4: messages of every size come out as they went in, on every line",
    arguments: [UInt32(0), 0x7fff_fff0, 0xffff_ff80])
  func everySize(start: UInt32) throws {
    var ring = TestRing(start: start)
    for size in 1...ring.producer.maximumMessageSize {
      let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ size) }
      try expect(ring.send(bytes))
      try expect(ring.receive() == bytes)
      try expect(ring.receive() == nil)
    }
  }

  @Test("Before a session begins the ring takes no more than it holds")
  func beforeSession() throws {
    let region = TestRegion(size: 64 + 64 * 64, fill: 0)
    var producer = Producer(region.region, offset: 64, lineCount: 64, credit: region.region.word(at: 0))
    let message = MessageBuffer([1])
    var sent = 0
    while sent < 1000, try producer.send(message) { sent += 1 }
    #expect(sent == 64 * 7)
  }

  @Test(
    "Order is kept through many laps and through the wrap of the position, by the rules of write-combined memory too",
    arguments: [false, true])
  func order(isWriteCombined: Bool) throws {
    var generator = SeededGenerator("order")
    var ring = TestRing(start: 0xffff_ff00, isWriteCombined: isWriteCombined)
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

  @Test("Spec 2 §4: small messages share a line, and none is split that a line can hold")
  func sharedLines() throws {
    var ring = TestRing()
    for i in 0..<7 { try expect(ring.send([UInt8(i)])) }
    expect(ring.producer.position == 8)
    for _ in 0..<2 { try expect(ring.send([UInt8](repeating: 1, count: 24))) }
    expect(ring.producer.position == 16)
    try expect(ring.send([1]))
    try expect(ring.send([UInt8](repeating: 1, count: 56)))
    expect(ring.memory[ring.line(16)] == 0xf10 + 0)
    expect(ring.producer.position == 32)
    for i in 0..<7 { try expect(ring.receive() == [UInt8(i)]) }
    for size in [24, 24, 1, 56] { try expect(ring.receive()?.count == size) }
    try expect(ring.receive() == nil)
  }

  @Test("What is appended is seen when it is published, all of it, in order, however many lines it takes")
  func appended() throws {
    var generator = SeededGenerator("appended")
    var ring = TestRing(start: 0xffff_ff00)
    for _ in 0..<2000 {
      var sizes: [Int] = []
      for _ in 0..<Int.random(in: 1...12, using: &generator) { sizes.append(.random(in: 1...200, using: &generator)) }
      for (index, size) in sizes.enumerated() {
        ring.message.put([UInt8](repeating: UInt8(index), count: size).span.bytes, at: 0)
        try expect(ring.producer.append(ring.message))
        expect(!ring.consumer.isReady)
        try expect(ring.receive() == nil)
      }
      ring.producer.publish()
      for (index, size) in sizes.enumerated() {
        expect(ring.consumer.isReady)
        try expect(ring.receive() == [UInt8](repeating: UInt8(index), count: size))
      }
      try expect(ring.receive() == nil)
      expect(!ring.consumer.isReady)
    }
  }

  @Test("Records of equal size arrive as messages, as many as fit", arguments: [8, 16, 24, 40, 56])
  func records(size: Int) throws {
    var generator = SeededGenerator("records")
    var ring = TestRing(start: 0xffff_ff00)
    for _ in 0..<200 {
      let count = Int.random(in: 1...700 / size, using: &generator)
      let bytes = (0..<count * size).map { UInt8(truncatingIfNeeded: $0 / size &* 5) }
      ring.message.put(bytes.span.bytes, at: 0)
      try expect(ring.producer.append(ring.message, each: size) == count)
      expect(!ring.consumer.isReady)
      ring.producer.publish()
      for index in 0..<count { try expect(ring.receive() == Array(bytes[index * size..<(index + 1) * size])) }
      try expect(ring.receive() == nil)
    }
    ring.message.put([UInt8](repeating: 3, count: 112).span.bytes, at: 0)
    var sent = 0
    while case let count = try ring.producer.append(ring.message, each: 56), count > 0 { sent += count }
    expect(sent >= 63)
    for _ in 0..<sent { try expect(ring.receive() == [UInt8](repeating: 3, count: 56)) }
  }

  @Test("A ring that fills up while messages are appended publishes them: otherwise nobody could make room")
  func appendedTooMuch() throws {
    var ring = TestRing()
    ring.message.put([UInt8](repeating: 7, count: 100).span.bytes, at: 0)
    var count = 0
    while try ring.producer.append(ring.message) { count += 1 }
    expect(count >= 64 * 7 / 13 - 1)
    for _ in 0..<count { try expect(ring.receive() == [UInt8](repeating: 7, count: 100)) }
    try expect(ring.receive() == nil)
    try expect(ring.producer.append(ring.message))
  }

  @Test("Spec 2 §5: credit is given a quarter of the ring at once, when the ring is empty, and when asked for")
  func lazyCredit() throws {
    var ring = TestRing()
    let line = [UInt8](repeating: 1, count: 56)
    for _ in 0..<40 { try expect(ring.send(line)) }
    func credit(_ ring: borrowing TestRing) -> UInt32 { ring.memory[TestRing.creditOffset] }
    for _ in 0..<16 { try expect(ring.receive() == line) }
    expect(credit(ring) == 0)
    try expect(ring.receive() == line)
    expect(credit(ring) == 16 * 8)
    try expect(ring.receive() == line)
    ring.consumer.giveCredit()
    expect(credit(ring) == 18 * 8)
    for _ in 18..<40 { try expect(ring.receive() == line) }
    try expect(ring.receive() == nil)
    expect(credit(ring) == 40 * 8)
  }

  @Test("Full is a state: nothing is written, and a line that is given back is used again")
  func full() throws {
    var ring = TestRing()
    func line(_ value: Int) -> [UInt8] { [UInt8](repeating: UInt8(value), count: 56) }
    for i in 0..<64 { try expect(ring.send(line(i))) }
    try expect(!ring.send([99]))
    try expect(!ring.producer.hasRoom(of: 1))
    try expect(ring.receive() == line(0))
    ring.consumer.giveCredit()
    try expect(ring.producer.hasRoom(of: 56))
    try expect(!ring.producer.hasRoom(of: 57))
    try expect(ring.send([99]))
    for i in 1..<64 { try expect(ring.receive() == line(i)) }
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

  @Test("Spec 2 §4: after a reset no header of an earlier session is left, where positions happen to match too")
  func resetClears() throws {
    var ring = TestRing(start: 40)
    for _ in 0..<40 { try expect(ring.send([1])) }
    ring.begin(at: 40)
    try expect(ring.receive() == nil)
    expect(!ring.consumer.isReady)
    for line in UInt32(0)..<64 { expect(ring.memory[ring.line(line * 8)] == 0) }
  }

  @Test("A message that looks like a header does not become one: payload never lies where a header is read")
  func forgedHeader() throws {
    var ring = TestRing()
    // Headers of all laps.
    var bytes: [UInt8] = []
    for word in 0..<ring.producer.maximumMessageSize / 4 { bytes += [0x10 | UInt8(word & 15), 0x11, 0x11, 0x11] }
    for _ in 0..<50 {
      try expect(ring.send(bytes))
      try expect(ring.receive() == bytes)
      try expect(ring.receive() == nil)
    }
  }

  // ---- What no honest peer writes ------------------------------------------------------------------------------------

  @Test(
    "Spec 2 §4: a header of another lap, and a first tag that can't be there, are refused",
    arguments: [UInt32(0x11), 0x13, 0x1e, 0xa2, 0xe2, 0xf2, 0xffff_fff2, 0xffff_ffff])
  func badHeader(header: UInt32) throws {
    var ring = TestRing(start: 2 * 64 * 8)
    ring.memory[ring.line(0)] = header
    // Nothing but the lap before is the same as empty.
    guard header & 15 != 1 else { return try expect(ring.receive() == nil && !ring.consumer.isReady) }
    expect(ring.consumer.isReady)
    for _ in 0..<2 { expectThrow(RingError.badHeader(position: 0x400)) { _ = try ring.receive() } }
  }

  @Test(
    "Spec 2 §4: a message that does not end, or not properly, is refused",
    arguments: [UInt32(0x0999_9990), 0xf999_9990, 0x9999_9990, 0xa990, 0x990])
  func endless(header: UInt32) throws {
    var ring = TestRing()
    ring.memory[ring.line(0)] = header
    ring.memory[ring.line(8)] = 0xf0
    expect(ring.consumer.isReady)
    for _ in 0..<2 { expectThrow(RingError.badHeader(position: 0)) { _ = try ring.receive() } }
  }

  @Test("Spec 2 §4: a message that goes on for ever, all around the ring, is refused")
  func aroundTheRing() throws {
    var ring = TestRing()
    for line in UInt32(0)..<64 { ring.memory[ring.line(line * 8)] = 0x9999_9990 }
    expectThrow(RingError.tooLong(position: 0)) { _ = try ring.receive() }
  }

  @Test("Spec 2 §4: a line that changes its lap while it is read is refused")
  func lapChanges() throws {
    var ring = TestRing()
    try expect(ring.send([1]))
    try expect(ring.receive() == [1])
    for header in [UInt32(0), 0x11, 0x1f] {
      ring.memory[ring.line(0)] = header
      expect(ring.consumer.isReady == (header != 0))
      if header == 0 {
        try expect(ring.receive() == nil)
      } else {
        expectThrow(RingError.badHeader(position: 2)) { _ = try ring.receive() }
      }
    }
  }

  @Test("A message longer than the receiver's buffer is refused and not cut", arguments: [8, 9, 56, 57, 400])
  func beyondTheBuffer(size: Int) throws {
    var ring = TestRing()
    try expect(ring.send([UInt8](repeating: 1, count: size)))
    if size > 8 {
      var small = MessageBuffer(capacity: size - 1)
      expectThrow(RingError.tooLong(position: 0)) { _ = try ring.consumer.receive(into: &small) }
    }
    var fitting = MessageBuffer(capacity: size)
    try expect(ring.consumer.receive(into: &fitting))
    expect(fitting.count == size)
  }

  @Test("Spec 2 §5: credit for what was never sent, or taken back, is refused")
  func badCredit() throws {
    var ring = TestRing(start: 80)
    let line = [UInt8](repeating: 1, count: 56)
    for _ in 0..<64 { _ = try ring.send(line) }
    for credit in [UInt32(80 + 64 * 8 + 1), 79, 0, .max, 80 &+ 0x8000_0000] {
      ring.memory[TestRing.creditOffset] = credit
      expectThrow(RingError.badCredit(credit)) { _ = try ring.producer.hasRoom(of: 1) }
    }
    ring.memory[TestRing.creditOffset] = 160
    try expect(ring.producer.hasRoom(for: 10, of: 1))
    for _ in 0..<10 { try expect(ring.send(line)) }
    ring.memory[TestRing.creditOffset] = 159
    expectThrow(RingError.badCredit(159)) { _ = try ring.producer.hasRoom(of: 1) }
  }

  @Test("Whatever a peer writes into lines and credit, both ends answer with a message, a state or an error")
  func fuzz() throws {
    var generator = SeededGenerator("ring fuzz")
    for _ in 0..<300 {
      var ring = TestRing(start: UInt32.random(in: 0...UInt32.max, using: &generator) & ~7)
      for _ in 0..<200 {
        let offset = Int.random(in: 0..<(64 + 64 * 64) / 4, using: &generator) * 4
        switch Int.random(in: 0..<6, using: &generator) {
        case 0: ring.memory[offset] = .random(in: 0...UInt32.max, using: &generator)
        case 1: ring.memory[offset] = .random(in: 0...64, using: &generator)
        case 2:
          // A header that may be looked into.
          let tags: [UInt32] = [0, 1, 8, 9, 9, 9, 9, 9, 10, 15]
          var header = ring.consumer.currentLap
          for slot in 1..<8 as Range<UInt32> { header |= tags.randomElement(using: &generator)! << (slot * 4) }
          ring.memory[ring.line(ring.consumer.position &+ 8 * .random(in: 0...1, using: &generator))] = header
        case 3: ring.memory[TestRing.creditOffset] = ring.producer.position &- .random(in: 0...600, using: &generator)
        case 4:
          let size = Int.random(in: 1...ring.producer.maximumMessageSize, using: &generator)
          _ = try? ring.send([UInt8](repeating: 1, count: size))
        default:
          if let bytes = try? ring.receive() { expect((1...ring.producer.maximumMessageSize).contains(bytes.count)) }
        }
      }
    }
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
