import DeviceTree
import Foundation
import Partition
import TestSupport
import Testing

@testable import TreeTools

private func sentence(_ changes: [(String, String)]) throws -> String? {
  do {
    let system = try system(changes)
    _ = try system.guestTrees()
    return nil
  } catch {
    return (error as? SystemTreeError)?.text
      ?? {
        Issue.record("\(error)"); return nil
      }()
  }
}

@Suite("A system's tree is split", .enabled(if: hasCompiler, "needs dtc"))
struct SplitTests {
  /// A guest's tree as dtc makes it of the source.
  private func guest(_ index: Int, _ changes: [(String, String)] = []) throws -> DeviceTree {
    let source = try system(changes).guestTrees()[index].source()
    let (blob, complaints) = try compile(source)
    #expect(complaints == "", "\(source)")
    return try DeviceTree(blob: Array(blob))
  }

  private func status(_ tree: DeviceTree, _ path: String) -> String {
    guard let node = tree.node(at: path) else { return "gone" }
    return node.property("status")?.string ?? "kept"
  }

  @Test("What access names is kept, with what it needs; another guest's is reserved when somebody needs it, else gone")
  func peripherals() throws {
    let one = try guest(0)
    for (path, wanted) in [
      ("serial@2000", "kept"), ("serial@4000", "kept"), ("clock-controller@8000", "kept"), ("i2c@9000", "kept"),
      ("i2c@9000/codec@1a", "kept"),
      ("serial@3000", "gone"), ("screen@a000", "gone"), ("nobody@5000", "gone"), ("dma-controller@7000", "gone"),
      ("interrupt-controller@0", "kept"),
    ] { #expect(status(one, "/soc@40000000/\(path)") == wanted, "guest1 \(path)") }
    #expect(status(one, "/clock-osc") == "kept" && status(one, "/clock-spare") == "kept" && status(one, "/timer") == "kept")
    let two = try guest(1)
    for (path, wanted) in [
      ("serial@2000", "gone"), ("serial@3000", "kept"), ("serial@4000", "reserved"), ("screen@a000", "kept"),
      ("i2c@9000", "gone"),
      ("dma-controller@7000", "kept"), ("clock-controller@8000", "gone"), ("nobody@5000", "gone"),
    ] { #expect(status(two, "/soc@40000000/\(path)") == wanted, "guest2 \(path)") }
  }

  @Test("Another guest's device that a kept one refers to is reserved")
  func referred() throws {
    let two = try guest(1, [("clocks = <&osc>; dmas", "clocks = <&clk 2>; dmas")])
    #expect(status(two, "/soc@40000000/clock-controller@8000") == "reserved")
    #expect(
      two.node(at: "/soc@40000000/serial@3000")?.property("clocks")?.cells?.first
        == two.node(at: "/soc@40000000/clock-controller@8000")?.phandle)
  }

  @Test("A reserved node refers to nothing that isn't there")
  func reservedReferences() throws {
    let console = try #require(try guest(1).node(at: "/soc@40000000/serial@4000"))
    #expect(console.property("clocks") == nil && console.property("clock-names") == nil)
    #expect(console.property("interrupts") != nil)
  }

  @Test("What has no address and was given to nobody is kept, unless it needs what isn't there, and so is what holds only that")
  func independent() throws {
    let (one, two) = (try guest(0), try guest(1))
    #expect(one.node(at: "/leds") == nil && two.node(at: "/leds") == nil, "its GPIOs are nobody's")
    let withGPIO = [("&uart0 &uart2 &i2c", "&gpio &uart0 &uart2 &i2c")]
    #expect(try guest(0, withGPIO).node(at: "/leds/led-1") != nil)
    #expect(try guest(1, withGPIO).node(at: "/leds") == nil)
  }

  @Test("Processors: those of the mask, and of lists of them and their interrupts these")
  func processors() throws {
    let (one, two) = (try guest(0), try guest(1))
    #expect(one.node(at: "/cpus")?.children.map(\.name) == ["cpu-map", "cpu@0", "cpu@1"])
    #expect(two.node(at: "/cpus")?.children.map(\.name) == ["cpu-map", "cpu@2"])
    #expect(one.node(at: "/cpus/cpu-map")?.children.map(\.name) == ["cluster0"])
    #expect(two.node(at: "/cpus/cpu-map")?.children.map(\.name) == ["cluster1"])
    let pmu = try #require(two.node(at: "/pmu"))
    #expect(pmu.property("interrupts")?.cells == [0, 62, 4])
    #expect(pmu.property("interrupt-affinity")?.cell == two.node(at: "/cpus/cpu@2")?.phandle)
    #expect(pmu.property("interrupt-affinity") != nil)
    #expect(one.node(at: "/pmu")?.property("interrupts")?.cells == [0, 60, 4, 0, 61, 4])
  }

  @Test("A cluster that isn't /cpus becomes it")
  func cluster() throws {
    let change = [
      (
        "memory@80000000 {",
        "other: cpus-other { compatible = \"cpus,cluster\"; #address-cells = <1>; #size-cells = <0>; cpu@7 { device_type = \"cpu\"; compatible = \"arm,cortex-r5\"; reg = <7>; }; };\nmemory@80000000 {"
      ),
      ("cpus = <&cpus 0x4 0x1>", "cpus = <&other 0x1 0x1>"),
    ]
    let two = try guest(1, change)
    #expect(two.node(at: "/cpus")?.children.map(\.name) == ["cpu@7"])
    #expect(two.node(at: "/cpus-other") == nil && two.node(at: "/cpus")?.property("compatible") == nil)
    #expect(two.node(at: "/pmu")?.property("interrupts") == nil, "none of its processors is left")
    #expect(try guest(0, change).node(at: "/cpus-other") == nil)
  }

  @Test("Memory: the domain's own; reserved memory: what lies in it, is needed, or is a link's")
  func memory() throws {
    let (one, two) = (try guest(0), try guest(1))
    #expect(one.memory == [AddressRange(address: 0x8000_0000, size: 0x1000_0000)])
    #expect(
      two.memory == [
        AddressRange(address: 0x9100_0000, size: 0x100_0000), AddressRange(address: 0x9400_0000, size: 0x200_0000),
      ])
    #expect(two.node(at: "/memory@91000000") != nil)
    #expect(one.reservedMemory.map(\.node.name) == ["guestbroker@90000000", "firmware@88000000"])
    #expect(two.reservedMemory.map(\.node.name) == ["guestbroker@90000000", "video@98000000"])
  }

