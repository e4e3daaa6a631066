import DeviceTree
import Foundation
import TestSupport
import Testing

@testable import TreeTools

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
      name: "memory that is aligned in other steps than the guest's address",
      xvisor1: [("align_order = <21>", "align_order = <32>")], found: ["xvisor1.dts: /aspace/mem: block-alignment"]),
    Case(
      name: "a large range of devices: the same lower bits on the board and in the guest",
      xvisor1: [
        (
          "gic {",
          "big { manifest_type = \"real\"; address_type = \"memory\"; device_type = \"pt\"; compatible = \"platform\"; guest_physical_addr = <0x50010000>; host_physical_addr = <0x60010000>; physical_size = <0x400000>; }; gic {"
        )
      ], found: ["xvisor1.dts: /aspace/big: unused-region"]),
    Case(
      name: "a large range of devices: other lower bits",
      xvisor1: [
        (
          "gic {",
          "big { manifest_type = \"real\"; address_type = \"memory\"; device_type = \"pt\"; compatible = \"platform\"; guest_physical_addr = <0x50000000>; host_physical_addr = <0x60010000>; physical_size = <0x400000>; }; gic {"
        )
      ], found: ["xvisor1.dts: /aspace/big: unused-region", "xvisor1.dts: /aspace/big: block-alignment"]),
    Case(
      name: "a device and its interrupt that two guests have",
      xvisor2: [
        (
          "uart1 {",
          "uart2 { manifest_type = \"real\"; address_type = \"memory\"; device_type = \"pt\"; compatible = \"platform\"; guest_physical_addr = <0x50000000>; host_physical_addr = <0x40003000>; physical_size = <0x1000>; host-interrupts = <35 4 0xffffffff>; interrupts = <35>; }; uart1 {"
        )
      ],
      found: [
        "xvisor2.dts: /aspace/uart2: unused-region", "xvisor2.dts: /aspace/uart2: passed-twice",
        "xvisor2.dts: /aspace/uart2: passed-twice",
      ]),
    Case(
      name: "a range of devices over RAM",
      xvisor1: [(uart2, "guest_physical_addr = <0x40003000>; host_physical_addr = <0x80000000>; physical_size = <0x1000>;")],
      system: [],
      found: [
        "guest1.dts: /soc/serial@3000: register-mismatch", "board.dts: /soc/serial@3000: unassigned",
        "xvisor1.dts: /aspace/uart2: passed-memory",
      ]),
    Case(
      name: "an interrupt without its 32", xvisor1: [("interrupts = <35>;\n", "interrupts = <3>;\n")],
      found: ["guest1.dts: /soc/serial@3000: interrupt-offset", "xvisor1.dts: /aspace/uart2: interrupt-offset"]),
    Case(
      name: "another device's interrupt", xvisor1: [("interrupts = <35>;\n", "interrupts = <50>;\n")],
      found: ["guest1.dts: /soc/serial@3000: interrupt-offset"]),
    Case(
      name: "an interrupt whose number by the controller is beyond 32 bits",
      guest1: [("interrupts = <0 3 4>", "interrupts = <0 0xffffffff 4>")],
      xvisor1: [("interrupts = <35>", "interrupts = <0xffffffff>")],
      found: ["guest1.dts: /soc/serial@3000: interrupt-offset"]),
    Case(
      name: "regions that overlap",
      xvisor1: [(uart2, "guest_physical_addr = <0x40003000>; host_physical_addr = <0x40003000>; physical_size = <0x2000>;")],
      found: ["xvisor1.dts: /aspace/gpio: region-overlap", "xvisor1.dts: /aspace/gpio: passed-twice"]),
    Case(
      name: "a region without a size", xvisor2: [(shared, "guest_physical_addr = <0x90000000>;")],
      found: ["guest2.dts: /reserved-memory/guestbroker@90000000: missing-region", "xvisor2.dts: /aspace/shmem: manifest"]),
    Case(
      name: "a name that Xvisor cuts off", xvisor2: [("gic {", "\(String(repeating: "g", count: 64)) {")],
      found: ["xvisor2.dts: /aspace/\(String(repeating: "g", count: 64)): bad-name"]),
    Case(
      name: "a region of an unknown type", xvisor2: [("manifest_type = \"virtual\"", "manifest_type = \"imaginary\"")],
      found: ["guest2.dts: /soc/interrupt-controller@0: missing-region", "xvisor2.dts: /aspace/gic: manifest"]),
  ]

  @Test("Found where it is, and nothing else", arguments: cases)
  func found(_ example: Case) throws {
    let found = try findings(
      guest1: example.guest1.map { ($0.0, $0.1) }, system: example.system?.map { ($0.0, $0.1) },
      xvisor1: example.xvisor1.map { ($0.0, $0.1) }, xvisor2: example.xvisor2.map { ($0.0, $0.1) })
    #expect(short(found) == example.found)
  }

  @Test("Whose a manifest is: by the caller, by its own guest-name, by being the only one; else it is asked for")
  func whose() throws {
    func rules(_ guest: String?, _ changes: [Change] = [], alone: Bool = false) throws -> [String] {
      let first = NamedTree(file: "guest1.dts", tree: try tree(Sources.guest1))
      let second = NamedTree(file: "guest2.dts", tree: try tree(Sources.guest2))
      let manifest = NamedTree(file: "xvisor1.dts", guest: guest, tree: try tree(changed(Sources.xvisor1, changes)))
      return short(TreeCheck(guests: alone ? [first] : [first, second], hypervisor: [manifest]).findings())
    }
    #expect(try rules("guest1") == [])
    #expect(try rules(nil, [("model = \"a guest\";", "model = \"a guest\"; guest-name = \"guest1\";")]) == [])
    #expect(try rules(nil, alone: true) == [])
    #expect(try rules(nil) == ["xvisor1.dts: /: manifest"])
    #expect(try rules("guest3") == ["xvisor1.dts: /: manifest"])
    let board = NamedTree(file: "board.dts", tree: try tree(Sources.system))
    #expect(short(TreeCheck(guests: [], hypervisor: [board]).findings()) == ["board.dts: /: manifest"])
  }

  /// A host's tree for Xen, with both guests' shared memory.
  private func xen(_ changes: [Change] = []) throws -> NamedTree {
    let source = """
      /dts-v1/;
      / {
        #address-cells = <2>; #size-cells = <2>;
        chosen {
          guest1 {
            compatible = "xen,domain"; #address-cells = <2>; #size-cells = <1>; memory = <0 262144>; cpus = <1>;
            shm@90000000 {
              compatible = "xen,domain-shared-memory-v1"; xen,shm-id = "g1g2"; role = "owner";
              xen,shared-mem = <0x0 0x50000000 0x0 0x90000000 0x100000>;
            };
          };
          guest2 {
            compatible = "xen,domain"; #address-cells = <2>; #size-cells = <1>; memory = <0 262144>; cpus = <1>;
            shm@90000000 {
              compatible = "xen,domain-shared-memory-v1"; xen,shm-id = "g1g2"; role = "borrower";
              xen,shared-mem = <0x0 0x50000000 0x0 0x90000000 0x100000>;
            };
          };
        };
      };
      """
    return NamedTree(file: "xen.dts", tree: try tree(changed(source, changes)))
  }

  private func withXen(_ trees: [NamedTree]) throws -> [String] {
    let guests = [
      NamedTree(file: "guest1.dts", tree: try tree(Sources.guest1)),
      NamedTree(file: "guest2.dts", tree: try tree(Sources.guest2)),
    ]
    return short(TreeCheck(guests: guests, hypervisor: trees).findings())
  }

  @Test("Xen's static shared memory: the same for both domains, where both trees say it is")
  func xenSharedMemory() throws {
    #expect(try withXen([xen()]) == [])
    let second = "/chosen/guest2/shm@90000000"
    #expect(
      try withXen([
        xen([
          (
            "role = \"borrower\";\n        xen,shared-mem = <0x0 0x50000000",
            "role = \"borrower\";\n        xen,shared-mem = <0x0 0x51000000"
          )
        ])
      ])
        == ["xen.dts: \(second): shared-memory"])
    #expect(try withXen([xen([("role = \"borrower\"", "role = \"owner\"")])]) == ["xen.dts: \(second): shared-memory"])
    #expect(
      try withXen([
        xen([("xen,shm-id = \"g1g2\"; role = \"borrower\"", "xen,shm-id = \"much-too-long-for-xen\"; role = \"borrower\"")])
      ])
        == ["guest2.dts: /reserved-memory/guestbroker@90000000: missing-region", "xen.dts: \(second): manifest"])
    #expect(
      try withXen([xen([("0x0 0x90000000 0x100000", "0x0 0x90000000 0x80000")])])
        == [
          "guest1.dts: /reserved-memory/guestbroker@90000000: missing-region",
          "guest2.dts: /reserved-memory/guestbroker@90000000: missing-region",
        ])
  }

  @Test("What Xen passes through is a device of its host's tree, and set aside there")
  func xenPaths() throws {
    let partial = try tree(
      """
      /dts-v1/;
      / { #address-cells = <2>; #size-cells = <2>; passthrough {
        compatible = "simple-bus"; ranges; #address-cells = <2>; #size-cells = <2>;
        serial@40002000 { xen,reg = <0x0 0x40002000 0x0 0x1000 0x0 0x40002000>; xen,path = "/soc/serial@2000"; }; }; };
      """)
    func found(_ host: String) throws -> [String] {
      let trees = [
        try xen([("chosen {", "soc { \(host) };\n chosen {")]),
        NamedTree(file: "guest2.partial.dts", guest: "guest2", tree: partial),
      ]
      return try withXen(trees)
    }
    #expect(try found("serial@2000 { xen,passthrough; };") == [])
    #expect(try found("serial@2000 { };") == ["xen.dts: /soc/serial@2000: manifest"])
    #expect(try found("serial@9000 { };") == ["guest2.partial.dts: /passthrough/serial@40002000: manifest"])
  }

  @Test("What Xen passes through by partial trees: to one domain, and what its kernel refers to")
  func xenPassThrough() throws {
    func partial(_ guest: String, _ devices: [String]) throws -> NamedTree {
      let nodes = devices.map { "\($0) { xen,reg = <0x0 0x4000\($0.suffix(4)) 0x0 0x1000 0x0 0x4000\($0.suffix(4))>; };" }
      let source = """
        /dts-v1/;
        / { #address-cells = <2>; #size-cells = <2>; passthrough {
          compatible = "simple-bus"; ranges; #address-cells = <2>; #size-cells = <2>; \(nodes.joined()) }; };
        """
      return NamedTree(file: "\(guest).partial.dts", guest: guest, tree: try tree(source))
    }
    let all = ["serial@40001000", "serial@40003000", "gpio@40004000", "dma@40005000", "clock@40006000", "i2c@40007000"]
    let second = try partial("guest2", ["serial@40002000"])
    #expect(try withXen([xen(), partial("guest1", all), second]) == [])
    #expect(
      try withXen([xen(), partial("guest1", all.filter { $0 != "serial@40003000" }), second])
        == ["guest1.dts: /soc/serial@3000: missing-region"])
    #expect(
      try withXen([xen(), partial("guest1", all), partial("guest2", ["serial@40002000", "gpio@40004000"])])
        == [
          "guest2.partial.dts: /passthrough/gpio@40004000: unused-region",
          "guest2.partial.dts: /passthrough/gpio@40004000: passed-twice",
        ])
  }
}
