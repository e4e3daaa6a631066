import DeviceTree
import TestSupport
import Testing

@testable import TreeTools

@Suite("References by phandle")
struct ReferencesTests {
  /// A clock of one cell (phandle 1), one of none (2), a GPIO controller (3), a node without cells (4), and a consumer.
  private func tree(_ consumer: [(String, [UInt8])], _ children: [Model] = []) throws -> DeviceTree {
    let root = Model(
      "", [],
      [
        Model("clock1", [("#clock-cells", cells(1)), ("phandle", cells(1))]),
        Model("clock0", [("#clock-cells", cells(0)), ("phandle", cells(2))]),
        Model("gpio", [("#gpio-cells", cells(2)), ("phandle", cells(3))]),
        Model("plain", [("phandle", cells(4))]),
        Model("consumer", consumer, children),
      ])
    return try DeviceTree(blob: BlobWriter.blob(root))
  }

  /// "clocks[0]=/clock1(5)": the property, the phandle's cell, the target, the arguments, what is wrong.
  private func references(_ consumer: [(String, [UInt8])]) throws -> [String] {
    let tree = try tree(consumer)
    return References(tree).of(try #require(tree.node(at: "/consumer"))).map { describe($0) }
  }

  private func describe(_ reference: Reference) -> String {
    let flaw =
      switch reference.flaw {
      case nil: ""
      case .dangling: " dangling"
      case .noCells(let name): " without \(name)"
      case .tooShort: " short"
      }
    let unread = reference.unreadCells == 0 ? "" : " +\(reference.unreadCells)"
    let arguments = reference.arguments.map(String.init).joined(separator: ",")
    return "\(reference.property)[\(reference.cell)]=\(reference.target?.path ?? "?")(\(arguments))\(flaw)\(unread)"
  }

  @Test("A list is taken apart by what each target says")
  func counted() throws {
    #expect(
      try references([("clocks", cells(1, 5, 2, 1, 6))]) == [
        "clocks[0]=/clock1(5)", "clocks[2]=/clock0()", "clocks[3]=/clock1(6)",
      ])
    #expect(
      try references([("reset-gpios", cells(3, 7, 1)), ("cd-gpio", cells(3, 8, 0))]) == [
        "reset-gpios[0]=/gpio(7,1)", "cd-gpio[0]=/gpio(8,0)",
      ])
  }

  @Test("An entry that is 0 means none")
  func holes() throws {
    #expect(try references([("clocks", cells(0, 1, 5, 0))]) == ["clocks[1]=/clock1(5)"])
    #expect(try references([("gpios", cells(0))]) == [])
  }

  @Test("Behind a missing target nothing is guessed: how many cells are not read is said")
  func dangling() throws {
    #expect(try references([("clocks", cells(1, 5, 9, 1, 6))]) == ["clocks[0]=/clock1(5)", "clocks[2]=?() dangling +2"])
    #expect(try references([("pinctrl-0", cells(9, 4))]) == ["pinctrl-0[0]=?() dangling", "pinctrl-0[1]=/plain()"])
    #expect(try references([("clocks", cells(4, 1, 6))]) == ["clocks[0]=/plain() without #clock-cells +2"])
    #expect(try references([("clocks", cells(1))]) == ["clocks[0]=/clock1() short"])
    #expect(try references([("clocks", cells(.max))]) == ["clocks[0]=?() dangling"])
  }

  @Test("Single phandles, and phandles with a binding's own numbers behind")
  func first() throws {
    #expect(
      try references([("vmmc-supply", cells(4)), ("memory-region", cells(4, 9))]) == [
        "vmmc-supply[0]=/plain()", "memory-region[0]=/plain()", "memory-region[1]=?() dangling",
      ])
    #expect(try references([("fsl,stop-mode", cells(4, 16, 3))]) == ["fsl,stop-mode[0]=/plain(16,3)"])
    #expect(
      try references([("gpio-ranges", cells(4, 0, 1, 2, 4, 3, 4, 5))]) == [
        "gpio-ranges[0]=/plain(0,1,2)", "gpio-ranges[4]=/plain(3,4,5)",
      ])
    #expect(try references([("msi-parent", cells(4, 4))]) == ["msi-parent[0]=/plain()", "msi-parent[1]=/plain()"])
  }

  @Test("Maps: what is mapped stands before the phandle")
  func maps() throws {
    #expect(
      try references([("iommu-map", cells(0, 4, 8, 16, 16, 9, 8, 16))]) == [
        "iommu-map[1]=/plain(8,16)", "iommu-map[5]=?(8,16) dangling",
      ])
    #expect(
      try references([("#gpio-cells", cells(1)), ("gpio-map", cells(0, 3, 1, 2, 1, 3, 4, 5))]) == [
        "gpio-map[1]=/gpio(1,2)", "gpio-map[5]=/gpio(4,5)",
      ])
    #expect(try references([("gpio-map", cells(0, 3, 1, 2))]) == [])
    let root = Model(
      "", [],
      [
        Model("pic", [("#interrupt-cells", cells(2)), ("#address-cells", cells(1)), ("phandle", cells(1))]),
        Model(
          "pci",
          [
            ("#address-cells", cells(3)), ("#interrupt-cells", cells(1)),
            ("interrupt-map", cells(0, 0, 0, 1, 1, 9, 5, 4, 0, 0, 0, 2, 1, 9, 6, 4)),
          ]),
      ])
    let tree = try DeviceTree(blob: BlobWriter.blob(root))
    #expect(
      References(tree).of(tree.root.children[1]).map { describe($0) } == [
        "interrupt-map[4]=/pic(9,5,4)", "interrupt-map[12]=/pic(9,6,4)",
      ])
  }

  @Test("Names that only look like references are none")
  func names() throws {
    for name in [
      "ngpios", "nr-gpios", "snps,nr-gpios", "num-gpios", "clock-frequency", "pinctrl-", "pinctrl-a", "#gpio-cells",
      "gpio-line-names", "device", "link",
    ] {
      #expect(try references([(name, cells(1))]) == [])
    }
    #expect(try references([("gpios", cells(7, 0)), ("gpio-hog", [])]) == [])
    #expect(try references([("clocks", [1, 2, 3]), ("resets", [])]) == [])
  }

  @Test("Aliases and labels may be called as a property that refers to something")
  func aliases() throws {
    let names = [("ethernet", text("/soc")), ("clocks", cells(9))]
    let tree = try DeviceTree(
      blob: BlobWriter.blob(Model("", [], [Model("aliases", names), Model("__local_fixups__", [], [Model("a", names)])])))
    #expect(Array(References(tree).of(tree.root.children[0])).isEmpty)
    #expect(Array(References(tree).of(tree.root.children[1].children[0])).isEmpty)
  }

  @Test("Below this project's node, device and link are references")
  func guest() throws {
    let tree = try DeviceTree(
      blob: BlobWriter.blob(
        Model(
          "", [],
          [
            Model(
              "guestbroker", [("compatible", text("guestbroker,guest-v1"))],
              [
                Model("exports", [], [Model("uart2", [("device", cells(5)), ("phandle", cells(5))])]),
                Model("imports", [], [Model("uart1", [("link", cells(6))])]),
              ])
          ])))
    #expect(
      References(tree).of(try #require(tree.node(at: "/guestbroker/exports/uart2"))).map { describe($0) } == [
        "device[0]=/guestbroker/exports/uart2()"
      ])
    #expect(
      References(tree).of(try #require(tree.node(at: "/guestbroker/imports/uart1"))).map { describe($0) } == [
        "link[0]=?() dangling"
      ])
    #expect(References(tree).to(try #require(tree.node(at: "/guestbroker/exports/uart2"))).map { $0.property } == ["device"])
  }

  @Test("Absurd numbers of cells end the list")
  func absurd() throws {
    for count in [UInt32(0x7fff_ffff), 0x8000_0000, .max] {
      let root = Model(
        "", [("#address-cells", cells(count)), ("#interrupt-cells", cells(count)), ("interrupt-map", cells(1, 2, 3))],
        [Model("a", [("#clock-cells", cells(count)), ("phandle", cells(1))]), Model("b", [("clocks", cells(1, 2, 3))])])
      let tree = try DeviceTree(blob: BlobWriter.blob(root))
      #expect(Array(References(tree).of(tree.root)).isEmpty)
      #expect(References(tree).of(tree.root.children[1]).map { describe($0) } == ["clocks[0]=/a(2,3) short"])
    }
  }

  @Test("The table has the first node of a phandle, and names the others")
  func duplicates() throws {
    let root = Model(
      "", [("phandle", cells(0))],
      [
        Model("a", [("phandle", cells(7))]), Model("b", [("linux,phandle", cells(7))]), Model("c", [("phandle", cells(.max))]),
        Model("d", [("phandle", cells(3))]), Model("e", [("phandle", cells(7, 8))]),
      ])
    let table = PhandleTable(try DeviceTree(blob: BlobWriter.blob(root)))
    #expect(table[7]?.name == "a")
    #expect(table[3]?.name == "d")
    #expect(table.duplicates.map { $0.name } == ["b"])
    for phandle in [UInt32(0), 1, 8, .max] { #expect(table[phandle] == nil) }
  }
}