  @Test("Aliases and the console: where they lead is still there, or they are gone; the domain's own words go first")
  func aliasesAndConsole() throws {
    let (one, two) = (try guest(0), try guest(1))
    #expect(one.aliases.map(\.name) == ["serial0", "i2c0"] && two.aliases.map(\.name) == ["serial1"])
    #expect(one.standardOutput?.node?.path == "/soc@40000000/serial@2000")
    #expect(two.standardOutput?.node?.path == "/soc@40000000/serial@3000")
    #expect(try guest(1, [("chosen-properties { stdout-path = \"serial1:115200n8\"; };", "")]).standardOutput == nil)
    #expect(two.node(at: "/chosen")?.property("bootargs")?.string == "quiet")
  }

  @Test("Links, exports and imports are what the programs read, the same at both ends but for what one end alone is told")
  func shared() throws {
    let (one, two) = (try Partition(try guest(0)), try Partition(try guest(1)))
    let (owner, borrower) = (try #require(one.links.first), try #require(two.links.first))
    #expect(owner.name == "g1g2" && owner.role == .owner && owner.peerName == "guest2" && owner.channels == 2)
    #expect(borrower.name == "g1g2" && borrower.role == .borrower && borrower.peerName == "guest1" && borrower.channels == 2)
    #expect(owner.memory == borrower.memory)
    #expect(owner.doorbell == .poll && owner.pollInterval == 100 && borrower.pollInterval == 200)
    #expect(
      one.exports.map(\.name) == ["uart2"] && one.exports[0].grant.clients == ["guest2"]
        && one.exports[0].devicePath == "/soc@40000000/serial@4000")
    #expect(two.imports.map(\.name) == ["console"] && two.imports[0].remoteName == "uart2")
    #expect(one.imports.isEmpty && two.exports.isEmpty)
  }

