import Linux
import TestSupport
import Testing

@Suite("sysfs")
struct SysfsTests {
  @Test("A device is found by its of_node, also behind a serial port device, and not found for a node without a driver")
  func find() throws {
    let sysfs = try FakeSysfs()
    try sysfs.directory("firmware/devicetree/base/soc/serial@1000")
    try sysfs.directory("class/tty/tty0")
    try sysfs.device("ttyAMA2", class: "tty", ofNode: "/soc/serial@2000")
    try sysfs.device("ttyS0", class: "tty", ofNode: "/soc/serial@3000", below: ["3000.serial:0", "3000.serial:0.0"])
    func find(_ node: String) -> String? { findDevice(ofNode: node, class: "tty", sysfs: sysfs.path) }
    #expect(find("/soc/serial@2000") == "ttyAMA2")
    #expect(find("/soc/serial@3000") == "ttyS0")
    #expect(find("/soc/serial@1000") == nil)
    #expect(find("/soc/serial@9000") == nil)
    #expect(findDevice(ofNode: "/soc/serial@2000", class: "uio", sysfs: sysfs.path) == nil)
    #expect(findDevice(ofNode: "/soc/serial@2000", class: "tty", sysfs: "/nonexistent") == nil)
  }

  @Test("An attribute is its first line")
  func attributes() throws {
    let sysfs = try FakeSysfs()
    try sysfs.attribute("a/vendor", "0x1af4")
    #expect(readAttribute("\(sysfs.path)/a/vendor") == "0x1af4")
    #expect(readAttribute("\(sysfs.path)/a/device") == nil)
  }
}
