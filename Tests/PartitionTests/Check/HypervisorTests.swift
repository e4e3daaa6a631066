import DeviceTree
import Foundation
import TestSupport
import Testing

@testable import Partition

@Suite("Guests' trees against the hypervisor's side", .enabled(if: hasCompiler, "needs dtc"))
struct HypervisorTests {
  @Test("The article's full board: both guests have what their kernels refer to")
  func fullBoard() throws {
    #expect(short(try findings(system: [], xvisor1: [], xvisor2: [])) == [])
  }

  @Test("The article's board with one UART less: gone from the guest's tree and from the hypervisor's, nothing is wrong")
  func oneUARTLess() throws {
    let without = try changed(
      Sources.guest1,
      [
        (
          "uart2: serial@3000 { compatible = \"arm,pl011\"; reg = <0x3000 0x1000>; interrupts = <0 3 4>; clocks = <&refclk>;  };",
          ""
        ),
        (" serial2 = &uart2;", ""), ("uart2 { class = \"uart\"; device = <&uart2>; clients = \"guest2\"; };", ""),
      ])
    let borrower = try changed(Sources.guest2, [("uart2 { class = \"uart\"; link = <&g1>; };", "")])
    let check = TreeCheck(
      guests: [
        NamedTree(file: "guest1.dts", tree: try tree(without)), NamedTree(file: "guest2.dts", tree: try tree(borrower)),
      ],
      hypervisor: [
        NamedTree(
          file: "xvisor1.dts", guest: "guest1", tree: try tree(Sources.xvisor(Sources.devices1.filter { $0.name != "uart2" }))),
        NamedTree(file: "xvisor2.dts", guest: "guest2", tree: try tree(Sources.xvisor2)),
      ])
    #expect(short(check.findings()) == ["guest2.dts: /soc/serial@3000: unassigned"])
  }