  @Test("What goes to several guests is one export for all of them, if it says the same of each")
  func severalClients() throws {
    let third = """
      three: guest3 { compatible = "openamp,domain-v1"; id = <3>; cpus = <&cpus 0x4 0x1>; memory = <0x96000000 0x1000000>; };
      links {
      g1g3 {
        compatible = "guestbroker,system-link-v1"; owner = <&one>; borrower = <&three>; memory-region = <&more>;
        exports { uart2 { class = "uart"; device = <&uart2>; access = "rw"; }; };
      };
      """
    let region =
      "more: guestbroker@90400000 { compatible = \"guestbroker,link-memory\"; reg = <0x90400000 0x1000>; no-map; };\nfirmware@88000000"
    let changes = [("    links {", third), ("firmware@88000000", region)]
    #expect(try Partition(try guest(0, changes)).exports.map(\.grant.clients) == [["guest3", "guest2"]])
    #expect(try Partition(try guest(2, changes)).links.map(\.name) == ["g1g3"], "the region has no name of its own")
    #expect(
      try sentence(changes + [("access = \"rw\"; import", "access = \"ro\"; import")])
        == "/domains/links/g1g2/exports/uart2: says something else of uart2 than another link of guest1 does; say the same in both, or give it another name"
    )
  }

  @Test("What is made passes the check, with the hypervisor's side, and dtc says nothing")
  func checks() throws {
    let change = [
      ("&uart0 &uart2", "&gpio &dma &{/soc@40000000/nobody@5000} &uart0 &uart2"), ("dmas = <&dma 1>; dma-names = \"tx\";", ""),
    ]
    let system = try system(change)
    let guests = try system.guestTrees().map { NamedTree(file: "\($0.guestName).dts", tree: try $0.tree()) }
    let whole = NamedTree(file: "system", tree: system.tree)
    #expect(TreeCheck(guests: guests, system: whole).findings().map(\.what) == [])
    for hypervisor in [Hypervisor.xvisor, .xen] {
      var trees: [NamedTree] = []
      for file in try system.hypervisorSources(hypervisor, comment: []) {
        let (blob, complaints) = try compile(file.content)
        #expect(complaints == "", "\(file.content)")
        let guest = file.name.hasPrefix("guest") ? String(file.name.prefix(6)) : nil
        trees.append(NamedTree(file: file.name, guest: guest, tree: try DeviceTree(blob: Array(blob))))
      }
      #expect(
        TreeCheck(guests: guests, system: whole, hypervisor: trees).findings().map { "\($0.node): \($0.what)" } == [],
        "\(hypervisor)")
    }
  }

  @Test("Xvisor: memory, shared memory, what is passed through and emulated, with the board's interrupt numbers")
  func xvisor() throws {
    let files = try system().hypervisorSources(.xvisor, comment: [])
    #expect(files.map(\.name) == ["guest1.xvisor.dts", "guest2.xvisor.dts"])
    let tree = try DeviceTree(blob: Array(try compile(files[0].content).blob))
    func region(_ name: String, _ property: String) -> [UInt32]? { tree.node(at: "/aspace/\(name)")?.property(property)?.cells }
    #expect(region("mem0", "host_physical_addr") == [0x8000_0000] && region("mem0", "physical_size") == [0x1000_0000])
    #expect(region("shmem_g1g2", "align_order") == [21], "2 MiB and more are mapped in blocks")
    #expect(tree.node(at: "/aspace/shmem_g1g2")?.property("shared_mem")?.string == "g1g2")
    let uart = try #require(
      tree.node(at: "/aspace")?.children.first { $0.property("guest_physical_addr")?.cell == 0x4000_2000 })
    #expect(uart.property("host-interrupts")?.cells == [33, 4, .max] && uart.property("interrupts")?.cells == [33])
    #expect(uart.property("device_type")?.string == "pt" && uart.property("compatible")?.string == "platform")
    #expect(tree.node(at: "/aspace/gic_dist")?.property("compatible")?.string == "arm,vgic,dist")
    #expect(files[0].content.contains("shmem create g1g2 0x400000 21"))
  }

  @Test("Xen: static memory, shared memory, what is passed through by its path and its interrupts")
  func xen() throws {
    let files = try system().hypervisorSources(.xen, comment: [])
    #expect(files.map(\.name) == ["xen.dts", "guest1.xen.dts", "guest2.xen.dts"])
    let host = try DeviceTree(blob: Array(try compile(files[0].content).blob))
    #expect(host.node(at: "/domains") == nil && host.node(at: "/soc@40000000/serial@2000")?.property("xen,passthrough") != nil)
    #expect(host.node(at: "/soc@40000000/nobody@5000")?.property("xen,passthrough") == nil)
    let domain = try #require(host.node(at: "/chosen/guest2"))
    #expect(domain.property("xen,static-mem")?.cells == [0x9100_0000, 0x100_0000, 0x9400_0000, 0x200_0000])
    #expect(domain.property("memory")?.cells == [0, 0xc000] && domain.property("cpus")?.cell == 1)
    let shared = try #require(domain.children.first)
    #expect(shared.property("xen,shm-id")?.string == "g1g2" && shared.property("role")?.string == "borrower")
    #expect(shared.property("xen,shared-mem")?.cells == [0x9000_0000, 0x9000_0000, 0x40_0000])
    let partial = try DeviceTree(blob: Array(try compile(files[2].content).blob))
    let uart = try #require(partial.node(at: "/passthrough/serial@40003000"))
    #expect(uart.property("xen,path")?.string == "/soc@40000000/serial@3000")
    #expect(uart.property("xen,reg")?.cells == [0, 0x4000_3000, 0, 0x1000, 0, 0x4000_3000])
    #expect(uart.property("interrupt-parent")?.cell == 0xfde8 && uart.property("interrupts")?.cells == [0, 2, 4])
    #expect(uart.child("clock-osc") != nil, "a fixed clock comes along")
  }

  @Test("A device that nobody was given and several need, one that isn't okay, and two guests' in one page are told")
  func notes() throws {
    #expect(try system().notes() == [])
    let both = [("&uart0 &uart2 &i2c &clk", "&uart0 &uart2 &i2c"), ("clocks = <&osc>; dmas", "clocks = <&clk 2>; dmas")]
    #expect(
      try system(both).notes().contains {
        $0.hasPrefix("/soc@40000000/clock-controller@8000 is in no domain's access, but 2 guests need it")
      })
    #expect(
      try system([("screen@a000 {", "screen@a000 { status = \"disabled\";")]).notes().first?.hasPrefix(
        "/soc@40000000/screen@a000 is given to guest2, and is not okay") ?? false)
    let page = [
      ("reg = <0x2000 0x1000>", "reg = <0x2000 0x100>"), ("serial@3000", "serial@2800"),
      ("reg = <0x3000 0x1000>", "reg = <0x2800 0x100>"),
    ]
    #expect(try system(page).notes().contains { $0.contains("share the page at 0x40002000") })
  }

  struct Case: Sendable, CustomTestStringConvertible {
    var old: String
    var new: String
    var sentence: String
    var testDescription: String { sentence }
  }

  static let cases: [Case] = [
    (
      "openamp,domain-v1", "other,domain",
      "/domains has no child that is compatible with \"openamp,domain-v1\"; add one for each guest"
    ),
    ("id = <2>;", "", "/domains/guest2: property id is missing; it should be one cell, another one in each domain"),
    ("id = <2>;", "id = <1>;", "/domains/guest2: has the name or the id of /domains/guest1; give it its own"),
    (
      "cpus = <&cpus 0x4 0x1>", "cpus = <&cpus 0x8 0x1>",
      "/domains/guest2: property cpus should be <&cluster mask mode>, with a bit of the mask for each of the cluster's cpu nodes, at least one set"
    ),
    (
      "cpus = <&cpus 0x4 0x1>", "cpus = <&uart0 0x4 0x1>",
      "/domains/guest2: property cpus refers to something else, or to nothing; it should be <&cluster mask mode>, with a bit of the mask for each of the cluster's cpu nodes, at least one set"
    ),
    (
      "memory = <0x80000000 0x10000000>", "memory = <0x80000000 0x10000001>",
      "/domains/guest1: property memory should be <address size> entries, each of whole pages of 4096 bytes, in the root's #address-cells and #size-cells and with #memory-flags-cells behind"
    ),
    (
      "memory = <0x80000000 0x10000000>", "memory = <0xfffff000 0x10000>",
      "/domains/guest1: memory at 0xfffff000 is not within one of the board's memory nodes"
    ),
    (
      "memory = <0x91000000", "memory = <0x8f000000",
      "/domains/guest2: memory at 0x8f000000 overlaps that of guest1 at 0x80000000; what two share is a link's region"
    ),
    (
      "memory = <0x91000000", "memory = <0x90000000",
      "/domains/links/g1g2: its region at 0x90000000 overlaps the memory of guest2 (/domains/guest2); leave it out there"
    ),
    (
      "&uart1 7 &screen 0", "&uart1 7 0x999 0",
      "/domains/guest2: property access refers to something else, or to nothing; it should be phandles of device nodes, each with #access-flags-cells (1) cells of flags; entry 2 is none"
    ),
    (
      "&uart1 7 &screen 0", "&uart0 7 &screen 0",
      "/domains/guest2: /soc@40000000/serial@2000 is given to guest2 and to guest1 (access); leave it to one, which can export it"
    ),
    (
      "&uart1 7 &screen 0", "&uart1 7 &codec 0",
      "/domains/guest2: /soc@40000000/i2c@9000/codec@1a is on /soc@40000000/i2c@9000, which is guest1's; only that can reach it, and export it"
    ),
    (
      "borrower = <&two>", "borrower = <&uart0>",
      "/domains/links/g1g2: property borrower refers to something else, or to nothing; it should be a phandle of a node that is compatible with \"openamp,domain-v1\""
    ),
    (
      "borrower = <&two>", "borrower = <&one>",
      "/domains/links/g1g2: its owner and its borrower are both guest1; a link is between two"
    ),
    (
      "memory-region = <&shared>", "memory-region = <&uart0>",
      "/domains/links/g1g2: property memory-region refers to something else, or to nothing; it should be a phandle of the shared memory's node, a child of /reserved-memory"
    ),
    (
      "device = <&uart2>", "device = <&uart1>",
      "/domains/links/g1g2/exports/uart2: property device refers to something else, or to nothing; it should be a phandle of a device that the link's owner, guest1, has by its access"
    ),
    (
      "device = <&uart2>;", "",
      "/domains/links/g1g2/exports/uart2: property device is missing; it should be a phandle of a device that the link's owner, guest1, has by its access"
    ),
    (
      "serial@4000 {", "serial@4000 { status = \"disabled\";",
      "/domains/links/g1g2/exports/uart2: /soc@40000000/serial@4000, or a bus above it, is not okay, so that it can't be lent"
    ),
    (
      "import-name = \"console\"", "import-name = \"a b\"",
      "/domains/links/g1g2/exports/uart2: guest2 can't import it as 'a b'; give it an import-name that is a name, and no other import's"
    ),
    (
      "timer { compatible", "gb { compatible = \"guestbroker,guest-v1\"; };\ntimer { compatible",
      "/gb: a system's tree has no guest node; say in /domains what the guests' are to have"
    ),
  ].map { Case(old: $0.0, new: $0.1, sentence: $0.2) }

  @Test("What doesn't fit is refused, by its node and with the remedy", arguments: cases)
  func refused(_ wrong: Case) throws { #expect(try sentence([(wrong.old, wrong.new)]) == wrong.sentence) }

  @Test("Nodes that need each other, and hostile sizes, end")
  func hostile() throws {
    let circle =
      "a: a { clocks = <&b>; #clock-cells = <0>; }; b: b { clocks = <&a>, <&a>; #clock-cells = <0>; };\ntimer { compatible"
    #expect(try guest(0, [("timer { compatible", circle)]).node(at: "/a") != nil)
    let broken = circle.replacingOccurrences(of: "<&a>, <&a>", with: "<&a>, <&gpio>")
    #expect(
      try guest(
        0,
        [
          (
            "timer { compatible",
            broken.replacingOccurrences(of: "clocks = <&a>", with: "test,x-gpios = <&gpio 0 0>; clocks = <&a>")
          )
        ]
      ).node(at: "/a") == nil)
    for cells in ["0xffffffff", "17", "0"] {
      _ = try sentence([("#access-flags-cells = <1>", "#access-flags-cells = <\(cells)>")])
    }
    #expect(
      try sentence([("#size-cells = <0>;\n    cpu-map", "#size-cells = <0>; #cpus-mask-cells = <0xffffffff>;\n    cpu-map")])
        != nil)
    let wide = (0..<300).map { "p\($0) = <1>;" }.joined(separator: " ")
    #expect(
      try sentence([("timer { compatible", "timer { \(wide) compatible")])
        == "there are more than 256 properties in /timer; no board has so many")
  }

  @Test("Any cell of /domains, whatever it is changed to, gives trees or a sentence")
  func randomCells() throws {
    var random = SeededGenerator("Random cells of /domains")
    let blob = Array(try compile(systemSource).blob)
    let text = Array("openamp,domain-v1".utf8)
    let start = try #require(blob.indices.first { blob[$0...].starts(with: text) })
    for _ in 0..<400 {
      var changed = blob
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        let place = Int.random(in: start..<blob.count, using: &random)
        changed[place] = [0, 1, 0x7f, 0x80, 0xff, UInt8.random(in: 0...255, using: &random)].randomElement(using: &random)!
      }
      guard let tree = try? DeviceTree(blob: changed), let system = try? SystemTree(tree) else { continue }
      for guest in (try? system.guestTrees()) ?? [] { _ = try? guest.source() }
      _ = system.notes()
      for hypervisor in [Hypervisor.xvisor, .xen] { _ = try? system.hypervisorSources(hypervisor, comment: []) }
    }
  }
}
