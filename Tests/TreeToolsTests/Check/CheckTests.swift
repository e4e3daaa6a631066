import DeviceTree
import Foundation
import TestSupport
import Testing

@testable import TreeTools

@Suite("Trees checked together", .enabled(if: hasCompiler, "needs dtc"))
struct CheckTests {
  private static let soc1 = "guest1.dts: /soc"
  private static let soc2 = "guest2.dts: /soc"
  private static let link1 = "guest1.dts: /guestbroker/links/guest2"
  private static let link2 = "guest2.dts: /guestbroker/links/guest1"
  private static let region1 = "guest1.dts: /reserved-memory/guestbroker@90000000"
  private static let region2 = "guest2.dts: /reserved-memory/guestbroker@90000000"

  @Test("Two guests' trees that agree: nothing, alone or with the board's, or with the hypervisor's side")
  func agreement() throws {
    #expect(short(try findings()) == [])
    #expect(short(try findings(system: [])) == [])
    #expect(short(try findings(xvisor1: [], xvisor2: [])) == [])
    #expect(short(try findings(system: [], xvisor1: [], xvisor2: [])) == [])
  }

  @Test("The example's trees: nothing")
  func example() throws {
    let guests = try ["guest1", "guest2"].map { NamedTree(file: "\($0).dts", tree: try tree(exampleSource($0))) }
    let system = NamedTree(file: "system.dts", tree: try tree(exampleSource("system")))
    #expect(short(TreeCheck(guests: guests).findings()) == [])
    #expect(short(TreeCheck(guests: guests, system: system).findings()) == [])
    #expect(short(TreeCheck(guests: [guests[0]]).findings()) == [])
    #expect(short(TreeCheck(guests: [system]).findings()) == [])
  }

  struct Case: Sendable, CustomTestStringConvertible {
    var name: String
    var guest1: [(String, String)] = []
    var guest2: [(String, String)] = []
    var system: [(String, String)]?
    var found: [String]
    var testDescription: String { name }
  }

  private static let serial1 = "interrupts = <0 2 4>; clocks = <&refclk>; "
  private static let led = "aliases {"

