import BrokerProtocol
import DeviceTree
import Foundation
import TestSupport
import Testing

@testable import Partition

/// The example's guest1 on a board with an I2C bus, an SPI bus and two GPIO controllers, and with these exports.
private func partition(_ exports: String, _ changes: [(String, String)] = []) throws -> Partition {
  let board = """
    i2c1: i2c@1000 { #address-cells = <1>; #size-cells = <0>; };
    spi0: spi@2000 { #address-cells = <1>; #size-cells = <0>; };
    gpio0: gpio@3000 { gpio-controller; #gpio-cells = <2>; };
    gpio1: gpio@4000 { gpio-controller; #gpio-cells = <2>; };
    gpio2: gpio@5000 { gpio-controller; #gpio-cells = <3>; };
    i2c9: i2c@6000 { status = "reserved"; };
    guestbroker {
    """
  let source = try exampleSource(
    "guest1", [("\tguestbroker {", board), ("\t\texports {", "\t\texports {\n\(exports)\n")] + changes)
  return try Partition(try DeviceTree(blob: Array(try compile(source).blob)))
}

private func sentence(_ exports: String) -> String? {
  do {
    _ = try partition(exports)
    return nil
  } catch {
    return (error as? PartitionError)?.text
  }
}

private let i2c = "x { class = \"i2c\"; device = <&i2c1>; #address-cells = <1>; #size-cells = <0>;"
private let spi = "x { class = \"spi\"; device = <&spi0>; #address-cells = <1>; #size-cells = <0>;"
private let gpio = "x { class = \"gpio\"; clients = \"guest2\";"

@Suite("Exports of every class", .enabled(if: hasCompiler, "needs dtc"))
struct ExportTests {
  @Test("An I2C export has a grant for each address, and what a child leaves out is the export's")
  func addresses() throws {
    let partition = try partition(
      """
      \(i2c) clients = "guest2"; access = "ro"; priority = <2>; max-ops-per-second = <100>; max-transfer-bytes = <34>;
        sensor@48 { reg = <0x48>; };
        eeprom@50 { reg = <0x50>; clients = "guest2", "guest3"; access = "rw"; priority = <7>; max-ops-per-second = <5>;
                    max-bytes-per-second = <640>; };
        gone@51 { reg = <0x51>; status = "disabled"; };
      };
      """)
    #expect(partition.exports.map(\.name).sorted() == ["uart2", "x"])
    let bus = try #require(partition.exports.first { $0.name == "x" })
    #expect(bus.peripheralClass == .i2c && bus.devicePath == "/i2c@1000" && bus.onClientLoss == .hold)
    #expect(bus.maximumTransferBytes == 34 && bus.maximumBaud == nil)
    #expect(bus.elements.map(\.name) == ["sensor@48", "eeprom@50"])
    #expect(bus.elements.map(\.number) == [0x48, 0x50])
    #expect(bus.elements.allSatisfy { $0.devicePath == "/i2c@1000" && $0.maximumFrequency == nil })
    let (sensor, eeprom) = (bus.elements[0].grant, bus.elements[1].grant)
    #expect(sensor.clients == ["guest2"] && sensor.access == .read && sensor.priority == 2)
    #expect(sensor.maximumOperationsPerSecond == 100 && sensor.maximumBytesPerSecond == nil)
    #expect(eeprom.clients == ["guest2", "guest3"] && eeprom.access == [.read, .write] && eeprom.priority == 7)
    #expect(eeprom.maximumOperationsPerSecond == 5 && eeprom.maximumBytesPerSecond == 640)
    #expect(partition.notes == ["/guestbroker/exports/x cannot be used yet: this version serves class \"uart\" only"])
  }

  @Test("An SPI export has a grant for each chip select, with a clock that clients may not exceed")
  func chipSelects() throws {
    let partition = try partition(
      "\(spi) flash@0 { reg = <0>; clients = \"guest2\"; spi-max-frequency = <20000000>; }; dac@1 { reg = <1>; clients = \"guest3\"; }; };"
    )
    let bus = try #require(partition.exports.first { $0.name == "x" })
    #expect(bus.peripheralClass == .spi && bus.devicePath == "/spi@2000")
    #expect(bus.grant.clients.isEmpty)
    #expect(bus.elements.map(\.number) == [0, 1])
    #expect(bus.elements.map(\.maximumFrequency) == [20_000_000, nil])
    #expect(bus.elements.map(\.grant.clients) == [["guest2"], ["guest3"]])
  }

