import Foundation
import RingBuffer
import SharedMemory
import TestSupport
import Testing

@testable import BrokerProtocol
@testable import GuestAgent
@testable import OwnerService

@Suite("A hostile guest harms itself alone", .serialized)
struct HostileClientTests {
  @Test("Random frames of every kind are answered or refused, and the owner goes on")
  func randomFrames() throws {
    var generator = SeededGenerator("randomFrames")
    let owner = try TestOwner(bindings: ["uart2": "pty"])
    var end = try owner.rawEnd()
    end.connect()
    for _ in 0..<20_000 {
      if endLost(&end) { end.connect() }
      var request = Request(
        id: .random(in: 0...UInt32.max, using: &generator), peripheralClass: .uart,
        operation: .random(in: 0...6, using: &generator),
        peripheral: .random(in: 0...1, using: &generator), timeout: .random(in: 0...2, using: &generator),
        argument0: [0, 1, 2, 3, 4096, .max].randomElement(using: &generator) ?? 0,
        argument1: [0, 1, 2, 4096, .max].randomElement(using: &generator) ?? 0)
      request.peripheralClass = .random(in: 0...2, using: &generator)
      let data = (0..<[0, 1, 8, 31, 40, 4096].randomElement(using: &generator)!).map { _ in
        UInt8.random(in: 0...255, using: &generator)
      }
      let isSent = (try? end.send(request, data)) ?? false
      while (try? end.endpoint.consumer.receive(into: &end.message)) == true {}
      if !isSent { usleep(100) }
    }
    var agent = try owner.agent()
    _ = try agent.ping()
  }

  private func endLost(_ end: inout RawEnd) -> Bool {
    _ = end.endpoint.refresh()
    return end.endpoint.state != .established
  }

  @Test(
    "A frame shorter than its header ends the session with a reason, and the next session is served", arguments: [1, 7, 19])
  func shortFrame(size: Int) throws {
    let owner = try TestOwner()
    var end = try owner.rawEnd()
    end.connect()
    end.message.put([UInt8](repeating: 1, count: size).span.bytes, at: 0)
    _ = try end.endpoint.producer.send(end.message)
    Doorbell.futex.ringIfNeeded(&end.endpoint)
    var event = Endpoint.Event.none
    while event == .none {
      event = end.endpoint.refresh()
      usleep(100)
    }
    #expect(event == .lost(.badFrame))
    end.connect()
    #expect(
      owner.reported.contains {
        $0.contains("guest2, channel 3: it broke the protocol, and its session is closed: a frame could not be parsed")
      })
  }

  @Test("While one guest scribbles over its whole region, every request of another is answered")
  func scribbler() throws {
    var generator = SeededGenerator("scribbler")
    let owner = try TestOwner(guests: ["guest2", "guest3"], bindings: ["uart2": "null"])
    let mapping = try Mapping(.file(owner.path(of: "guest3")), size: 1 << 20)
    final class Flag: @unchecked Sendable { let word = UnsafeMutablePointer<Int32>.allocate(capacity: 1) }
    let stop = DispatchSemaphore(value: 0)
    let stopped = DispatchSemaphore(value: 0)
    let seed = generator.next()
    let thread = Thread {
      var state = seed | 1
      func random() -> UInt32 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return UInt32(truncatingIfNeeded: state >> 16)
      }
      while stop.wait(timeout: .now()) == .timedOut {
        for _ in 0..<500 {
          let inControl = random() & 1 == 0
          let offset = Int(random()) % (inControl ? 0x500 : 1 << 20) & ~3
          let word = mapping.region.word(at: offset)
          // Often a word that nearly fits.
          word.store(random() & 3 == 0 ? random() : word.load() &+ (random() & 3))
        }
        usleep(200)
      }
      stopped.signal()
    }
    thread.start()
    var agent = try owner.agent()
    var uart = try UART("uart2", via: &agent)
    for _ in 0..<3000 {
      let response = try uart.writeOnce([UInt8](repeating: 1, count: 5).span.bytes, drain: true, timeout: 1000, via: &agent)
      #expect(response.status == .ok && response.count == 5)
    }
    stop.signal()
    stopped.wait()
    // The scribbler's successor is served too.
    var successor = try owner.agent("guest3")
    _ = try successor.ping()
  }

  @Test("A guest that floods and never takes an answer has no more than its slots under way, and others are served")
  func flood() throws {
    let owner = try TestOwner(guests: ["guest2", "guest3"])
    var flooder = try owner.rawEnd("guest3")
    flooder.connect()
    var sent = 0
    for _ in 0..<100_000
    where try flooder.send(Request(id: 1, peripheralClass: .broker, operation: 0), [UInt8](repeating: 1, count: 1000)) {
      sent += 1
    }
    #expect(sent > 0)
    var agent = try owner.agent()
    for _ in 0..<100 { _ = try agent.ping() }
    // Once it takes them, all of its requests turn out to be answered.
    for _ in 0..<sent {
      let response = try flooder.answer()
      #expect(response.status == .ok)
    }
  }

  @Test("Requests that wait for a device take all of a guest's slots, not the owner's time")
  func slots() throws {
    let owner = try TestOwner(guests: ["guest2", "guest3"], bindings: ["uart2": "pty"]) {
      $0.exports[0].grant.clients = ["guest2", "guest3"]
    }
    var waiter = try owner.rawEnd("guest3")
    waiter.connect()
    // More reads than slots, of a line that says nothing.
    for id in 1...6 as ClosedRange<UInt32> {
      _ = try waiter.send(Request(id: id, peripheralClass: .uart, operation: 2, timeout: 300, argument0: 1, argument1: 1))
    }
    var agent = try owner.agent()
    var uart = try UART("uart2", via: &agent)
    try uart.write([1, 2, 3], via: &agent)
    for id in 1...6 as ClosedRange<UInt32> {
      let response = try waiter.answer()
      #expect(response.id == id)
      #expect(response.status == .timedOut)
    }
  }
}
