import Foundation
import Linux
import Partition
import TestSupport
import Testing

@testable import OwnerService

@Suite("The owner's waiting")
struct PumpTests {
  @Test(
    "Spec 2 §6: with a timed poll it looks as often as the tree says, and when nothing was asked for a second every 2 ms at most",
    arguments: [(UInt32(200), UInt64(2_000_000)), (5000, 5_000_000)])
  func rests(interval: UInt32, resting: UInt64) throws {
    var (partition, _) = try Partition.load(deviceTree: nil, builtInGuest: "guest1", running: [])
    partition.links[0].doorbell = .poll
    partition.links[0].pollInterval = interval
    let path = temporaryMemory()
    defer { unlink(path) }
    var configuration = ServiceConfiguration(partition: partition, isExample: false)
    configuration.memory = [Assignment(name: partition.links[0].name, path: path)]
    configuration.bindings = [Assignment(name: "uart2", path: "null")]
    var pump = try Pump(configuration) { _ in }
    let often = UInt64(interval) * 1000
    var found = [pump.sleepLimit()]
    pump.hasWorked = true
    found.append(pump.sleepLimit())
    pump.lastWork = monotonicNanoseconds()
    found.append(pump.sleepLimit())
    pump.lastWork = monotonicNanoseconds() - Pump.restAfter
    found.append(pump.sleepLimit())
    #expect(found == [resting, often, often, resting])
  }
}