  @Test("A GPIO export has a grant for each line, by controller, number, flags and name")
  func lines() throws {
    let partition = try partition(
      """
      \(gpio) gpios = <&gpio0 3 0>, <&gpio0 4 1>, <&gpio1 3 0>; gpio-line-names = "led-run", "relay", "fan";
        access = "wo"; on-client-loss = "inactive"; };
      """)
    let lines = try #require(partition.exports.first { $0.name == "x" })
    #expect(lines.peripheralClass == .gpio && lines.devicePath == "/gpio@3000" && lines.onClientLoss == .inactive)
    #expect(lines.elements.map(\.number) == [3, 4, 3] && lines.elements.map(\.flags) == [0, 1, 0])
    #expect(lines.elements.map(\.name) == ["led-run", "relay", "fan"])
    #expect(lines.elements.map(\.devicePath) == ["/gpio@3000", "/gpio@3000", "/gpio@4000"])
    #expect(lines.elements.allSatisfy { $0.grant.clients == ["guest2"] && $0.grant.access == .write })
    let unnamed = try self.unnamed()
    #expect(unnamed.map(\.name) == ["", ""])
  }

  private func unnamed() throws -> [Export.Element] {
    let partition = try partition("\(gpio) gpios = <&gpio0 3 0>, <&gpio0 4 0>; };")
    return try #require(partition.exports.first { $0.name == "x" }).elements
  }

  @Test("A UART's limits are read, and a note says which of them this version does not act on")
  func uartLimits() throws {
    let partition = try partition(
      "",
      [
        (
          "max-baud = <1000000>;",
          "priority = <1>; max-bytes-per-second = <960>; max-ops-per-second = <10>; on-client-loss = \"discard\";"
        )
      ])
    let uart = partition.exports[0]
    #expect(uart.grant.priority == 1 && uart.grant.maximumBytesPerSecond == 960)
    #expect(uart.grant.maximumOperationsPerSecond == 10 && uart.onClientLoss == .discard && uart.elements.isEmpty)
    #expect(partition.notes == ["/guestbroker/exports/uart2: this version does not act on on-client-loss"])
    #expect(try self.partitionHolding().notes.isEmpty)
  }

  private func partitionHolding() throws -> Partition {
    try partition("", [("max-baud = <1000000>;", "on-client-loss = \"hold\";")])
  }

  @Test("A bus without a child grants nothing, and a note says so", arguments: [(i2c, "address"), (spi, "chip select")])
  func nothingGranted(bus: String, what: String) throws {
    let partition = try partition("\(bus) clients = \"guest2\"; };")
    #expect(partition.notes.last == "/guestbroker/exports/x grants nothing: it needs a child with a reg for each \(what)")
  }

  private static let addressRule = "property reg should be one I2C address from 0x08 to 0x77, which no other child has"
  private static let lineRule = "property gpios should be \(lineRuleText)"
  private static let lineRuleText =
    "up to 64 different lines: a phandle of a controller with #gpio-cells = <2>, the line's number and its flags each"

