import DeviceTree
import Foundation
import Partition
import TestSupport
import Testing

@testable import SharedMemory

@Suite("A link's region in an ivshmem device")
struct IvshmemTests {
  private let address = "0000:00:06.0"
  private var device: String { "bus/pci/devices/\(address)" }

  private func link() throws -> Link {
    let (partition, _) = try Partition.load(deviceTree: nil, builtInGuest: "guest2", running: [])
    var link = partition.links[0]
    link.memory = .ivshmem(address)
    return link
  }

  private func sysfs(vendor: String = "0x1af4", bytes: Int = 1 << 20) throws -> FakeSysfs {
    let sysfs = try FakeSysfs()
    try sysfs.attribute("\(device)/vendor", vendor)
    try sysfs.attribute("\(device)/device", "0x1110")
    try sysfs.attribute("\(device)/enable", "0")
    try sysfs.file("\(device)/resource2", Data(count: bytes))
    return sysfs
  }

  private func sentence(_ body: () throws -> Void) -> String? {
    do {
      try body()
      return nil
    } catch {
      return (error as? MappingError)?.text
    }
  }

  @Test("It is switched on, and all of BAR 2 is the region")
  func maps() throws {
    let sysfs = try sysfs(bytes: 1 << 16)
    let opened = try OpenLink(link(), override: nil, isExample: false, sysfs: sysfs.path)
    #expect(opened.source.text == "\(sysfs.path)/\(device)/resource2")
    #expect(opened.layout.size == 1 << 16 && opened.mapping.region.size == 1 << 16)
    #expect(try String(contentsOfFile: "\(sysfs.path)/\(device)/enable", encoding: .utf8) == "1\n")
    opened.mapping.region.word(at: 4096).store(0x1234_5678)
    let other = try OpenLink(link(), override: nil, isExample: false, sysfs: sysfs.path)
    #expect(other.mapping.region.word(at: 4096).load() == 0x1234_5678)
  }

  @Test("The host's file of that memory may stand for it")
  func override() throws {
    let sysfs = try sysfs(bytes: 1 << 16)
    let opened = try OpenLink(link(), override: "\(sysfs.path)/\(device)/resource2", isExample: false, sysfs: "/nonexistent")
    #expect(opened.layout.size == 1 << 16)
    #expect(try String(contentsOfFile: "\(sysfs.path)/\(device)/enable", encoding: .utf8) == "0\n")
  }

  @Test("What is no ivshmem device is named, and the remedy")
  func errors() throws {
    let link = try link()
    func open(_ sysfs: FakeSysfs) -> String? {
      sentence { _ = try OpenLink(link, override: nil, isExample: false, sysfs: sysfs.path) }
    }
    #expect(try open(FakeSysfs()) == "PCI device 0000:00:06.0 is not there; mend pci-address in the device tree")
    #expect(
      try open(sysfs(vendor: "0x8086"))
        == "PCI device 0000:00:06.0 is no ivshmem device: its ids are 0x8086 and 0x1110, not 0x1af4 and 0x1110; mend pci-address in the device tree"
    )
    #expect(
      try open(sysfs(bytes: 0)) == "PCI device 0000:00:06.0 has no memory in BAR 2; mend pci-address in the device tree")
    #expect(
      try open(sysfs(bytes: 8192))
        == "its region has 8192 bytes, but its channels need 36864; enlarge reg or lower channels in both device trees")
  }
}
