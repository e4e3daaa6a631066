import DeviceTree
import Foundation
import TestSupport
import Testing

@testable import TreeTools

@Suite("A tree against the devices of the running kernel", .enabled(if: hasCompiler, "needs dtc"))
struct LiveTests {
  private let sysfs: FakeSysfs

  /// What a kernel has made of guest1's tree.
  init() throws {
    sysfs = try FakeSysfs()
    for name in ["serial@1000", "serial@3000", "gpio@4000", "dma-controller@5000", "i2c@7000"] { try device(name) }
    try sysfs.directory("bus/cpu")
  }

  private func device(_ node: String, driver: Bool = true) throws {
    try sysfs.directory("firmware/devicetree/base/soc/\(node)")
    try sysfs.directory("devices/\(node)")
    try sysfs.link("devices/\(node)/of_node", to: "firmware/devicetree/base/soc/\(node)")
    if driver {
      try sysfs.directory("bus/platform/drivers/some")
      try sysfs.link("devices/\(node)/driver", to: "bus/platform/drivers/some")
    }
    try sysfs.link("bus/platform/devices/\(node)", to: "devices/\(node)")
  }

  private func live(_ changes: [Change] = []) throws -> [String] {
    let tree = NamedTree(file: "guest1.dts", tree: try tree(changed(Sources.guest1, changes)))
    return short(try TreeCheck.live(tree, sysfs: sysfs.path))
  }

  @Test("A kernel that has what the tree says")
  func agreement() throws {
    #expect(try live() == [])
  }

  @Test("An okay node without a device; one that early code takes is none")
  func noDevice() throws {
    #expect(
      try live([("i2c: i2c@7000 {", "spi@8000 { compatible = \"test,spi\"; reg = <0x8000 0x1000>; };\n i2c: i2c@7000 {")])
        == ["guest1.dts: /soc/spi@8000: live-no-device"])
    #expect(
      try live([("i2c: i2c@7000 {", "timer@8000 { compatible = \"arm,sp804\"; reg = <0x8000 0x1000>; };\n i2c: i2c@7000 {")])
        == [])
  }

  @Test("A device whose node is another guest's")
  func foreign() throws {
    try device("serial@2000")
    #expect(try live() == ["guest1.dts: /soc/serial@2000: live-foreign-device"])
  }

  @Test("An exported device without a driver, and without a device")
  func noDriver() throws {
    let changes: [Change] = [
      ("exports {", "exports { i2c9 { class = \"i2c\"; device = <&spare>; clients = \"guest2\"; }; "),
      ("i2c: i2c@7000 {", "spare: i2c@9000 { compatible = \"test,i2c\"; reg = <0x9000 0x1000>; };\n i2c: i2c@7000 {"),
    ]
    try device("i2c@9000", driver: false)
    #expect(try live(changes) == ["guest1.dts: /guestbroker/exports/i2c9: live-no-driver"])
    try FileManager.default.removeItem(atPath: "\(sysfs.path)/bus/platform/devices/i2c@9000")
    #expect(
      try live(changes) == [
        "guest1.dts: /soc/i2c@9000: live-no-device", "guest1.dts: /guestbroker/exports/i2c9: live-no-driver",
      ])
  }

  @Test("A kernel without a device tree is an error, not a tree of missing devices")
  func noTree() throws {
    let empty = try FakeSysfs()
    let tree = NamedTree(file: "guest1.dts", tree: try tree(Sources.guest1))
    #expect(throws: (any Error).self) { try TreeCheck.live(tree, sysfs: empty.path) }
  }
}
