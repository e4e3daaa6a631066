import CLinux
import Foundation
import TestSupport
import Testing

@testable import BrokerProtocol
@testable import GuestAgent
@testable import OwnerService
@testable import RingBuffer

@Suite("Clients that die, stop, or go in the middle")
struct DeadClientTests {
  private func write(timeout: UInt32 = 3_600_000) -> Request {
    Request(id: 1, peripheralClass: .uart, operation: UARTOperation.write.rawValue, timeout: timeout)
  }

  private func read(_ count: UInt32, minimum: UInt32 = 1, timeout: UInt32 = 3_600_000) -> Request {
    Request(
      id: 1, peripheralClass: .uart, operation: UARTOperation.read.rawValue, timeout: timeout, argument0: count,
      argument1: minimum)
  }

  /// Writes until the line has taken no byte for 100 ms. One refusal isn't enough: the line passes on what it took last, and has room again.
  private func fill(_ uart: inout UART, _ agent: inout Agent) throws {
    let bytes = [UInt8](repeating: 0x2e, count: 4096)
    while try uart.writeOnce(bytes.span.bytes, drain: false, timeout: 100, via: &agent).count > 0 {}
  }

  /// What the far end has received, until `count` bytes are there or nothing comes for a while.
  private func received(_ line: TerminalPair) -> [UInt8] {
    var all: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while lx_wait_readable(line.master, 300_000_000) != 0 {
      let count = Foundation.read(line.master, &buffer, buffer.count)
      guard count > 0 else { break }
      all += buffer[..<count]
    }
    return all
  }

  @Test("Spec 3 §4: what a silent client asked for is not begun; its session ends, and the owner says so")
  func silentWriter() throws {
    let line = try TerminalPair()
    let owner = try TestOwner(bindings: ["uart2": line.slavePath])
    var agent = try owner.agent()
    var uart = try UART("uart2", via: &agent)
    try fill(&uart, &agent)
    var dead = try owner.rawEnd()
    dead.connect()
    #expect(try dead.send(write(), Array("DEAD!".utf8)))
    // It never beats again.
    while !owner.reported.contains(where: { $0.hasPrefix("guest2, channel 3: it showed no heartbeat for 2 s") }) {
      let isAnswered = dead.endpoint.consumer.isReady
      try #require(!isAnswered, "the line had room for what should have waited")
      usleep(10_000)
    }
    var wire = received(line)
    try uart.write(Array("alive".utf8), via: &agent)
    wire += received(line)
    let text = String(decoding: wire.filter { $0 != 0x2e }, as: UTF8.self)
    #expect(text == "alive")
    // The reason is there for the client to read, should it only have been stopped.
    #expect(dead.endpoint.peerRefusal == .silent)
  }

