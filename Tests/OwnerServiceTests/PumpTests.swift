import Foundation
import Linux
import Text
import Partition
import SharedMemory
import TestSupport
import Testing

@testable import GuestAgent
@testable import OwnerService

@Suite("The owner's waiting")
struct PumpTests {
  @Test(
    "Spec 2 §6: with a timed poll it looks as often as the tree says; the longer nothing was asked the more seldom, every 2 ms at most",
    arguments: [(UInt32(200), UInt64(2_000_000)), (5000, 5_000_000)])
  func rests(interval: UInt32, resting: UInt64) throws {
    let often = UInt64(interval) * 1000
    #expect(Doorbell.pollInterval(often, idle: 0) == often)
    #expect(Doorbell.pollInterval(often, idle: often * 16) == often)
    #expect(Doorbell.pollInterval(often, idle: 3_600_000_000_000) == resting)
    #expect(Doorbell.pollInterval(200_000, idle: 16_000_000) == 1_000_000)

    var (partition, _) = try Partition.load(deviceTree: nil, builtInGuest: "guest1", running: [])
    partition.links[0].doorbell = .poll
    partition.links[0].pollInterval = interval
    let path = temporaryMemory()
    defer { unlink(path) }
    var configuration = ServiceConfiguration(partition: partition, isExample: false)
    configuration.memory = [Assignment(name: partition.links[0].name, path: path)]
    configuration.bindings = [Assignment(name: "uart2", path: "null")]
    var pump = try Pump(configuration) { _ in }
    pump.hasWorked = true
    var found = [pump.sleepLimit()]
    pump.lastWork = monotonicNanoseconds() - 1_000_000_000
    found.append(pump.sleepLimit())
    #expect(found == [often, resting])
  }

  /// The example's owner with a null UART, over a region of its own.
  private func service(over path: String) throws -> Service {
    let (partition, _) = try Partition.load(deviceTree: nil, builtInGuest: "guest1", running: [])
    var configuration = ServiceConfiguration(partition: partition, isExample: true)
    configuration.memory = [Assignment(name: partition.links[0].name, path: path)]
    configuration.bindings = [Assignment(name: "uart2", path: "null")]
    return try Service(configuration)
  }

  @Test("A client finds an owner from the service's start, and no other one when it runs")
  func starts() throws {
    let path = temporaryMemory()
    defer { unlink(path) }
    let service = try service(over: path)
    let mapping = try Mapping(.file(path), size: 1 << 20)
    #expect(mapping.unusedFile == path)
    service.start()
    #expect(mapping.unusedFile == nil)
    let begun = try #require(FileManager.default.contents(atPath: path))
    service.start()
    #expect(FileManager.default.contents(atPath: path) == begun)
  }

  @Test("A service that can't watch what ends it ends the sessions that it has begun")
  func unwatchableStop() throws {
    let path = temporaryMemory()
    defer { unlink(path) }
    let service = try service(over: path)
    let (borrower, _) = try Partition.load(deviceTree: nil, builtInGuest: "guest2", running: [])
    var agent = try Agent(borrower.links[0], AgentConfiguration(isExample: true, memory: path))
    service.start()
    while try !agent.shakeHands() { _ = service.turn() }
    var isGone = agent.endpoint.isPeerGone
    #expect(!isGone)
    #expect(throws: ServiceError.self) { try service.run(until: -1) }
    isGone = agent.endpoint.isPeerGone
    #expect(isGone)
  }
}
