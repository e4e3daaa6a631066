import Foundation
import TestSupport
import Testing

@testable import RingBuffer

@Suite("Spec/vectors")
struct VectorTests {
  @Test("ring.txt: what the lines of a ring hold")
  func ring() throws {
    var ring = TestRing()
    var checked = 0
    for (line, words) in try vectors("ring.txt") {
      switch words[0] {
      case "ring":
        ring = TestRing(lines: try #require(Int(words[1], radix: 16)), start: try #require(UInt32(words[2], radix: 16)))
      case "send": try expect(ring.send(#require(bytes(hex: words.dropFirst()))), "line \(line)")
      case "receive":
        let expected = try #require(bytes(hex: words.dropFirst()))
        try expect(ring.receive() == expected, "line \(line)")
      case "line":
        let start = 64 + (try #require(Int(words[1], radix: 16))) * 64
        expect(ring.memory[start] == UInt32(words[2], radix: 16), "line \(line): \(String(ring.memory[start], radix: 16))")
        for (index, byte) in try #require(bytes(hex: words.dropFirst(3))).enumerated() {
          expect(
            ring.memory.memory.load(fromByteOffset: start + 8 + index, as: UInt8.self) == byte, "line \(line), byte \(index)")
        }
      case "append":
        ring.message = MessageBuffer(try #require(bytes(hex: words.dropFirst())), capacity: ring.message.capacity)
        try expect(ring.producer.append(ring.message), "line \(line)")
      case "publish": ring.producer.publish()
      case "nothing": try expect(ring.receive() == nil, "line \(line)")
      case "credit": expect(ring.memory[TestRing.creditOffset] == UInt32(words[1], radix: 16), "line \(line)")
      default: Issue.record("line \(line): unknown word \(words[0])")
      }
      checked += 1
    }
    expect(checked > 20)
  }

  @Test("session.txt: what the control words hold")
  func session() throws {
    let memory = TestRegion(size: 0x3000, fill: 0)
    let layout = try LinkLayout(size: 0x3000, channels: 1)
    var owner = Endpoint(
      memory.region, layout: layout, channel: 0, role: .owner, identity: LinkIdentity(layout, protocolVersion: 1))
    var borrower = Endpoint(memory.region, layout: layout, channel: 0, role: .borrower)
    func step(_ side: inout Endpoint, _ words: ArraySlice<String>, _ line: Int) throws {
      switch words.first {
      case "start": side.start(session: try #require(UInt32(words.last ?? "", radix: 16)))
      case "refresh": _ = side.refresh()
      case "send": try expect(side.producer.send(MessageBuffer(#require(bytes(hex: words.dropFirst())))), "line \(line)")
      case "arm": side.arm()
      case "disarm": side.disarm()
      case "ring": _ = side.shouldRing()
      case "poison": side.poison(try #require(PoisonReason(rawValue: UInt32(words.last ?? "", radix: 16) ?? 0)))
      case "end": side.end()
      default: Issue.record("line \(line): unknown step")
      }
    }
    for (line, words) in try vectors("session.txt") {
      switch words[0] {
      case "owner": try step(&owner, words[1...], line)
      case "borrower": try step(&borrower, words[1...], line)
      case "word":
        let offset = try #require(Int(words[1], radix: 16))
        expect(memory[offset] == UInt32(words[2], radix: 16), "line \(line): \(String(memory[offset], radix: 16))")
      default: Issue.record("line \(line): unknown word \(words[0])")
      }
    }
  }
}
