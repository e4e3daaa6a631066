import DeviceTree
import TestSupport
import Testing

@testable import TreeTools

@Suite("Memory, aliases, labels and the console")
struct MemoryTests {
  private func tree(_ children: [Model]) throws -> DeviceTree {
    try DeviceTree(blob: BlobWriter.blob(Model("", [("#address-cells", cells(1)), ("#size-cells", cells(1))], children)))
  }

  @Test("Memory is the okay nodes of that type, without empty ranges")
  func memory() throws {
    let tree = try tree([
      Model("memory@1000", [("device_type", text("memory")), ("reg", cells(0x1000, 0x1000, 0x8000, 0, 0x4000, 0x1000))]),
      Model("memory@9000", [("device_type", text("memory")), ("reg", cells(0x9000, 0x1000)), ("status", text("disabled"))]),
      Model("memory", [("reg", cells(0, 1))]),
    ])
    #expect(tree.memory == [AddressRange(address: 0x1000, size: 0x1000), AddressRange(address: 0x4000, size: 0x1000)])
    #expect(tree.memoryNodes.map { $0.name } == ["memory@1000", "memory@9000"])
  }

  @Test("Reserved memory has a place, or a size and an alignment")
  func reserved() throws {
    let tree = try tree([
      Model(
        "reserved-memory", [("#address-cells", cells(1)), ("#size-cells", cells(1)), ("ranges", [])],
        [
          Model("a@2000", [("reg", cells(0x2000, 0x1000)), ("no-map", [])]),
          Model("pool", [("size", cells(1, 0)), ("alignment", cells(0x2000)), ("reusable", [])]),
        ])
    ])
    let reserved = tree.reservedMemory
    #expect(reserved.map { $0.node.name } == ["a@2000", "pool"])
    #expect(
      reserved[0].ranges == [AddressRange(address: 0x2000, size: 0x1000)] && reserved[0].isNoMap && !reserved[0].isReusable)
    #expect(reserved[1].ranges == nil && reserved[1].size == 1 << 32 && reserved[1].alignment == 0x2000)
    #expect(!reserved[1].isNoMap && reserved[1].isReusable && reserved[0].size == nil)
    #expect(try self.tree([]).reservedMemory.isEmpty)
  }

  @Test("A number has one or two cells")
  func number() {
    #expect(Property(bytes: cells(1)).number == 1)
    #expect(Property(bytes: cells(1, 2)).number == 0x1_0000_0002)
    for value in [[], cells(1, 2, 3), [1]] { #expect(Property(bytes: value).number == nil) }
  }

  @Test("Aliases and labels lead to nodes, or say that they don't")
  func labels() throws {
    let tree = try tree([
      Model("aliases", [("serial0", text("/uart")), ("gone", text("/none")), ("odd", cells(1)), ("phandle", cells(3))]),
      Model("__symbols__", [("uart2", text("/uart"))]), Model("uart"),
      Model("chosen", [("stdout-path", text("serial0:115200n8")), ("stdin-path", text("/nothing"))]),
    ])
    #expect(
      tree.aliases.map { "\($0.name)=\($0.path)=\($0.node?.path ?? "none")" } == [
        "serial0=/uart=/uart", "gone=/none=none", "odd==none",
      ])
    #expect(tree.symbols.map { "\($0.name)=\($0.node?.path ?? "none")" } == ["uart2=/uart"])
    #expect(tree.standardOutput?.path == "serial0" && tree.standardOutput?.node?.path == "/uart")
    #expect(tree.standardInput?.path == "/nothing" && tree.standardInput?.node == nil)
    let bare = try self.tree([])
    #expect(bare.aliases.isEmpty && bare.symbols.isEmpty && bare.standardOutput == nil)
  }

  @Test("An alias of an alias is followed, in a circle it is none", .timeLimit(.minutes(1)))
  func circle() throws {
    let tree = try tree([Model("aliases", [("a", text("b")), ("b", text("a"))])])
    #expect(tree.node(at: "a") == nil)
    #expect(tree.aliases.allSatisfy { $0.node == nil })
  }
}