  @Test("A live client's write doesn't wait for ever behind a dead one's")
  func behindDead() throws {
    let line = try TerminalPair()
    let owner = try TestOwner(bindings: ["uart2": line.slavePath])
    var agent = try owner.agent()
    var uart = try UART("uart2", via: &agent)
    try fill(&uart, &agent)
    var dead = try owner.rawEnd()
    dead.connect()
    #expect(try dead.send(write(), Array("DEAD!".utf8)))
    let master = line.master
    let drained = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
      usleep(1_000_000)
      var buffer = [UInt8](repeating: 0, count: 1 << 16)
      while lx_wait_readable(master, 300_000_000) != 0 { _ = Foundation.read(master, &buffer, buffer.count) }
      drained.signal()
    }
    try uart.write(Array("alive".utf8), timeout: 60_000, via: &agent)
    drained.wait()
    withExtendedLifetime(line) {}
  }

  @Test("A dead client's read takes nothing: what comes later is the next reader's")
  func silentReader() throws {
    let line = try TerminalPair()
    let owner = try TestOwner(bindings: ["uart2": line.slavePath])
    var dead = try owner.rawEnd()
    dead.connect()
    #expect(try dead.send(read(100)))
    while owner.reported.isEmpty { usleep(10_000) }
    #expect(Foundation.write(line.master, "0123456789", 10) == 10)
    var agent = try owner.agent()
    var uart = try UART("uart2", via: &agent)
    #expect(try uart.read(100, minimum: 10, timeout: 30_000, via: &agent).bytes == Array("0123456789".utf8))
  }

  @Test(
    "Spec 5 §3: bytes that went out to a client and never arrived are the next reader's, in order; those that arrived are not")
  func undelivered() throws {
    let line = try TerminalPair()
    let owner = try TestOwner(bindings: ["uart2": line.slavePath])
    var gone = try owner.rawEnd()
    gone.connect()
    #expect(try gone.send(read(3, minimum: 3)))
    #expect(Foundation.write(line.master, "abcdefghij", 10) == 10)
    #expect(try gone.answer().count == 3)
    gone.endpoint.consumer.giveCredit()
    #expect(try gone.send(read(2, minimum: 2)))
    #expect(try gone.send(read(3, minimum: 3)))
    while !gone.endpoint.consumer.isReady { usleep(100) }
    usleep(50_000)
    // It has "abc". "de" and "fgh" are in the ring when its successor begins on the same channel.
    gone.connect()
    var agent = try owner.agent()
    var uart = try UART("uart2", via: &agent)
    #expect(try uart.read(100, minimum: 7, timeout: 30_000, via: &agent).bytes == Array("defghij".utf8))
    withExtendedLifetime(line) {}
  }

  @Test("What was received long ago, many laps of the ring, takes no room in the queue any more")
  func receivedLongAgo() throws {
    let line = try TerminalPair()
    let owner = try TestOwner(bindings: ["uart2": line.slavePath])
    var client = try owner.rawEnd()
    client.connect()
    let master = line.master
    let feeder = Thread {
      let bytes = [UInt8](repeating: 7, count: 1024)
      while !Thread.current.isCancelled { if Foundation.write(master, bytes, bytes.count) < 0 { usleep(200) } }
    }
    feeder.start()
    defer { feeder.cancel() }
    var count = 0
    // As fast as can be: the owner's loop hardly has a turn for anything else.
    while count < 20 << 20 {
      #expect(try client.send(read(4000)))
      while try !client.endpoint.consumer.receive(into: &client.message) { client.endpoint.beat() }
      guard let answer = Response(client.message.bytes) else { break }
      client.endpoint.consumer.giveCredit()
      count += Int(answer.count)
    }
    withExtendedLifetime(line) {}
  }

  @Test("A client that ends in good order has received what it took, though it said nothing of it")
  func ended() throws {
    let line = try TerminalPair()
    let owner = try TestOwner(bindings: ["uart2": line.slavePath])
    for text in ["first", "second", "third"] {
      var gone = try owner.rawEnd()
      gone.connect()
      #expect(Foundation.write(line.master, text, text.utf8.count) == text.utf8.count)
      #expect(try gone.send(read(100, minimum: UInt32(text.utf8.count))))
      #expect(try Int(gone.answer().count) == text.utf8.count)
      gone.endpoint.end()
    }
    withExtendedLifetime(line) {}
  }

  @Test("A write that begins to wait goes on when the line takes bytes again, not at the next heartbeat")
  func outputIsWatched() throws {
    let line = try TerminalPair()
    let owner = try TestOwner(bindings: ["uart2": line.slavePath])
    var agent = try owner.agent()
    var uart = try UART("uart2", via: &agent)
    var client = try owner.rawEnd()
    client.connect()
    var beats: UInt32 = 0
    for _ in 0..<20 {
      try fill(&uart, &agent)
      #expect(try client.send(write(), [UInt8](repeating: 1, count: 100)))
      usleep(3000)
      let before = client.endpoint.peerHeartbeat
      client.endpoint.beat()
      var buffer = [UInt8](repeating: 0, count: 1 << 16)
      while lx_wait_readable(line.master, 0) != 0 { _ = Foundation.read(line.master, &buffer, buffer.count) }
      let answer = try client.answer()
      #expect(answer.status == .ok && answer.count == 100)
      beats &+= client.endpoint.peerHeartbeat &- before
    }
    // Some fall in between by chance; each of them, if the owner slept on.
    #expect(beats < 15)
  }
}
