import DeviceTree
import Foundation
import TestSupport
import Testing

@testable import TreeTools

@Suite("Trees as source", .enabled(if: hasCompiler, "needs dtc"))
struct SourceTests {
  /// What dtc makes of a draft's source, which it must take without a word.
  private func compiled(_ draft: Draft, keepsPhandles: Bool = true) throws -> DeviceTree {
    let source = try draft.source(keepsPhandles: keepsPhandles)
    let (blob, complaints) = try compile(source)
    #expect(complaints == "", "\(source)")
    return try DeviceTree(blob: Array(blob))
  }

  private func draft(_ model: Model) throws -> Draft { Draft(try DeviceTree(blob: BlobWriter.blob(model))) }

  @Test("dtc makes the same tree of an example's source again", arguments: ["system", "guest1", "guest2"])
  func roundTrip(name: String) throws {
    let tree = try DeviceTree(blob: Array(try compile(exampleSource(name)).blob))
    #expect(Model(try compiled(Draft(tree)).root) == Model(tree.root))
  }

  @Test("Random values of every length come back as they were")
  func values() throws {
    var random = SeededGenerator("Random values as source")
    for _ in 0..<20 {
      var properties: [(String, [UInt8])] = []
      for index in 0..<40 {
        let count = Int.random(in: 0...12, using: &random)
        let isText = Bool.random(using: &random)
        properties.append(
          (
            "p\(index)",
            (0..<count).map { _ in
              isText ? [0, 0x41, 0x22, 0x5c, 0x7e].randomElement(using: &random)! : .random(in: 0...255, using: &random)
            }
          ))
      }
      let model = Model("", properties, [Model("a"), Model("b", [("x", text("\\\"\\"))])])
      #expect(Model(try compiled(try draft(model)).root) == model)
    }
  }

  @Test("References are labels: the tree's own, an alias's name, or the node's; phandles are left out")
  func labels() throws {
    let model = Model(
      "", [("#address-cells", cells(1)), ("#size-cells", cells(1)), ("interrupt-parent", cells(3))],
      [
        Model("aliases", [("timer0", text("/timer@2000"))]),
        Model("__symbols__", [("pic", text("/interrupt-controller@1000"))]),
        Model(
          "interrupt-controller@1000",
          [
            ("reg", cells(0x1000, 0x100)), ("interrupt-controller", []), ("#interrupt-cells", cells(1)),
            ("#address-cells", cells(0)),
            ("phandle", cells(3)),
          ]),
        Model("clock-1", [("compatible", text("fixed-clock")), ("#clock-cells", cells(0)), ("phandle", cells(5))]),
        Model("timer@2000", [("reg", cells(0x2000, 0x100)), ("interrupts", cells(43)), ("clocks", cells(5))]),
      ])
    let source = try draft(model).source()
    for line in [
      "interrupt-parent = <&pic>;", "timer0 = &timer0;", "pic: interrupt-controller@1000 {", "clock_1: clock-1 {",
      "timer0: timer@2000 {", "clocks = <&clock_1>;", "interrupts = <43>;", "reg = <0x2000 0x100>;",
    ] {
      #expect(source.contains(line), "\(line) in \(source)")
    }
    #expect(!source.contains("phandle =") && !source.contains("__symbols__"))
    #expect(try compile(source).complaints == "")
  }

  @Test("A number that may be a phandle stays one, and so does the node that has it")
  func unknownReferences() throws {
    let model = Model(
      "", [],
      [
        Model("a", [("phandle", cells(0x77))]), Model("b", [("vendor,friend", cells(0x77))]),
        Model("c", [("phandle", cells(0x78))]),
      ])
    let tree = try compiled(try draft(model), keepsPhandles: false)
    #expect(tree.node(at: "/a")?.phandle == 0x77)
    #expect(tree.node(at: "/b")?.property("vendor,friend")?.cell == 0x77)
    #expect(tree.node(at: "/c")?.property("phandle") == nil)
  }

  @Test("A label that two nodes have is the first one's; made-up ones avoid those there are")
  func uniqueLabels() throws {
    var root = Draft("", [], [Draft("x"), Draft("y"), Draft("b", [DraftProperty("clocks", cells: [1], references: [0])])])
    root.children[0].labels = ["a", "a", "1bad", "c_1"]
    root.children[1].labels = ["a"]
    root.children.append(Draft("c-1", [DraftProperty("phandle", cells: [1]), DraftProperty("#clock-cells", cells: [0])]))
    let source = try root.source()
    #expect(source.contains("a: c_1: x {") || source.contains("c_1: a: x {"))
    #expect(source.contains("\ty {") && source.contains("c_1_2: c-1 {") && source.contains("clocks = <&c_1_2>;"))
    #expect(try compile(source).complaints == "")
  }

  @Test("Comments and text that would end where they should not")
  func hostileText() throws {
    let root = Draft("", [DraftProperty("model", "a\" */ \\ b")])
    let source = try root.source(
      comment: ["ends */ here", "line\nbreak \u{1b}[31m"], reservations: [AddressRange(address: 0, size: 1 << 40)])
    let (blob, complaints) = try compile(source)
    #expect(complaints == "")
    #expect(try DeviceTree(blob: Array(blob)).root.property("model")?.string == "a\" */ \\ b")
    #expect(source.hasPrefix("/*\n * ends *? here\n * line?break ?[31m\n */\n/dts-v1/;\n/memreserve/ 0x0 0x10000000000;\n"))
  }

  @Test("Names that no source can have, paths and phandles that two nodes have, are refused by name")
  func refused() throws {
    func error(_ root: Draft) -> String? {
      do throws(SourceError) {
        _ = try root.source()
        return nil
      } catch {
        return error.text
      }
    }
    #expect(error(Draft("", [], [Draft("a b")])) == "/a b: its name has characters that a device-tree source can't have in one")
    #expect(error(Draft("", [], [Draft("")])) == "two nodes have the same path, /")
    #expect(
      error(Draft("", [DraftProperty("x;y")])) == "/ x;y: its name has characters that a device-tree source can't have in one")
    #expect(error(Draft("", [], [Draft("a"), Draft("a")])) == "two nodes have the same path, /a")
    let twin = [DraftProperty("phandle", cells: [1])]
    #expect(error(Draft("", [], [Draft("a", twin), Draft("b", twin)])) == "two nodes have the same phandle, 1: /a and /b")
  }

  @Test("A draft is the tree that it was made of, and makes it again")
  func drafts() throws {
    let tree = try DeviceTree(blob: BlobWriter.blob(board))
    #expect(Model(try DeviceTree(Draft(tree)).root) == board)
    var deep = Draft("x")
    for _ in 0..<DeviceTree.maximumDepth { deep = Draft("x", [], [deep]) }
    #expect(throws: DeviceTreeError.self) { _ = try DeviceTree(Draft("", [], [deep])) }
  }
}