  static let mistakes: [(exports: String, sentence: String)] = [
    ("\(i2c) a@7 { reg = <7>; clients = \"guest2\"; }; };", "/x/a@7: \(addressRule)"),
    ("\(i2c) a@78 { reg = <0x78>; clients = \"guest2\"; }; };", "/x/a@78: \(addressRule)"),
    ("\(i2c) a@ffffffff { reg = <0xffffffff>; clients = \"guest2\"; }; };", "/x/a@ffffffff: \(addressRule)"),
    ("\(i2c) a@8 { reg = <8 9>; clients = \"guest2\"; }; };", "/x/a@8: \(addressRule)"),
    (
      "\(i2c) clients = \"guest2\"; a@8 { reg = <8>; }; b@8 { reg = <8>; }; };", "/x/b@8: \(addressRule)"
    ),
    (
      "\(i2c) a { clients = \"guest2\"; }; };",
      "/x/a: property reg is missing; it should be one I2C address from 0x08 to 0x77, which no other child has"
    ),
    (
      "\(i2c) a@8 { reg = <8>; }; };",
      "/x/a@8: property clients is missing; it should be the names of the guests that may use it"
    ),
    (
      "\(i2c) a@8 { reg = <8>; clients = \"guest 2\"; }; };",
      "/x/a@8: 'guest 2' is no name; use 1 to 31 letters, digits and ,._+-"
    ),
    (
      "\(i2c) a@8 { reg = <8>; clients = \"g\"; access = \"x\"; }; };",
      "/x/a@8: property access should be \"rw\", \"ro\" or \"wo\""
    ),
    (
      "\(i2c) a@8 { reg = <8>; clients = \"g\"; priority = <8>; }; };",
      "/x/a@8: property priority should be one cell from 0 to 7"
    ),
    (
      "\(i2c) a@8 { reg = <8>; clients = \"g\"; max-ops-per-second = <0>; }; };",
      "/x/a@8: property max-ops-per-second should be one cell from 1 to 2147483647"
    ),
    (
      "\(i2c) a@8 { reg = <8>; clients = \"g\"; max-bytes-per-second = \"1\"; }; };",
      "/x/a@8: property max-bytes-per-second should be one cell from 1 to 2147483647"
    ),
    ("\(i2c) max-transfer-bytes = <0>; };", "/x: property max-transfer-bytes should be one cell from 1 to 2147483647"),
    ("\(i2c) on-client-loss = \"input\"; };", "/x: property on-client-loss should be \"hold\""),
    (
      "x { class = \"i2c\"; device = <&i2c9>; };",
      "export x: its device /i2c@6000, or a bus above it, is not okay in this tree, so it is not this guest's to share; set status = \"okay\" or drop the export"
    ),
    ("x { class = \"spi\"; };", "/x: property device is missing; it should be a phandle of the device's node"),
    (
      "\(spi) a@100 { reg = <256>; clients = \"g\"; }; };",
      "/x/a@100: property reg should be one chip select from 0 to 255, which no other child has"
    ),
    (
      "\(spi) a@0 { reg = <0>; clients = \"g\"; spi-max-frequency = <0>; }; };",
      "/x/a@0: property spi-max-frequency should be one cell from 1 to 2147483647"
    ),
    (
      "x { class = \"gpio\"; gpios = <&gpio0 3 0>; };",
      "/x: property clients is missing; it should be the names of the guests that may use it"
    ),
    ("\(gpio) };", "/x: property gpios is missing; it should be \(lineRuleText)"),
    ("\(gpio) gpios; };", "/x: \(lineRule)"),
    ("\(gpio) gpios = <&gpio0 3>; };", "/x: \(lineRule)"),
    ("\(gpio) gpios = <&gpio2 3 0>; };", "/x: \(lineRule)"),
    ("\(gpio) gpios = <&i2c1 3 0>; };", "/x: \(lineRule)"),
    ("\(gpio) gpios = <&gpio0 3 0>, <&gpio1 3 0>, <&gpio0 3 1>; };", "/x: \(lineRule)"),
    (
      "\(gpio) gpios = <0x99 3 0>; };",
      "/x: property gpios refers to nothing; it should be a phandle of a GPIO controller's node"
    ),
    (
      "\(gpio) gpios = <&gpio0 3 0>; gpio-line-names = \"a\", \"b\"; };",
      "/x: property gpio-line-names should be a name for each of gpios"
    ),
    (
      "\(gpio) gpios = <&gpio0 3 0>; gpio-line-names = \"\"; };", "/x: '' is no name; use 1 to 31 letters, digits and ,._+-"
    ),
    (
      "\(gpio) gpios = <&gpio0 3 0>, <&gpio0 4 0>; gpio-line-names = \"a\", \"a\"; };", "two lines are called a; rename one"
    ),
    (
      "\(gpio) gpios = <&gpio0 3 0>; on-client-loss = \"discard\"; };",
      "/x: property on-client-loss should be \"hold\", \"input\" or \"inactive\""
    ),
    (
      "x { class = \"uart\"; device = <&uart2>; clients = \"g\"; on-client-loss = \"input\"; };",
      "/x: property on-client-loss should be \"hold\" or \"discard\""
    ),
  ]

