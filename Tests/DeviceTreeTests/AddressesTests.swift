import TestSupport
import Testing

@testable import DeviceTree

@Suite("Physical addresses")
struct AddressesTests {
  private func ranges(_ path: String, _ root: Model) throws -> [AddressRange]? {
    try #require(try DeviceTree(blob: BlobWriter.blob(root)).node(at: path)).physicalRanges
  }

  @Test("A bus's ranges are added, an empty one changes nothing")
  func translated() throws {
    #expect(try ranges("/soc/serial@1000", board) == [AddressRange(address: 0x4000_1000, size: 0x100)])
    var straight = board
    straight.children[1].properties[2].value = []
    #expect(try ranges("/soc/serial@1000", straight) == [AddressRange(address: 0x1000, size: 0x100)])
  }

  @Test("Buses within buses, chip selects, addresses of two cells")
  func nested() throws {
    let tree = Model(
      "", [("#address-cells", cells(2)), ("#size-cells", cells(2))],
      [
        Model(
          "bus",
          [
            ("#address-cells", cells(2)), ("#size-cells", cells(1)),
            ("ranges", cells(0, 0, 0, 0x4000_0000, 0x400_0000, 7, 0, 8, 0x1000_0000, 0x20000)),
          ],
          [
            Model(
              "fpga", [("#address-cells", cells(1)), ("#size-cells", cells(1)), ("ranges", cells(0, 7, 0, 0x20000))],
              [Model("uart", [("reg", cells(0xb000, 0x1000))])])
          ]),
        Model("memory", [("reg", cells(1, 0x8000_0000, 0, 0x1000, 0xf, 0xffff_f000, 0x1, 0))]),
      ])
    #expect(try ranges("/bus/fpga/uart", tree) == [AddressRange(address: 0x8_1000_b000, size: 0x1000)])
    #expect(
      try ranges("/memory", tree) == [
        AddressRange(address: 0x1_8000_0000, size: 0x1000), AddressRange(address: 0xf_ffff_f000, size: 0x1_0000_0000),
      ])
  }

  @Test("No reg, half an entry, a bus without ranges, an address outside of them, too many cells: no address")
  func none() throws {
    #expect(try ranges("/soc", board) == nil)
    var change = board
    change.children[1].children[0].properties[0].value = cells(0x1000, 0x100, 1)
    #expect(try ranges("/soc/serial@1000", change) == nil)
    change = board
    change.children[1].properties.remove(at: 2)
    #expect(try ranges("/soc/serial@1000", change) == nil)
    for reg in [cells(0x10000, 1), cells(0xffff, 2), cells(0xffff_ffff, 0xffff_ffff)] {
      change = board
      change.children[1].children[0].properties[0].value = reg
      #expect(try ranges("/soc/serial@1000", change) == nil)
    }
    for cellCount in [UInt32(3), 0x7fff_ffff, .max] {
      change = board
      change.children[1].properties[0].value = cells(cellCount)
      #expect(try ranges("/soc/serial@1000", change) == nil)
    }
  }

  @Test("A translation beyond 64 bits is none")
  func overflow() throws {
    let tree = Model(
      "", [("#address-cells", cells(2)), ("#size-cells", cells(1))],
      [
        Model(
          "bus",
          [("#address-cells", cells(1)), ("#size-cells", cells(1)), ("ranges", cells(0, 0xffff_ffff, 0xffff_ff00, 0x1000))],
          [Model("a", [("reg", cells(0x800, 1))])])
      ])
    #expect(try ranges("/bus/a", tree) == nil)
  }

  @Test("Without #address-cells and #size-cells, an address has two cells and a size one")
  func defaults() throws {
    let tree = Model("", [], [Model("memory", [("reg", cells(1, 2, 3, 4, 5, 6))])])
    #expect(
      try ranges("/memory", tree) == [
        AddressRange(address: 0x1_0000_0002, size: 3), AddressRange(address: 0x4_0000_0005, size: 6),
      ])
  }

  @Test("Each entry is translated by the first range that holds the whole of it")
  func several() throws {
    var tree = board
    tree.children[1].properties[2].value = cells(
      0, 0x4000_0000, 0x1000, 0x1000, 0x5000_0000, 0x1000, 0x1800, 0x6000_0000, 0x1000)
    tree.children[1].children[0].properties[0].value = cells(0x1000, 0x1000, 0, 1, 0x1fff, 1, 0x2000, 0x800)
    #expect(
      try ranges("/soc/serial@1000", tree) == [
        AddressRange(address: 0x5000_0000, size: 0x1000), AddressRange(address: 0x4000_0000, size: 1),
        AddressRange(address: 0x5000_0fff, size: 1), AddressRange(address: 0x6000_0800, size: 0x800),
      ])
    tree.children[1].children[0].properties[0].value = cells(0x1000, 0x1000, 0x3000, 1)
    #expect(try ranges("/soc/serial@1000", tree) == nil)
  }

  @Test("An empty reg is no entries; no cells at all, or ranges of half entries, are no address")
  func empty() throws {
    var tree = board
    tree.children[1].children[0].properties[0].value = []
    #expect(try ranges("/soc/serial@1000", tree) == [])
    tree = board
    tree.children[1].properties[0].value = cells(0)
    tree.children[1].properties[1].value = cells(0)
    #expect(try ranges("/soc/serial@1000", tree) == nil)
    for value in [cells(0, 0x4000_0000), [0, 0, 0]] {
      tree = board
      tree.children[1].properties[2].value = value
      #expect(try ranges("/soc/serial@1000", tree) == nil)
    }
    #expect(try ranges("/", Model("", [("reg", cells(1, 2, 3))])) == nil)
  }
}
