import CLinux
import Foundation
import Linux
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

  private func refusalStatus(_ body: () throws -> Void) -> Status? {
    do {
      try body()
    } catch let error as AgentError {
      if case .refused(let status) = error.reason { return status }
    } catch {}
    return nil
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

  @Test("Received bytes come out as they went in, through every wrap of the queue")
  func byteQueue() {
    var generator = SeededGenerator("byteQueue")
    var queue = ByteQueue(capacity: 37)
    var model: [UInt8] = []
    var next: UInt8 = 0
    for _ in 0..<20_000 {
      if Bool.random(using: &generator) {
        let most = Int.random(in: 0...40, using: &generator)
        let got = queue.fill { space in
          let count = min(most, space.count)
          for i in 0..<count {
            space[i] = next
            model.append(next)
            next &+= 1
          }
          return count
        }
        expect(got >= 0 && queue.count <= 37)
      } else {
        let most = Int.random(in: 0...40, using: &generator)
        var bytes = [UInt8](repeating: 0, count: 50)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        let count = queue.take(most, into: &raw, at: 10)
        expect(count == min(most, model.count))
        expect(Array(bytes[10..<10 + count]) == Array(model.prefix(count)))
        model.removeFirst(count)
      }
      expect(queue.count == model.count)
    }
    _ = queue.fill { _ in -1 }
    expect(queue.count == model.count)
  }

  /// As `#expect`, which can't look into an expression with values that can't be copied.
  private func expect(_ condition: Bool, at place: SourceLocation = #_sourceLocation) {
    if !condition { Issue.record(sourceLocation: place) }
  }
}