  @Test("Each mistake names its node, its property and the remedy", arguments: mistakes)
  func mistake(exports: String, expected: String) {
    let found = sentence(exports)
    #expect(found == (expected.hasPrefix("/") ? "/guestbroker/exports\(expected)" : expected))
  }

  @Test("As many children, lines and clients as the Spec allows are taken, and not one more")
  func limits() throws {
    func clients(_ count: Int) -> String { (1...count).map { "\"g\($0)\"" }.joined(separator: ", ") }
    func uart(_ count: Int) -> String { "x { class = \"uart\"; device = <&uart2>; clients = \(clients(count)); };" }
    #expect(try partition(uart(64)).exports.count == 2)
    #expect(
      sentence(uart(65)) == "the guestbroker node has more than 64 clients in /guestbroker/exports/x; drop some")

    func lines(_ count: Int) -> String {
      "\(gpio) gpios = \((0..<count).map { "<&gpio0 \($0) 0>" }.joined(separator: ", ")); };"
    }
    #expect(try partition(lines(64)).exports.contains { $0.elements.count == 64 })
    #expect(sentence(lines(65)) == "/guestbroker/exports/x: \(Self.lineRule)")

    func selects(_ count: Int) -> String {
      "\(spi) clients = \"g\"; \((0..<count).map { "d@\(String($0, radix: 16)) { reg = <\($0)>; };" }.joined()) };"
    }
    #expect(try partition(selects(128)).exports.contains { $0.elements.count == 128 })
    #expect(
      sentence(selects(129))
        == "the guestbroker node has more than 128 children of /guestbroker/exports/x; drop some")
  }

  @Test("Exports that are left out count too, so that the notes are bounded")
  func leftOutCount() {
    let exports = (0..<256).map { "e\($0) { class = \"can\"; };" }.joined()
    #expect(sentence(exports) == "the guestbroker node has more than 256 exports; drop some")
  }

  @Test("An import of each class is read; a note says that only a UART can be used yet", arguments: ["i2c", "spi", "gpio"])
  func imports(name: String) throws {
    let source = try exampleSource("guest2", [("class = \"uart\";", "class = \"\(name)\";")])
    let partition = try Partition(try DeviceTree(blob: Array(try compile(source).blob)))
    #expect(partition.imports.map(\.peripheralClass.name) == [name])
    #expect(
      partition.notes == ["/guestbroker/imports/uart2 cannot be used yet: this version serves class \"uart\" only"])
  }
}

@Suite("Memory nodes of others, as they are", .enabled(if: hasCompiler, "needs dtc"))
struct ForeignMemoryTests {
  /// The link of the example's guest1, where the memory's node is this one.
  private func link(_ node: String, inRoot: Bool = false) throws -> Link {
    let source = try exampleSource(
      "guest1",
      inRoot
        ? [("\treserved-memory {", "\t\(node)\n\treserved-memory {"), ("<&g1g2>", "<&foreign>")]
        : [("\t\tg1g2: guestbroker@", "\(node)\n\t\tg1g2: guestbroker@"), ("<&g1g2>", "<&foreign>")])
    return try Partition(try DeviceTree(blob: Array(try compile(source).blob))).links[0]
  }

  @Test("What Xen hands to a guest: xen,shared-memory-v1, whose xen,id is the link's name")
  func xen() throws {
    let link = try link(
      """
      foreign: xen-shmem@70000000 { compatible = "xen,shared-memory-v1"; reg = <0x70000000 0x1000000>; xen,id = "my-shared-mem-0";
                                    xen,offset = <0 0>; };
      """)
    let range = AddressRange(address: 0x7000_0000, size: 0x100_0000)
    #expect(link.memory == .physical(range, node: "/reserved-memory/xen-shmem@70000000"))
    #expect(link.name == "my-shared-mem-0")
  }

