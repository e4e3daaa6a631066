import Linux
import CLinux
import Foundation
import TestSupport
import Testing

@testable import BrokerProtocol
@testable import GuestAgent
@testable import OwnerService

@Suite("A served UART")
struct UARTServerTests {
  @Test("Spec 5 §3: a read without waiting returns what there is; one for more than there is ends at its deadline with that")
  func reads() throws {
    let line = try TerminalPair()
    let owner = try TestOwner(bindings: ["uart2": line.slavePath])
    var agent = try owner.agent()
    var uart = try UART("uart2", via: &agent)
    #expect(write(line.master, "abcdef", 6) == 6)
    let two = try uart.read(2, minimum: 2, timeout: 10_000, via: &agent)
    #expect(two.bytes == Array("ab".utf8))
    let rest = try uart.read(100, minimum: 0, timeout: 0, via: &agent)
    #expect(rest.bytes == Array("cdef".utf8))
    #expect(write(line.master, "xy", 2) == 2)
    let late = try uart.read(100, minimum: 100, timeout: 200, via: &agent)
    #expect(late.bytes == Array("xy".utf8))
    #expect(late.lost == 0)
  }

  @Test("Spec 5 §2: a write that the line takes in part ends at its deadline with the number of bytes it took")
  func partialWrite() throws {
    let line = try TerminalPair()
    let owner = try TestOwner(bindings: ["uart2": line.slavePath])
    var agent = try owner.agent()
    var uart = try UART("uart2", via: &agent)
    var taken = 0
    let bytes = [UInt8](repeating: 7, count: 4096)
    while true {
      let response = try uart.writeOnce(bytes.span.bytes, drain: false, timeout: 100, via: &agent)
      taken += Int(response.count)
      if response.status == .ok { continue }
      #expect(response.status == .timedOut)
      #expect(response.executed == (response.count > 0 ? .yes : .no))
      break
    }
    var held: Int32 = 0
    _ = ioctl(line.master, UInt(FIONREAD), &held)
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    var got = 0
    while got < taken {
      let count = read(line.master, &buffer, buffer.count)
      if count > 0 { got += count } else { usleep(1000) }
    }
    #expect(got == taken)
  }

