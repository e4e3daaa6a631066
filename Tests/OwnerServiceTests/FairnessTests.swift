import CLinux
import Foundation
import Linux
import TestSupport
import Testing

@testable import BrokerProtocol
@testable import OwnerService
@testable import RingBuffer

@Suite("Guests that share a line", .serialized)
struct FairnessTests {
  /// A process of a guest: keeps so many writes of a size under way, one after the other as they are answered.
  private struct Sender: ~Copyable {
    var end: RawEnd
    let guest: Int
    let size: Int
    let window: Int
    var underWay = 0
  }

  @Test("32 processes of 8 guests, one of which floods: each guest gets its share of a busy line, within 5 %")
  func shares() throws {
    let line = try TerminalPair()
    let names = (2...9).map { "guest\($0)" }
    let owner = try TestOwner(guests: names, bindings: ["uart2": line.slavePath]) { $0.exports[0].grant.clients = names }
    let drain = Thread { [line] in
      var buffer = [UInt8](repeating: 0, count: 4096)
      // Slower than anybody writes: all wait for the line.
      while !Thread.current.isCancelled {
        _ = read(line.master, &buffer, 1000)
        usleep(1000)
      }
    }
    drain.start()
    defer { drain.cancel() }
    // The first one has as many requests of the largest size as it can have; each other guest's processes send one at a time, of a size of
    // that guest's.
    var senders = try FixedArray(count: 32) { (index) throws in
      let guest = index / 4
      var end = try owner.rawEnd(names[guest], channel: index % 4)
      end.connect()
      return Sender(end: end, guest: guest, size: guest == 0 ? 4000 : 1000 + 400 * guest, window: guest == 0 ? 4 : 1)
    }
    let bytes = [UInt8](repeating: 7, count: 4000)
    var got = [Int](repeating: 0, count: names.count)
    var counted = false
    let each = 500_000
    while got.reduce(0, +) < names.count * each {
      for index in 0..<senders.count {
        senders[index].end.endpoint.beat()
        while senders[index].underWay < senders[index].window {
          let write = Request(id: 1, peripheralClass: .uart, operation: UARTOperation.write.rawValue, timeout: 60_000)
          guard try senders[index].end.send(write, Array(bytes.prefix(senders[index].size))) else { break }
          senders[index].underWay += 1
        }
        while try senders[index].end.take() {
          senders[index].underWay -= 1
          got[senders[index].guest] += senders[index].size
        }
      }
      // From when all of them wait, and nobody has anything saved.
      if !counted, got.allSatisfy({ $0 > Int(Queue.allowance) }) {
        got = got.map { _ in 0 }
        counted = true
      }
    }
    for share in got { #expect(abs(share - each) < each / 20, "\(got)") }
    withExtendedLifetime(owner) {}
  }
}

extension RawEnd {
  /// Whether an answer came; takes it.
  fileprivate mutating func take() throws -> Bool { try endpoint.consumer.receive(into: &message) }
}
