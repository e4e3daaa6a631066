import Text
import Partition
import Testing

@testable import BrokerProtocol
@testable import GuestAgent
@testable import OwnerService

@Suite("Grants: what the owner's device tree gives to whom")
struct GrantTests {
  @Test("ro: reading and looking, but neither writing, nor settings, nor throwing away what others write")
  func readOnly() throws {
    let owner = try TestOwner { $0.exports[0].grant.access = .read }
    var agent = try owner.agent()
    var uart = try UART("uart2", via: &agent)
    #expect(uart.entry.access == .read)
    #expect(refusal { try uart.write([1], via: &agent) } == .access)
    #expect(refusal { _ = try uart.configure(UARTSettings(baud: 9600), via: &agent) } == .access)
    #expect(refusal { _ = try uart.flush(input: false, output: true, via: &agent) } == .access)
    #expect(refusal { _ = try uart.flush(input: true, output: true, via: &agent) } == .access)
    #expect(refusal { _ = try uart.flush(input: true, output: false, via: &agent) } == nil)
    let settings = try uart.settings(via: &agent)
    #expect(settings.baud == 115_200)
    let bytes = try uart.read(16, minimum: 0, timeout: 0, via: &agent).bytes
    #expect(bytes == [])
  }

  @Test("wo: writing, but not reading")
  func writeOnly() throws {
    let owner = try TestOwner { $0.exports[0].grant.access = .write }
    var agent = try owner.agent()
    var uart = try UART("uart2", via: &agent)
    #expect(uart.entry.access == .write)
    #expect(refusal { try uart.write([1], via: &agent) } == nil)
    #expect(refusal { _ = try uart.read(1, timeout: 0, via: &agent) } == .access)
    #expect(refusal { _ = try uart.flush(input: true, output: false, via: &agent) } == .access)
  }

  @Test("A guest that is not among the clients finds nothing, and guessing the number doesn't help")
  func notAClient() throws {
    let owner = try TestOwner(guests: ["guest2", "guest3"])
    var agent = try owner.agent("guest3")
    #expect(refusal { _ = try UART("uart2", via: &agent) } == .access)
    let listed = try agent.directory()
    #expect(listed.isEmpty)
    let response = try agent.call(
      Request(id: 0, peripheralClass: .uart, operation: UARTOperation.write.rawValue, peripheral: 0),
      data: [UInt8(1)].span.bytes)
    #expect(response.status == .access)
    #expect(response.executed == .no)
  }

  @Test("Who asks is decided by the link, not by the request: each guest has its own grants at once")
  func twoGuests() throws {
    let owner = try TestOwner(guests: ["guest2", "guest3"]) { $0.exports[0].grant.clients = ["guest3", "guest4"] }
    var second = try owner.agent("guest2")
    var third = try owner.agent("guest3")
    #expect(refusal { _ = try UART("uart2", via: &second) } == .access)
    var uart = try UART("uart2", via: &third)
    #expect(refusal { try uart.write([1], via: &third) } == nil)
  }

  @Test("An export of a class that isn't served neither takes the place of one that is, nor can be bound")
  func unservedClass() throws {
    func addBus(_ partition: inout Partition) {
      var bus = partition.exports[0]
      bus.name = "i2c1"
      bus.peripheralClass = .i2c
      bus.grant.clients = ["guest3"]
      partition.exports.insert(bus, at: 0)
    }
    let owner = try TestOwner(guests: ["guest2", "guest3"], addBus)
    #expect(owner.served.count == 1)
    var second = try owner.agent("guest2")
    var third = try owner.agent("guest3")
    var uart = try UART("uart2", via: &second)
    #expect(refusal { try uart.write([1], via: &second) } == nil)
    #expect(refusal { _ = try UART("uart2", via: &third) } == .access)
    #expect(refusal { _ = try UART("i2c1", via: &third) } == .noDevice)
    let error = #expect(throws: ServiceError.self) { _ = try TestOwner(bindings: ["i2c1": "null"], addBus) }
    #expect(error?.text == "--bind names i2c1, which this device tree doesn't have; it has uart2")
  }

  @Test("max-baud bounds what a client may set")
  func maximumBaud() throws {
    let owner = try TestOwner()
    var agent = try owner.agent()
    var uart = try UART("uart2", via: &agent)
    let set = try uart.configure(UARTSettings(baud: 1_000_000), via: &agent)
    #expect(set.baud == 1_000_000)
    #expect(refusal { _ = try uart.configure(UARTSettings(baud: 1_000_001), via: &agent) } == .access)
    let kept = try uart.settings(via: &agent)
    #expect(kept.baud == 1_000_000)
  }

  @Test("What there isn't, no device; what there is of another class, not supported")
  func otherErrors() throws {
    let owner = try TestOwner()
    var agent = try owner.agent()
    #expect(refusal { _ = try UART("uart3", via: &agent) } == .noDevice)
    for (request, status) in [
      (Request(id: 0, peripheralClass: .uart, operation: 1, peripheral: 1), Status.noDevice),
      (Request(id: 0, peripheralClass: .uart, operation: 1, peripheral: 0xffff), .noDevice),
      (Request(id: 0, peripheralClass: .uart, operation: 99), .notSupported),
      (Request(id: 0, peripheralClass: .broker, operation: 99), .notSupported),
      (Request(id: 0, peripheralClass: .uart, operation: 2, argument0: 0), .invalid),
      (Request(id: 0, peripheralClass: .uart, operation: 2, argument0: 1, argument1: 2), .invalid),
      (Request(id: 0, peripheralClass: .uart, operation: 4), .invalid),
      (Request(id: 0, peripheralClass: .uart, operation: 5, argument0: 0), .invalid),
      (Request(id: 0, peripheralClass: .uart, operation: 5, argument0: 4), .invalid),
    ] {
      let response = try agent.call(request, data: RawSpan())
      #expect(response.status == status, "\(request)")
      #expect(response.executed == .no)
    }
    var unknownClass = Request(id: 0, peripheralClass: .uart, operation: 1)
    unknownClass.peripheralClass = 77
    let response = try agent.call(unknownClass, data: RawSpan())
    #expect(response.status == .notSupported)
  }

  @Test("An option that names what the device tree doesn't have is refused, with what it has")
  func unknownNames() throws {
    let (partition, _) = try Partition.load(deviceTree: nil, builtInGuest: "guest1", running: [])
    var configuration = ServiceConfiguration(partition: partition, isExample: true)
    configuration.bindings = [Assignment(name: "uart7", path: "null")]
    do {
      _ = try Service(configuration)
      Issue.record("served")
    } catch {
      #expect(error.text == "--bind names uart7, which this device tree doesn't have; it has uart2")
    }
    configuration.bindings = []
    configuration.memory = [Assignment(name: "g7", path: "/x")]
    do {
      _ = try Service(configuration)
      Issue.record("served")
    } catch {
      #expect(error.text == "--memory names g7, which this device tree doesn't have; it has g1g2")
    }
  }
}