  static let cases: [Case] = [
    Case(
      name: "a peripheral that is okay in both guests", guest1: [("status = \"reserved\";", "")],
      found: ["\(soc2)/serial@2000: okay-twice"]),
    Case(
      name: "registers that overlap another guest's", guest2: [("reg = <0x2000 0x1000>", "reg = <0x2800 0x1000>")],
      found: ["\(soc2)/serial@2000: register-overlap"]),
    Case(
      name: "a device within another's registers, in both guests: the outer one supplies it",
      guest1: [
        (
          "status = \"reserved\"; };\n    uart2",
          "#address-cells = <1>; #size-cells = <1>; ranges; part@2800 { compatible = \"test,part\"; reg = <0x2800 0x100>; }; };\n    uart2"
        )
      ],
      guest2: [
        (
          "clocks = <&refclk>;  };\n    uart2",
          "clocks = <&refclk>; #address-cells = <1>; #size-cells = <1>; ranges; part@2800 { compatible = \"test,part\"; reg = <0x2800 0x100>; }; };\n    uart2"
        )
      ],
      found: ["\(soc2)/serial@2000: shared-supplier", "\(soc2)/serial@2000/part@2800: okay-twice"]),
    Case(
      name: "registers elsewhere than on the board",
      guest2: [("reg = <0x2000 0x1000>; interrupts = <0 2 4>", "reg = <0x2100 0x100>; interrupts = <0 2 4>")], system: [],
      found: ["\(soc2)/serial@2000: register-mismatch"]),
    Case(
      name: "an interrupt of another guest's device", guest2: [("interrupts = <0 2 4>", "interrupts = <0 1 4>")],
      found: ["\(soc2)/serial@2000: interrupt-twice"]),
    Case(
      name: "an interrupt counted as the controller does", guest2: [("interrupts = <0 2 4>", "interrupts = <0 34 4>")],
      system: [],
      found: ["\(soc2)/serial@2000: interrupt-offset"]),
    Case(
      name: "a GPIO line in two guests",
      guest1: [(led, "led { compatible = \"gpio-leds\"; led { gpios = <&gpio 3 0>; }; }; aliases {")],
      guest2: [
        (led, "lamp { compatible = \"gpio-leds\"; lamp { gpios = <&gpio 3 0>; }; }; aliases {"),
        ("#gpio-cells = <2>; status = \"reserved\";", "#gpio-cells = <2>; status = \"disabled\";"),
      ],
      found: ["guest2.dts: /lamp/lamp: gpio-twice"]),
    Case(
      name: "a GPIO line that a guest exports and uses itself",
      guest1: [
        (led, "led { compatible = \"gpio-leds\"; led { gpios = <&gpio 3 0>; }; }; aliases {"),
        ("exports {", "exports { leds { class = \"gpio\"; gpios = <&gpio 3 0>; clients = \"guest2\"; };"),
      ],
      found: ["guest1.dts: /guestbroker/exports/leds: gpio-twice"]),
    Case(
      name: "a DMA channel in two guests", guest1: [("interrupts = <0 1 4>;", "interrupts = <0 1 4>; dmas = <&dma 3>;")],
      guest2: [
        ("interrupts = <0 2 4>;", "interrupts = <0 2 4>; dmas = <&dma 3>;"),
        ("#dma-cells = <1>; status = \"reserved\";", "#dma-cells = <1>; status = \"disabled\";"),
      ],
      found: ["\(soc2)/serial@2000: dma-twice"]),
    Case(
      name: "a clock controller that both guests have",
      guest2: [("#clock-cells = <1>; status = \"reserved\";", "#clock-cells = <1>;")],
      found: ["\(soc2)/clock-controller@6000: shared-supplier"]),
    Case(
      name: "a clock without registers that devices of both guests need",
      guest1: [("interrupts = <0 1 4>; clocks = <&refclk>", "interrupts = <0 1 4>; clocks = <&osc>")],
      guest2: [("interrupts = <0 2 4>; clocks = <&refclk>", "interrupts = <0 2 4>; clocks = <&osc>")],
      found: ["guest2.dts: /clock-osc: shared-supplier"]),
    Case(
      name: "a device whose clock is another guest's",
      guest2: [("interrupts = <0 2 4>; clocks = <&refclk>", "interrupts = <0 2 4>; clocks = <&clk 1>")],
      found: ["\(soc2)/serial@2000: supplier-elsewhere"]),
    Case(
      name: "a peripheral in no guest, by the board's tree",
      system: [("i2c: i2c@7000 {", "spi@8000 { compatible = \"test,spi\"; reg = <0x8000 0x1000>; };\n i2c: i2c@7000 {")],
      found: ["board.dts: /soc/spi@8000: unassigned"]),
    Case(
      name: "a peripheral that each guest leaves to the other",
      guest1: [
        ("interrupts = <0 1 4>; clocks = <&refclk>;", "interrupts = <0 1 4>; clocks = <&refclk>; status = \"reserved\";"),
        ("serial0:", "serial2:"),
      ],
      found: ["\(soc1)/serial@1000: unassigned"]),
    Case(
      name: "exported but not okay",
      guest1: [
        ("interrupts = <0 3 4>; clocks = <&refclk>; ", "interrupts = <0 3 4>; clocks = <&refclk>; status = \"disabled\"; ")
      ],
      found: ["guest1.dts: /guestbroker/exports/uart2: export-not-okay", "\(soc2)/serial@3000: unassigned"]),
    Case(
      name: "imported but not exported", guest1: [("exports { uart2", "exports { uart9")],
      found: ["guest2.dts: /guestbroker/imports/uart2: import-not-exported"]),
    Case(
      name: "imported as another class", guest2: [("class = \"uart\"", "class = \"gpio\"")],
      found: ["guest2.dts: /guestbroker/imports/uart2: import-not-exported"]),
    Case(
      name: "exported to another guest", guest1: [("clients = \"guest2\"", "clients = \"guest3\"")],
      found: [
        "guest1.dts: /guestbroker/exports/uart2: export-unreachable",
        "guest2.dts: /guestbroker/imports/uart2: import-not-granted",
      ]),
    Case(
      name: "an alias without its target", guest2: [("aliases {", "aliases { eth = \"/soc/eth\"; ")],
      found: ["guest2.dts: /aliases: dangling-alias"]),
    Case(
      name: "a console without its node", guest2: [("\"serial1:115200n8\"", "\"/soc/serial@9000:115200n8\"")],
      found: ["guest2.dts: /chosen: dangling-stdout"]),
    Case(
      name: "a console that is another guest's", guest2: [("\"serial1:115200n8\"", "\"serial0\"")],
      found: ["guest2.dts: /chosen: dangling-stdout"]),
    Case(
      name: "a phandle without its node",
      guest2: [("interrupts = <0 2 4>; clocks = <&refclk>", "interrupts = <0 2 4>; clocks = <0x77>")],
      found: ["\(soc2)/serial@2000: dangling-phandle"]),
    Case(
      name: "two guests of one name",
      guest2: [("guest-name = \"guest2\"", "guest-name = \"guest1\"")],
      found: [
        "guest1.dts: /guestbroker/links/guest2: unknown-guest", "guest2.dts: /guestbroker: duplicate-guest",
        "guest2.dts: /guestbroker/links/guest1: unknown-guest", "guest2.dts: /guestbroker/imports/uart2: import-not-granted",
      ]),
    Case(
      name: "a peer that is nobody", guest1: [("peer-name = \"guest2\"", "peer-name = \"guest3\"")],
      found: [
        "\(link1): unknown-guest", "guest1.dts: /guestbroker/exports/uart2: export-unreachable", "\(link2): link-one-sided",
      ]),
    Case(
      name: "a link that one side has",
      guest1: [
        (
          "links {",
          "links { g3: spare { compatible = \"guestbroker,link-v1\"; peer-name = \"guest2\"; role = \"owner\"; pci-address = \"0000:00:06.0\"; };"
        )
      ],
      found: ["guest1.dts: /guestbroker/links/spare: link-one-sided"]),
    Case(name: "other ids", guest2: [("guestbroker,id = \"g1g2\"", "guestbroker,id = \"g2g1\"")], found: ["\(link2): link-id"]),
    Case(
      name: "two owners", guest1: [("role = \"owner\"", "role = \"borrower\"")],
      found: ["guest1.dts: /guestbroker/exports/uart2: export-unreachable", "\(link2): link-role"]),
    Case(
      name: "other sizes", guest2: [("reg = <0x90000000 0x100000>", "reg = <0x90000000 0x200000>")],
      found: ["\(link2): link-size"]),
    Case(name: "other channels", guest2: [("channels = <4>", "channels = <2>")], found: ["\(link2): link-channels"]),
    Case(
      name: "other doorbells", guest2: [("doorbell = \"poll\"", "doorbell = \"futex\"")], found: ["\(link2): link-doorbell"]),
    Case(
      name: "other mappings", guest2: [("channels = <4>", "channels = <4>; mapping = \"cached\"")],
      found: ["\(link2): link-mapping"]),
    Case(
      name: "a region in the kernel's memory", guest1: [("reg = <0x90000000 0x100000>; no-map", "reg = <0x88000000 0x100000>")],
      found: ["\(region1): region-mapped"]),
    Case(
      name: "a region in the kernel's memory that is set aside", guest1: [("reg = <0x90000000", "reg = <0x88000000")], found: []
    ),
    Case(
      name: "a region that is not whole pages", guest1: [("<0x90000000 0x100000>", "<0x90000800 0x100000>")],
      found: ["\(region1): region-bounds"]),
    Case(
      name: "a region of no size", guest1: [("<0x90000000 0x100000>", "<0x90000000 0>")], found: ["\(region1): region-bounds"]),
    Case(
      name: "regions that overlap",
      guest1: [("shared: guestbroker", "other@90080000 { reg = <0x90080000 0x1000>; no-map; };\n shared: guestbroker")],
      found: ["\(region1): region-overlap"]),
    Case(
      name: "a region over registers", guest1: [("<0x90000000 0x100000>", "<0x40003000 0x100000>")],
      found: ["\(region1): region-overlap"]),
    Case(
      name: "an I2C address of the bus's own",
      guest1: [
        (
          "exports {",
          "exports { i2c0 { class = \"i2c\"; device = <&i2c>; #address-cells = <1>; #size-cells = <0>; sensor@90 { reg = <0x90>; clients = \"guest2\"; }; };"
        )
      ],
      found: ["guest1.dts: /guestbroker/exports/i2c0/sensor@90: i2c-address"]),
    Case(
      name: "an I2C address granted twice for writing, by two exports of one bus or to two clients",
      guest1: [
        (
          "exports {",
          """
          exports {
            first { class = "i2c"; device = <&i2c>; #address-cells = <1>; #size-cells = <0>; clients = "guest2";
              sensor@48 { reg = <0x48>; };
              eeprom@50 { reg = <0x50>; access = "ro"; };
              both@60 { reg = <0x60>; clients = "guest2", "guest1"; }; };
            second { class = "i2c"; device = <&i2c>; #address-cells = <1>; #size-cells = <0>; clients = "guest2";
              sensor@48 { reg = <0x48>; access = "wo"; };
              eeprom@50 { reg = <0x50>; access = "rw"; }; };
          """
        )
      ],
      found: [
        "guest1.dts: /guestbroker/exports/first: export-unreachable",
        "guest1.dts: /guestbroker/exports/first/both@60: i2c-twice",
        "guest1.dts: /guestbroker/exports/second/sensor@48: i2c-twice",
      ]),
    Case(
      name: "an I2C address that has a driver of the owner's",
      guest1: [
        (
          "interrupts = <0 7 4>; #address-cells = <1>; #size-cells = <0>;",
          "interrupts = <0 7 4>; #address-cells = <1>; #size-cells = <0>; rtc@68 { compatible = \"test,rtc\"; reg = <0x68>; };"
        ),
        (
          "exports {",
          "exports { i2c0 { class = \"i2c\"; device = <&i2c>; clients = \"guest2\"; #address-cells = <1>; #size-cells = <0>; rtc@68 { reg = <0x68>; }; };"
        ),
      ],
      found: ["guest1.dts: /guestbroker/exports/i2c0/rtc@68: i2c-driver"]),
    Case(
      name: "a GPIO line of a controller that is not okay",
      guest1: [
        ("#gpio-cells = <2>; ", "#gpio-cells = <2>; status = \"disabled\"; "),
        ("exports {", "exports { leds { class = \"gpio\"; gpios = <&gpio 3 0>; clients = \"guest2\"; };"),
      ],
      found: ["guest1.dts: /guestbroker/exports/leds: export-not-okay"]),
    Case(
      name: "what the binding doesn't allow", guest2: [("link = <&g1>", "link = <&g1 &g1>")],
      found: ["guest2.dts: /guestbroker/imports/uart2: binding"]),
  ]