  @Test("Spec 5 §6: a line that is gone ends what waits for it with ENXIO")
  func gone() throws {
    var line: TerminalPair? = try TerminalPair()
    let path = try #require(line?.slavePath)
    let owner = try TestOwner(bindings: ["uart2": path])
    var agent = try owner.agent()
    var uart = try UART("uart2", via: &agent)
    try uart.write([1], via: &agent)
    line = nil
    #expect(
      refusalStatus { _ = try uart.read(1, timeout: 30_000, via: &agent) } == .deviceGone)
    #expect(refusalStatus { try uart.write([1], via: &agent) } == .deviceGone)
  }

  @Test("Spec 5 §2: what a line that goes had taken is maybe sent, never said to be; nothing but that is claimed")
  func goneWithBytes() throws {
    var line: TerminalPair? = try TerminalPair()
    let path = try #require(line?.slavePath)
    let owner = try TestOwner(bindings: ["uart2": path])
    var agent = try owner.agent()
    var uart = try UART("uart2", via: &agent)
    let master = try #require(line?.master)
    let hangUp = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
      usleep(300_000)
      hangUp.signal()
    }
    let closer = Thread {
      hangUp.wait()
      var buffer = [UInt8](repeating: 0, count: 800)
      _ = read(master, &buffer, 800)
      close(dup2(open("/dev/null", O_RDWR), master))
    }
    closer.start()
    do {
      try uart.write([UInt8](repeating: 7, count: 100_000), timeout: 60_000, via: &agent)
      Issue.record("written to a line that went")
    } catch {
      guard case .refused(.deviceGone) = error.reason else {
        Issue.record("\(error)")
        return
      }
      #expect(error.executed == .maybe && error.done == 0 && error.atMost > 800)
    }
    line = nil
  }

  @Test("Spec 5 §5: a flush counts what the kernel had, too")
  func flushCounts() throws {
    let line = try TerminalPair()
    let owner = try TestOwner(bindings: ["uart2": line.slavePath])
    var agent = try owner.agent()
    var uart = try UART("uart2", via: &agent)
    var sent = 0
    let bytes = [UInt8](repeating: 7, count: 1000)
    // Until the owner's queue is full, and then some that stay with the kernel.
    while sent < 70_000 {
      let count = write(line.master, bytes, bytes.count)
      if count > 0 { sent += count } else { usleep(1000) }
    }
    usleep(100_000)
    var discarded = 0
    while discarded < sent {
      let count = try uart.flush(input: true, output: false, via: &agent)
      discarded += count
      if count == 0 { usleep(10_000) }
    }
    #expect(discarded == sent)
  }

  @Test(
    "Spec 5 §3: a line that goes while the queue is full may have had more: the next reader is told, with no number that nobody knows"
  )
  func goneWithFullQueue() throws {
    var line: TerminalPair? = try TerminalPair()
    let path = try #require(line?.slavePath)
    let owner = try TestOwner(bindings: ["uart2": path])
    var agent = try owner.agent()
    var uart = try UART("uart2", via: &agent)
    let master = try #require(line?.master)
    let bytes = [UInt8](repeating: 7, count: 1000)
    var sent = 0
    while sent < 70_000 {
      let count = write(master, bytes, bytes.count)
      if count > 0 { sent += count } else { usleep(1000) }
    }
    usleep(100_000)
    line = nil
    var got = 0
    var unknown = 0
    while got < 65536 {
      let part = try uart.read(4096, timeout: 10_000, via: &agent)
      got += part.bytes.count
      if part.lost == uartLossUnknown { unknown += 1 } else { #expect(part.lost == 0) }
    }
    #expect(got == 65536 && unknown == 1)
  }

  @Test("A pseudo-terminal that is gone is not opened again by its number, which is somebody else's by then")
  func reusedNumber() throws {
    var line: TerminalPair? = try TerminalPair()
    let path = try #require(line?.slavePath)
    let owner = try TestOwner(bindings: ["uart2": path])
    var agent = try owner.agent()
    var uart = try UART("uart2", via: &agent)
    try uart.write([1], drain: false, via: &agent)
    line = nil
    while refusalStatus({ try uart.write([1], via: &agent) }) != .deviceGone { usleep(1000) }
    var strangers: [TerminalPair] = []
    while !strangers.contains(where: { $0.slavePath == path }), strangers.count < 64 { strangers.append(try TerminalPair()) }
    let stranger = try #require(strangers.first { $0.slavePath == path })
    for _ in 0..<3 {
      usleep(600_000)
      #expect(refusalStatus { try uart.write(Array("SECRET".utf8), via: &agent) } == .deviceGone)
    }
    #expect(lx_wait_readable(stranger.master, 0) == 0)
  }

  @Test(
    "A symbolic link that points elsewhere now is opened again; one that is as it was is not, when it leads to a pseudo-terminal"
  )
  func renewedLink() throws {
    let link = temporaryMemory()
    defer { unlink(link) }
    let first = try TerminalPair()
    #expect(symlink(first.slavePath, link) == 0)
    let port = try SerialPort(path: link)
    do {
      try port.reopen()
      Issue.record("opened again by the old link")
    } catch {
      #expect(error.code == ENXIO)
    }
    let second = try TerminalPair()
    unlink(link)
    #expect(symlink(second.slavePath, link) == 0)
    try port.reopen()
    #expect(Foundation.write(second.master, "x", 1) == 1)
    withExtendedLifetime((first, second)) {}
  }

  @Test(
    "Spec 4 §2, Spec 5: reserved bits, arguments that must be 0 and data where there is none are refused, and nothing is done",
    arguments: [
      (UARTOperation.write, UInt32(2), UInt32(0), 2), (.write, .max, 0, 2), (.write, 0, 5, 2), (.read, 0, 0, 0),
      (.read, 1, 2, 0),
      (.read, 10, 0, 2), (.settings, 0, 0, 5), (.settings, 1, 0, 0), (.configure, 0, 1, 8), (.configure, 0, 0, 7),
      (.flush, 0, 0, 0),
      (.flush, 4, 0, 0), (.flush, 1, 9, 0),
    ])
  func reserved(_ operation: UARTOperation, _ first: UInt32, _ second: UInt32, _ size: Int) throws {
    let owner = try TestOwner()
    var client = try owner.rawEnd()
    client.connect()
    let request = Request(
      id: 5, peripheralClass: .uart, operation: operation.rawValue, timeout: 0, argument0: first, argument1: second)
    #expect(try client.send(request, [UInt8](repeating: 1, count: size)))
    let answer = try client.answer()
    #expect(answer.status == .invalid && answer.executed == .no && answer.id == 5)
  }

  @Test("Spec 4 §2: a request to the broker itself names no peripheral")
  func brokerPeripheral() throws {
    let owner = try TestOwner()
    var client = try owner.rawEnd()
    client.connect()
    for operation: BrokerOperation in [.ping, .find, .directory] {
      var request = Request(id: 5, peripheralClass: .broker, operation: operation.rawValue, peripheral: 7)
      #expect(try client.send(request))
      #expect(try client.answer().status == .noDevice)
      request.peripheral = 0
      request.argument1 = 1
      #expect(try client.send(request))
      #expect(try client.answer().status == .invalid)
    }
  }

  private func refusalStatus(_ body: () throws -> Void) -> Status? {
    do {
      try body()
    } catch let error as AgentError {
      if case .refused(let status) = error.reason { return status }
    } catch {}
    return nil
  }

  @Test("Spec 5 §1: bytes of two guests' writes never mix, whoever has had less, when the line takes a write in pieces")
  func unmixed() throws {
    let line = try TerminalPair()
    let owner = try TestOwner(guests: ["guest2", "guest3"], bindings: ["uart2": line.slavePath]) {
      $0.exports[0].grant.clients = ["guest2", "guest3"]
    }
    var agent = try owner.agent()
    var uart = try UART("uart2", via: &agent)
    var first = try owner.rawEnd("guest2")
    var second = try owner.rawEnd("guest3")
    first.connect()
    second.connect()
    let write = Request(id: 1, peripheralClass: .uart, operation: UARTOperation.write.rawValue, timeout: 60_000)
    var wire: [UInt8] = []
    for round in 0..<20 {
      // guest2 has had more, and fills the line so that its next write is taken in part.
      let rest = [UInt8](repeating: 0x2e, count: 4096)
      while try uart.writeOnce(rest.span.bytes, drain: false, timeout: 20, via: &agent).status == .ok {}
      wire += line.read(200 + round * 97)
      #expect(try first.send(write, [UInt8](repeating: 0x41, count: 4000)))
      #expect(try second.send(write, [UInt8](repeating: 0x42, count: 4000)))
      var buffer = [UInt8](repeating: 0, count: 65536)
      var isDone = (false, false)
      while isDone != (true, true) {
        first.endpoint.beat()
        second.endpoint.beat()
        let count = read(line.master, &buffer, 1024)
        if count > 0 { wire += buffer[..<count] } else { usleep(200) }
        if try first.endpoint.consumer.receive(into: &first.message) { isDone.0 = true }
        if try second.endpoint.consumer.receive(into: &second.message) { isDone.1 = true }
      }
      while lx_wait_readable(line.master, 20_000_000) != 0 {
        let count = read(line.master, &buffer, buffer.count)
        if count > 0 { wire += buffer[..<count] }
      }
    }
    let runs = wire.split(separator: 0x2e).flatMap { part in
      part.reduce(into: [(UInt8, Int)]()) { runs, byte in
        if runs.last?.0 == byte { runs[runs.count - 1].1 += 1 } else { runs.append((byte, 1)) }
      }
    }
    #expect(runs.allSatisfy { $0.1 % 4000 == 0 }, "\(runs)")
  }

  @Test("A guest gets no more than its rate: what exceeds it waits, and is done; without a rate nothing waits")
  func rates() throws {
    let owner = try TestOwner(guests: ["guest2", "guest3"]) {
      $0.exports[0].grant.clients = ["guest2", "guest3"]
      $0.exports[0].grant.maximumBytesPerSecond = 2000
    }
    var agent = try owner.agent()
    var uart = try UART("uart2", via: &agent)
    let start = monotonicNanoseconds()
    for _ in 0..<6 { try uart.write([UInt8](repeating: 1, count: 1000), drain: false, timeout: 60_000, via: &agent) }
    // A second's worth at once, then 4000 bytes at 2000 in a second.
    #expect(monotonicNanoseconds() - start >= 1_900_000_000)
    // Another guest has a rate of its own.
    var other = try owner.agent("guest3")
    var line = try UART("uart2", via: &other)
    #expect(try line.writeOnce([1, 2, 3].span.bytes, drain: false, timeout: 0, via: &other).status == .ok)
    try line.write([UInt8](repeating: 1, count: 2000), drain: false, timeout: 60_000, via: &other)
    // Who doesn't wait is refused what its rate doesn't allow now.
    var statuses: [Status] = []
    for _ in 0..<4 {
      statuses.append(
        try line.writeOnce([UInt8](repeating: 1, count: 1500).span.bytes, drain: false, timeout: 0, via: &other).status)
    }
    #expect(statuses.contains(.timedOut))
  }

  @Test("Spec 5 §4: a simulated line keeps every setting that it is given")
  func simulatedSettings() throws {
    let port = try SerialPort(simulated: ())
    let settings = UARTSettings(baud: 31_250, dataBits: 7, parity: .mark, stopBits: 2, rtscts: true, xonxoff: true)
    try port.configure(settings)
    #expect(try port.settings == settings)
  }

  @Test("A speed or format that the terminal's driver doesn't take is refused, and the old one stays")
  func refusedSettings() throws {
    let line = try TerminalPair()
    let port = try SerialPort(path: line.slavePath)
    try port.configure(UARTSettings(baud: 57_600))
    // The kernel's pseudo-terminals have 8 data bits whatever they are told.
    do {
      try port.configure(UARTSettings(baud: 9600, dataBits: 7))
      Issue.record("a pseudo-terminal took 7 data bits")
    } catch {
      #expect(error.code == EINVAL)
    }
    #expect(try port.settings == UARTSettings(baud: 57_600))
    withExtendedLifetime(line.slavePath) {}
  }

  /// As `#expect`, which can't look into an expression with values that can't be copied.
  private func expect(_ condition: Bool, at place: SourceLocation = #_sourceLocation) {
    if !condition { Issue.record(sourceLocation: place) }
  }
}
