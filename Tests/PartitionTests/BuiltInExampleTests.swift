import DeviceTree
import TestSupport
import Testing

@testable import Partition

@Suite("The built-in example")
struct BuiltInExampleTests {
  @Test(
    "It is what dtc makes of Examples/vexpress-a9", .enabled(if: hasCompiler, "needs dtc"),
    arguments: [
      ("guest1", builtInGuest1), ("guest2-carried", builtInGuest2),
    ])
  func isCompiled(name: String, blob: [UInt8]) throws {
    let compiled = try compile(exampleSource(name))
    #expect(Array(compiled.blob) == blob, "run Examples/vexpress-a9/embed")
  }

  @Test(
    "Its sources compile without a warning", .enabled(if: hasCompiler, "needs dtc"),
    arguments: ["system", "guest1", "guest2", "guest2-carried"])
  func noWarnings(name: String) throws {
    #expect(try compile(exampleSource(name)).complaints == "")
  }

  @Test("guest1 owns uart2 and lends it to guest2")
  func owner() throws {
    let partition = try Partition(try DeviceTree(blob: builtInGuest1))
    #expect(partition.guestName == "guest1")
    #expect(partition.notes.isEmpty && partition.imports.isEmpty)
    let link = try #require(partition.links.first)
    #expect(partition.links.count == 1)
    #expect(link.name == "g1g2" && link.role == .owner && link.peerName == "guest2")
    #expect(
      link.memory
        == .physical(AddressRange(address: 0x8f00_0000, size: 0x10_0000), node: "/reserved-memory/guestbroker@8f000000"))
    #expect(link.doorbell == .poll && link.pollInterval == 200 && link.channels == 4)
    let export = try #require(partition.exports.first)
    #expect(partition.exports.count == 1)
    #expect(export.name == "uart2" && export.peripheralClass == .uart && export.grant.clients == ["guest2"])
    #expect(export.grant.access == [.read, .write] && export.maximumBaud == 1_000_000)
    #expect(export.devicePath == "/bus@40000000/motherboard-bus@40000000/iofpga@7,00000000/uart@b000")
  }

  @Test("guest2 has no uart2 of its own and imports guest1's")
  func borrower() throws {
    let partition = try Partition(try DeviceTree(blob: builtInGuest2))
    #expect(partition.guestName == "guest2")
    #expect(partition.exports.isEmpty)
    let imported = try #require(partition.imports.first)
    #expect(imported.name == "uart2" && imported.remoteName == "uart2" && imported.peripheralClass == .uart)
    #expect(partition.links[imported.link].peerName == "guest1" && partition.links[imported.link].role == .borrower)
  }

  @Test(
    "guest2's kernel sees uart2 as reserved, and the agent needs no more of its tree than the programs carry",
    .enabled(if: hasCompiler, "needs dtc"))
  func whole() throws {
    let tree = try DeviceTree(blob: Array(try compile(exampleSource("guest2")).blob))
    let (whole, carried) = (try Partition(tree), try Partition(try DeviceTree(blob: builtInGuest2)))
    #expect(String(describing: whole) == String(describing: carried))
    #expect(tree.node(at: "uart2")?.isOkay == false)
    #expect(tree.node(at: "uart1")?.isOkay == true)
    #expect(tree.node(at: "uart2")?.physicalRanges == [AddressRange(address: 0x1000_b000, size: 0x1000)])
  }
}