  @Test("Found where it is, and nothing else", arguments: cases)
  func found(_ example: Case) throws {
    let found = try findings(
      guest1: example.guest1.map { ($0.0, $0.1) }, guest2: example.guest2.map { ($0.0, $0.1) },
      system: example.system?.map { ($0.0, $0.1) })
    #expect(short(found) == example.found)
  }

  @Test("A region that wraps around the end of the address space")
  func wrapping() throws {
    let found = try findings(guest1: [
      (
        "reserved-memory {\n    #address-cells = <1>; #size-cells = <1>;",
        "reserved-memory {\n    #address-cells = <2>; #size-cells = <2>;"
      ),
      ("reg = <0x90000000 0x100000>", "reg = <0xffffffff 0xfff80000 0 0x100000>"),
    ])
    #expect(short(found) == ["\(Self.region1): region-bounds"])
  }

  @Test("A name with a character that none may have")
  func badName() throws {
    let (blob, _) = try compile(changed(Sources.guest1, [("model = \"a board\";", "model = \"a board\"; escape = <1>;")]))
    var bytes = Array(blob)
    let place = try #require(bytes.indices.first { bytes[$0...].starts(with: Array("escape".utf8)) })
    bytes[place] = UInt8(ascii: "(")
    let found = TreeCheck(guests: [NamedTree(file: "guest1.dtb", tree: try DeviceTree(blob: bytes))]).findings()
    #expect(short(found) == ["guest1.dtb: /: bad-name"])
    #expect(found.first?.what == "the name of property \"(scape\" has a character that no property's may have, or none at all")
  }

