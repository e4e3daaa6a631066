import DeviceTree
import TestSupport
import Testing

@testable import SharedMemory

@Suite("A link's region behind UIO")
struct UIOTests {
  private let range = AddressRange(address: 0x4f00_0000, size: 0x10_0000)

  private func sysfs(address: String, size: String) throws -> FakeSysfs {
    let sysfs = try FakeSysfs()
    try sysfs.device("uio1", class: "uio", ofNode: "/ring@4f000000")
    try sysfs.attribute("class/uio/uio1/maps/map0/addr", address)
    try sysfs.attribute("class/uio/uio1/maps/map0/size", size)
    return sysfs
  }

  @Test("The UIO device of the region's node is used; where there is none, /dev/mem")
  func found() throws {
    let sysfs = try sysfs(address: "0x000000004f000000", size: "0x0000000000100000")
    #expect(try findUIO(ofNode: "/ring@4f000000", range, sysfs: sysfs.path)?.text == "/dev/uio1")
    #expect(try findUIO(ofNode: "/other@4f000000", range, sysfs: sysfs.path) == nil)
    #expect(try findUIO(ofNode: "/ring@4f000000", range, sysfs: "/nonexistent") == nil)
  }

  @Test(
    "One with another memory is an error",
    arguments: [("0x4f001000", "0x100000"), ("0x4f000000", "0xff000"), ("", "0x100000"), ("0x4f000000", "much")])
  func other(address: String, size: String) throws {
    let sysfs = try sysfs(address: address, size: size)
    do {
      _ = try findUIO(ofNode: "/ring@4f000000", range, sysfs: sysfs.path)
      Issue.record("taken")
    } catch {
      #expect(
        error.text == "the first memory of /dev/uio1 is not what the reg of its node says; is the device tree the running one?")
    }
  }
}