  @Test("The article's panic: a UART that is gone from the hypervisor's tree only, while the guest's kernel refers to it")
  func missingFromTheHypervisor() throws {
    let check = TreeCheck(
      guests: [NamedTree(file: "guest1.dts", tree: try tree(Sources.guest1))],
      hypervisor: [
        NamedTree(file: "xvisor1.dts", tree: try tree(Sources.xvisor(Sources.devices1.filter { $0.name != "uart2" })))
      ])
    let found = check.findings()
    #expect(short(found) == ["guest1.dts: /soc/serial@3000: missing-region"])
    let finding = try #require(found.first)
    #expect(finding.severity == .error)
    #expect(
      finding.what
        == "guest1's kernel is told of registers at 0x40003000-0x40003fff, where its hypervisor gives it nothing (xvisor1.dts)")
    #expect(finding.rule.why.contains("panics with a data abort at the first access"))
    #expect(finding.remedy == "add a region for it to xvisor1.dts, or set status = \"reserved\" here")
  }

  struct Case: Sendable, CustomTestStringConvertible {
    var name: String
    var guest1: [(String, String)] = []
    var xvisor1: [(String, String)] = []
    var xvisor2: [(String, String)] = []
    var system: [(String, String)]?
    var found: [String]
    var testDescription: String { name }
  }

  private static let uart2 = "guest_physical_addr = <1073754112>; host_physical_addr = <1073754112>; physical_size = <0x1000>;"
  private static let shared = "guest_physical_addr = <0x90000000>; physical_size = <0x100000>;"
  private static let ram = "align_order = <21>;\n      guest_physical_addr = <0x80000000>; physical_size = <0x10000000>;"

  static let cases: [Case] = [
    Case(
      name: "registers that reach beyond their region",
      guest1: [("reg = <0x3000 0x1000>", "reg = <0x3000 0x900>, <0x8000 0x1000>")],
      found: ["guest1.dts: /soc/serial@3000: missing-region"]),
    Case(
      name: "RAM that the hypervisor doesn't give",
      guest1: [("reg = <0x80000000 0x10000000>", "reg = <0x80000000 0x10200000>")],
      xvisor1: [(shared, "guest_physical_addr = <0xa0000000>; physical_size = <0x100000>;")],
      found: [
        "guest1.dts: /memory@80000000: missing-region", "guest1.dts: /reserved-memory/guestbroker@90000000: missing-region",
      ]),
    Case(
      name: "RAM whose size is filled in before the guest is created",
      xvisor1: [(ram, "align_order = <21>;\n      guest_physical_addr = <0x80000000>; physical_size = <0>;")], found: []),
    Case(
      name: "a link in memory of one guest's own",
      xvisor1: [("device_type = \"shared_ram\"; shared_mem = \"g1g2\"", "device_type = \"alloced_ram\"")],
      found: ["guest1.dts: /reserved-memory/guestbroker@90000000: wrong-region"]),
    Case(
      name: "a link in memory that can't be written", xvisor2: [("\"shared_ram\"", "\"shared_rom\"")],
      found: ["guest2.dts: /reserved-memory/guestbroker@90000000: wrong-region"]),
    Case(
      name: "a link in two different memories", xvisor2: [("shared_mem = \"g1g2\"", "shared_mem = \"other\"")],
      found: ["xvisor2.dts: /aspace/shmem: shared-memory"]),
    Case(
      name: "a large region that is not aligned", xvisor1: [("align_order = <21>", "align_order = <12>")],
      found: ["xvisor1.dts: /aspace/mem: block-alignment"]),
    Case(
      name: "a large region without an alignment", xvisor1: [("align_order = <21>;", "")],
      found: ["xvisor1.dts: /aspace/mem: block-alignment"]),
    Case(
      name: "a large region at an address that is not aligned",
      guest1: [("reg = <0x90000000 0x100000>", "reg = <0x90100000 0x100000>")],
      xvisor1: [(shared, "guest_physical_addr = <0x90100000>; physical_size = <0x200000>;")],
      found: ["xvisor1.dts: /aspace/shmem: block-alignment"]),
    Case(
      name: "a device and its interrupt that two guests have",
      xvisor2: [
        (
          "uart1 {",
          "uart2 { manifest_type = \"real\"; address_type = \"memory\"; device_type = \"pt\"; compatible = \"platform\"; guest_physical_addr = <0x50000000>; host_physical_addr = <0x40003000>; physical_size = <0x1000>; host-interrupts = <35 4 0xffffffff>; interrupts = <35>; }; uart1 {"
        )
      ],
      found: [
        "xvisor2.dts: /aspace/uart2: passed-twice", "xvisor2.dts: /aspace/uart2: passed-twice",
        "xvisor2.dts: /aspace/uart2: unused-region",
      ]),
    Case(
      name: "a range of devices over RAM",
      xvisor1: [(uart2, "guest_physical_addr = <0x40003000>; host_physical_addr = <0x80000000>; physical_size = <0x1000>;")],
      system: [],
      found: []),
    Case(
      name: "an interrupt without its 32", xvisor1: [("interrupts = <35>;\n", "interrupts = <3>;\n")],
      found: ["guest1.dts: /soc/serial@3000: interrupt-offset", "xvisor1.dts: /aspace/uart2: interrupt-offset"]),
    Case(
      name: "another device's interrupt", xvisor1: [("interrupts = <35>;\n", "interrupts = <50>;\n")],
      found: ["guest1.dts: /soc/serial@3000: interrupt-offset"]),
    Case(
      name: "regions that overlap",
      xvisor1: [(uart2, "guest_physical_addr = <0x40003000>; host_physical_addr = <0x40003000>; physical_size = <0x2000>;")],
      found: ["xvisor1.dts: /aspace/gpio: region-overlap", "xvisor1.dts: /aspace/gpio: passed-twice"]),
    Case(
      name: "a region without a size", xvisor2: [(shared, "guest_physical_addr = <0x90000000>;")],
      found: ["guest2.dts: /reserved-memory/guestbroker@90000000: missing-region", "xvisor2.dts: /aspace/shmem: manifest"]),
    Case(
      name: "a region of an unknown type", xvisor2: [("manifest_type = \"virtual\"", "manifest_type = \"imaginary\"")],
      found: ["xvisor2.dts: /aspace/gic: manifest"]),
  ]

  @Test("Found where it is, and nothing else", arguments: cases)
  func found(_ example: Case) throws {
    #expect(
      short(
        try findings(
          guest1: example.guest1.map { ($0.0, $0.1) }, system: example.system?.map { ($0.0, $0.1) },
          xvisor1: example.xvisor1.map { ($0.0, $0.1) }, xvisor2: example.xvisor2.map { ($0.0, $0.1) })) == example.found)
  }
}