  @Test("Paths of the same hash are not the same path")
  func collision() throws {
    // Found by search: the 64-bit FNV-1a hashes of "/" and these are equal.
    let (here, elsewhere) = ("9NCqIQutRjD", "i2LX289ahCB")
    let found = try findings(
      guest1: [("aliases {", "\(here) { }; aliases { good = \"/\(here)\"; bad = \"/\(elsewhere)\";")])
    #expect(short(found) == ["guest1.dts: /aliases: dangling-alias"])
    #expect(found.first?.what == "alias bad leads to /\(elsewhere), which is not in this tree")
  }

  @Test("Guests with a whole board each: only what they share is compared")
  func separateBoards() throws {
    let first = try tree(Sources.guest1)
    let own = try changed(Sources.guest2, [("status = \"reserved\";", ""), ("channels = <4>", "channels = <2>")])
    var check = TreeCheck(guests: [
      NamedTree(file: "guest1.dts", tree: first), NamedTree(file: "guest2.dts", tree: try tree(own)),
    ])
    #expect(check.findings().contains { $0.rule == .okayTwice })
    check.hasSeparateBoards = true
    #expect(short(check.findings()) == ["\(Self.link2): link-channels"])
  }

  @Test("Findings come in the order of files, nodes and rules, the same each time")
  func order() throws {
    func all() throws -> [String] {
      short(
        try findings(
          guest1: [("status = \"reserved\";", ""), ("clients = \"guest2\"", "clients = \"guest3\"")],
          guest2: [("channels = <4>", "channels = <2>"), ("status = \"reserved\";", "")]))
    }
    let first = try all()
    #expect(first.count > 5)
    #expect(first.filter { $0.hasPrefix("guest1") } + first.filter { $0.hasPrefix("guest2") } == first)
    #expect(try all() == first)
  }

