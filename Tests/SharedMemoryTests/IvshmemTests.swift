import DeviceTree
import Foundation
import Partition
import RingBuffer
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

  @Test("One that is switched on already is not switched on again, which takes root")
  func enabled() throws {
    let sysfs = try sysfs(bytes: 1 << 16)
    try sysfs.attribute("\(device)/enable", "2")
    _ = try OpenLink(link(), override: nil, isExample: false, sysfs: sysfs.path)
    #expect(try String(contentsOfFile: "\(sysfs.path)/\(device)/enable", encoding: .utf8) == "2\n")
  }

  @Test("Write-combined memory is another file, and the device tree decides")
  func writeCombined() throws {
    let sysfs = try sysfs(bytes: 1 << 16)
    try sysfs.file("\(device)/resource2_wc", Data(count: 1 << 16))
    var link = try link()
    link.mapping = .writeCombined
    let opened = try OpenLink(link, override: nil, isExample: false, sysfs: sysfs.path)
    #expect(opened.source.text == "\(sysfs.path)/\(device)/resource2_wc")
    link.mapping = .cached
    #expect(
      sentence { _ = try OpenLink(link, override: nil, isExample: false, sysfs: sysfs.path) }
        == "\(sysfs.path)/\(device)/resource2 is mapped as device memory, but the device tree's mapping is \"cached\"; name a source of that kind with --memory, or change mapping in both device trees"
    )
  }

  @Test("Without a driver its doorbell register rings the peer by the id that the peer states, and this side polls")
  func rings() throws {
    let sysfs = try sysfs(bytes: 1 << 16)
    var link = try link()
    link.doorbell = .ivshmem
    let plain = try OpenLink(link, override: nil, isExample: false, sysfs: sysfs.path)
    #expect(plain.note == "its ivshmem device has no doorbell (ivshmem-plain?): polling instead")
    try sysfs.file("\(device)/resource0", Data(count: 4096))
    try sysfs.file("\(device)/resource1", Data(count: 4096))
    let opened = try OpenLink(link, override: nil, isExample: false, sysfs: sysfs.path)
    #expect(opened.note == "its ivshmem device is not bound to vfio-pci: it can ring, but polls instead of being rung")
    var owner = Endpoint(opened.mapping.region, layout: opened.layout, channel: 0, role: .owner)
    var borrower = Endpoint(opened.mapping.region, layout: opened.layout, channel: 0, role: .borrower)
    owner.bell = opened.doorbell.bell
    #expect(owner.bell == Bell(rings: true, id: nil))
    borrower.bell = Bell(rings: true, id: 0x0102)
    owner.start(session: 1)
    borrower.start(session: 2)
    opened.doorbell.ring(&owner)
    let registers = try Data(contentsOf: URL(fileURLWithPath: "\(sysfs.path)/\(device)/resource0"))
    #expect(Array(registers[8..<16]) == [0, 0, 0, 0, 0, 0, 2, 1])
    #expect(opened.doorbell.pollInterval(owner) == 200_000)
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
