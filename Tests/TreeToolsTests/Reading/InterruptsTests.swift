import DeviceTree
import TestSupport
import Testing

@testable import TreeTools

@Suite("Interrupts")
struct InterruptsTests {
  /// "/gic(0,5,4)" for each interrupt of the node at a path; or what is wrong.
  private func interrupts(_ path: String, _ children: [Model], root: [(String, [UInt8])] = [("interrupt-parent", cells(1))])
    throws -> [String]
  {
    let tree = try DeviceTree(blob: BlobWriter.blob(Model("", root, children)))
    let node = try #require(tree.node(at: path))
    do throws(InterruptError) {
      return try node.interrupts(PhandleTable(tree)).map {
        "\($0.controller.path)(\($0.cells.map(String.init).joined(separator: ",")))"
      }
    } catch {
      return [error.text]
    }
  }

  private let gic = Model("gic", [("#interrupt-cells", cells(3)), ("interrupt-controller", []), ("phandle", cells(1))])
  private let pic = Model("pic", [("#interrupt-cells", cells(1)), ("interrupt-controller", []), ("phandle", cells(2))])

  @Test("The interrupt parent is inherited, a nearer one counts")
  func inherited() throws {
    let device = Model("uart", [("interrupts", cells(0, 5, 4, 0, 6, 4))])
    #expect(try interrupts("/soc/uart", [gic, Model("soc", [], [device])]) == ["/gic(0,5,4)", "/gic(0,6,4)"])
    let near = Model("soc", [("interrupt-parent", cells(2))], [device])
    #expect(
      try interrupts("/soc/uart", [gic, pic, near]) == ["/pic(0)", "/pic(5)", "/pic(4)", "/pic(0)", "/pic(6)", "/pic(4)"])
    let own = Model("uart", [("interrupts", cells(5)), ("interrupt-parent", cells(2))])
    #expect(try interrupts("/soc/uart", [gic, pic, Model("soc", [], [own])]) == ["/pic(5)"])
  }

  @Test("Without an interrupt-parent the bus that it is on is asked, up to the root")
  func natural() throws {
    let parent = Model(
      "pic", [("#interrupt-cells", cells(1)), ("interrupt-controller", [])],
      [Model("bus", [], [Model("a", [("interrupts", cells(5))])])])
    #expect(try interrupts("/pic/bus/a", [parent], root: []) == ["/pic(5)"])
    #expect(
      try interrupts("/a", [Model("a", [("interrupts", cells(5))])], root: []) == [
        "/a: has interrupts, but nothing says where they go: an interrupt-parent is missing"
      ])
  }

  @Test("interrupts-extended names a controller for each, and goes before interrupts; 0 is none")
  func extended() throws {
    let device = Model("a", [("interrupts", cells(9)), ("interrupts-extended", cells(1, 0, 5, 4, 0, 2, 7))])
    #expect(try interrupts("/a", [gic, pic, device]) == ["/gic(0,5,4)", "/pic(7)"])
    for (value, text) in [
      (cells(1, 0, 5), "/a: interrupts-extended is not made of whole entries"),
      (cells(9, 0), "/a: interrupts-extended refers to phandle 0x9, which no node has"),
      ([0, 0, 1], "/a: interrupts-extended is not made of whole entries"),
    ] {
      #expect(try interrupts("/a", [gic, Model("a", [("interrupts-extended", value)])]) == [text])
    }
  }

  @Test("A nexus's interrupt-map is followed, with its mask and the node's own address")
  func nexus() throws {
    let pci = Model(
      "pci",
      [
        ("#address-cells", cells(2)), ("#size-cells", cells(1)), ("#interrupt-cells", cells(1)),
        ("interrupt-map-mask", cells(0xf800, 0, 7)),
        ("interrupt-map", cells(0x800, 0, 1, 1, 0, 10, 4, 0x800, 0, 2, 1, 0, 11, 4, 0x1000, 0, 1, 2, 12)),
      ],
      [
        Model("a", [("reg", cells(0x900, 7, 1)), ("interrupts", cells(1, 2))]),
        Model("b", [("reg", cells(0x1000, 0, 1)), ("interrupts", cells(1))]),
        Model("c", [("reg", cells(0x1800, 0, 1)), ("interrupts", cells(1))]), Model("d", [("interrupts", cells(1))]),
      ])
    #expect(try interrupts("/pci/a", [gic, pic, pci]) == ["/gic(0,10,4)", "/gic(0,11,4)"])
    #expect(try interrupts("/pci/b", [gic, pic, pci]) == ["/pic(12)"])
    #expect(
      try interrupts("/pci/c", [gic, pic, pci]) == ["/pci/c: the interrupt-map of /pci has no entry for one of its interrupts"])
    #expect(
      try interrupts("/pci/d", [gic, pic, pci]) == ["/pci/d: the interrupt-map of /pci has no entry for one of its interrupts"])
  }

  @Test("A map that looks at no address serves a node without one; one map leads to another")
  func chained() throws {
    let inner = Model(
      "inner",
      [
        ("#address-cells", cells(0)), ("#interrupt-cells", cells(1)), ("interrupt-map", cells(3, 8, 0x40, 6)),
        ("interrupt-parent", cells(9)),
      ])
    let outer = Model(
      "outer",
      [
        ("#address-cells", cells(1)), ("#interrupt-cells", cells(1)), ("phandle", cells(8)),
        ("interrupt-map", cells(0x40, 6, 1, 0, 20, 4, 0x41, 6, 1, 0, 21, 4)),
      ])
    let device = Model("a", [("interrupts", cells(3)), ("interrupt-parent", cells(7))])
    var named = inner
    named.properties.append(Model.Pair(name: "phandle", value: cells(7)))
    #expect(try interrupts("/a", [gic, named, outer, device]) == ["/gic(0,20,4)"])
  }

  @Test("A map of a board's whole bus: the address above the mask doesn't count")
  func motherboard() throws {
    let bus = Model(
      "bus",
      [
        ("#address-cells", cells(2)), ("#size-cells", cells(1)), ("#interrupt-cells", cells(1)),
        ("interrupt-map-mask", cells(0, 63)),
        ("interrupt-map", cells(0, 0, 5, 1, 0, 37, 4)),
      ], [Model("uart", [("interrupts", cells(5))])])
    var short = bus
    short.properties[3].value = cells(0, 0, 63)
    #expect(try interrupts("/bus/uart", [gic, short]) == ["/gic(0,37,4)"])
    #expect(try interrupts("/bus/uart", [gic, bus]) == ["/bus: interrupt-map-mask is not made of whole entries"])
  }

  @Test("A controller whose map has a meaning of its own is where its interrupts go")
  func ownMap() throws {
    let address = Model.Pair(name: "#address-cells", value: cells(2))
    var gic = gic
    gic.properties.append(address)
    let controller = Model(
      "extirq",
      [
        ("compatible", text("fsl,ls1088a-extirq")), ("#interrupt-cells", cells(2)), ("#address-cells", cells(0)),
        ("interrupt-controller", []),
        ("phandle", cells(4)), ("interrupt-map", cells(0, 0, 1, 0, 0, 4, 1, 0, 1, 0, 1, 4)),
      ])
    let device = Model("a", [("interrupts-extended", cells(4, 1, 8))])
    #expect(try interrupts("/a", [gic, controller, device]) == ["/extirq(1,8)"])
    let tree = try DeviceTree(blob: BlobWriter.blob(Model("", [], [gic, controller])))
    #expect(References(tree).of(tree.root.children[1]).map { $0.cell } == [2, 8])
  }

  @Test("A node has at most as many interrupts as a limit says")
  func many() throws {
    let zeros = [UInt8](repeating: 0, count: 4 * 4096)
    #expect(try interrupts("/a", [pic, Model("a", [("interrupts", zeros), ("interrupt-parent", cells(2))])]).count == 4096)
    #expect(
      try interrupts("/a", [pic, Model("a", [("interrupts", zeros + [0, 0, 0, 0]), ("interrupt-parent", cells(2))])])
        == ["/a: has more than 4096 interrupts, which nothing has"])
  }

  @Test("Interrupt parents in a circle end")
  func circles() throws {
    let a = Model("a", [("phandle", cells(5)), ("interrupt-parent", cells(6))])
    let b = Model("b", [("phandle", cells(6)), ("interrupt-parent", cells(5))])
    let device = Model("c", [("interrupt-parent", cells(5)), ("interrupts", cells(1))])
    let endless = ["/c: its interrupt parents lead in a circle, or there are more than 64"]
    #expect(try interrupts("/c", [a, b, device]) == endless)
    let first = Model(
      "a",
      [("phandle", cells(5)), ("#interrupt-cells", cells(1)), ("#address-cells", cells(0)), ("interrupt-map", cells(1, 6, 1))])
    let second = Model(
      "b",
      [("phandle", cells(6)), ("#interrupt-cells", cells(1)), ("#address-cells", cells(0)), ("interrupt-map", cells(1, 5, 1))])
    #expect(try interrupts("/c", [first, second, device]) == endless)
  }

  @Test("Damage has a sentence each")
  func damage() throws {
    let device = Model("a", [("interrupts", cells(1, 2))])
    #expect(try interrupts("/a", [gic, device]) == ["/a: interrupts is not made of whole entries"])
    #expect(
      try interrupts("/a", [device])
        == ["/a: has interrupts, but nothing says where they go: an interrupt-parent is missing"].map { _ in
          "/: interrupt-parent refers to phandle 0x1, which no node has"
        })
    for count in [cells(0), cells(65), cells(.max), cells(1, 2), []] {
      #expect(
        try interrupts("/a", [Model("gic", [("#interrupt-cells", count), ("phandle", cells(1))]), device])
          == ["/a: its interrupts go to /gic, whose #interrupt-cells is missing or is no number from 1 to 64"])
    }
    #expect(try interrupts("/a", [gic, Model("a")]) == [])
    #expect(try interrupts("/a", [gic, Model("a", [("interrupts", [])])]) == [])
  }
}