  @Test("A tree with very many mistakes of a kind is told so in few sentences")
  func limit() throws {
    let many = (0..<500).map { "a\($0) = \"/nowhere\";" }.joined()
    let found = try findings(guest1: [("aliases {", "aliases { \(many)")])
    #expect(found.count == 101)
    #expect(found.last?.what == "400 more of this kind")
  }

  @Test("Any damage to the trees is an error of the reader, or findings")
  func damage() throws {
    var random = SeededGenerator("CheckTests.damage")
    let blobs = try [Sources.guest1, Sources.guest2, Sources.system, Sources.xvisor1].map { Array(try compile($0).blob) }
    var checked = 0
    for _ in 0..<300 {
      let trees = blobs.map { blob in
        var bytes = blob
        // Behind the header, so that most of them are read.
        for _ in 0..<Int.random(in: 1...8, using: &random) {
          bytes[Int.random(in: 56..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
        }
        return (try? DeviceTree(blob: bytes)) ?? (try? DeviceTree(blob: blob))
      }
      guard trees.allSatisfy({ $0 != nil }) else { continue }
      let named = trees.enumerated().map { NamedTree(file: "\($0.offset)", guest: "guest1", tree: $0.element!) }
      _ = TreeCheck(guests: Array(named[0...1]), system: named[2], hypervisor: [named[3]]).findings()
      checked += 1
    }
    #expect(checked == 300)
  }

  @Test("Each rule has a name of its own, by which it is found")
  func rules() {
    #expect(Set(Rule.allCases.map { $0.id }).count == Rule.allCases.count)
    for rule in Rule.allCases { #expect(Rule(rule.id) == rule) }
    #expect(Rule("no-such-rule") == nil)
  }

  @Test("The manual has each rule, with its severity")
  func manual() throws {
    let page = try String(contentsOf: projectRoot.appendingPathComponent("man/dt-partition.1"), encoding: .utf8)
    for rule in Rule.allCases {
      let heading = ".BR \(rule.id.replacingOccurrences(of: "-", with: "\\-")) \" (\(rule.severity.text))\""
      #expect(page.contains(heading), "\(heading)")
    }
  }
}