  @Test("A part of Xen's shared memory that begins somewhere else is refused")
  func xenOffset() {
    #expect {
      _ = try link(
        """
        foreign: xen-shmem@70000000 { compatible = "xen,shared-memory-v1"; reg = <0x70000000 0x1000000>; xen,offset = <0 0x1000>; };
        """)
    } throws: {
      ($0 as? PartitionError)?.text
        == "/reserved-memory/xen-shmem@70000000: property xen,offset should be 0: a link begins where the shared memory does"
    }
  }

  @Test("Bao's: bao,ipcshmem, a child of the root")
  func bao() throws {
    let link = try link(
      """
      foreign: bao-ipc@f0000000 { compatible = "bao,ipcshmem"; reg = <0xf0000000 0x10000>; read-channel = <0x0 0x2000>;
                                  write-channel = <0x2000 0x2000>; interrupts = <0 20 1>; id = <0>; };
      """, inRoot: true)
    #expect(link.memory == .physical(AddressRange(address: 0xf000_0000, size: 0x10000), node: "/bao-ipc@f0000000"))
    #expect(link.name == "guest2")
  }

  @Test("A plain shared-dma-pool, as Xvisor's sample has")
  func pool() throws {
    let link = try link(
      "foreign: shmem@38000000 { compatible = \"shared-dma-pool\"; reg = <0x38000000 0x1000000>; no-map; };")
    #expect(
      link.memory == .physical(AddressRange(address: 0x3800_0000, size: 0x100_0000), node: "/reserved-memory/shmem@38000000"))
  }
}

@Suite("A guest with every property of the binding", .enabled(if: hasCompiler, "needs dtc"))
struct EveryPropertyTests {
  /// Spec/bindings/every-property.dts. Doorbells are made timed polls: which others there are is not these tests' concern.
  private func blob() throws -> [UInt8] {
    let path = projectRoot.appendingPathComponent("Spec/bindings/every-property.dts")
    var source = try String(contentsOf: path, encoding: .utf8)
    for old in ["doorbell = \"uio\";", "doorbell = \"ivshmem\";", "doorbell-write = <0x8 0x1>;"] {
      #expect(source.contains(old))
      source = source.replacingOccurrences(of: old, with: "")
    }
    return Array(try compile(source).blob)
  }

  @Test("It is read, with the memory nodes of each hypervisor")
  func whole() throws {
    let partition = try Partition(try DeviceTree(blob: blob()))
    #expect(partition.exports.map(\.peripheralClass.name).sorted() == ["gpio", "i2c", "spi", "uart"])
    #expect(partition.imports.map(\.peripheralClass.name).sorted() == ["gpio", "i2c", "spi", "uart"])
    #expect(partition.links.map(\.name).sorted() == ["g1g2", "g1g3", "g1g6", "guest4", "guest5"])
    #expect(partition.exports.flatMap(\.elements).map(\.number).sorted() == [1, 3, 4, 0x48])
  }

  @Test("Any damage to it is an error, or a partition that makes sense")
  func fuzz() throws {
    var generator = SeededGenerator("exports fuzz")
    func random(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &generator) }
    let blob = try blob()
    var taken = 0
    for _ in 0..<10_000 {
      var damaged = blob
      for _ in 0...random(4) {
        if random(2) > 0 {
          damaged[random(damaged.count)] = UInt8(random(256))
        } else {
          let word: UInt32 = [0, 1, 2, 7, 8, 0x77, 0x78, 0x7fff_ffff, 0x8000_0000, .max][random(10)]
          let offset = random(damaged.count / 4) * 4
          for place in 0..<4 { damaged[offset + place] = UInt8(truncatingIfNeeded: word >> (24 - 8 * place)) }
        }
      }
      guard let tree = try? DeviceTree(blob: damaged), let partition = try? Partition(tree) else { continue }
      taken += 1
      for export in partition.exports {
        for element in export.elements {
          switch export.peripheralClass {
          case .uart, .broker: Issue.record("it has no elements")
          case .i2c: #expect((0x08...0x77).contains(element.number) && !element.grant.clients.isEmpty)
          case .spi: #expect(element.number <= 255 && !element.grant.clients.isEmpty)
          case .gpio: #expect(export.elements.count <= 64 && !element.grant.clients.isEmpty)
          }
          #expect(element.grant.priority <= 7)
        }
      }
    }
    #expect(taken > 50)
  }
}
