import CLinux
import DeviceTree
import Foundation
import Partition
import RingBuffer
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
    #expect(try UIODevice(ofNode: "/ring@4f000000", range, sysfs: sysfs.path)?.path == "/dev/uio1")
    #expect(try UIODevice(ofNode: "/other@4f000000", range, sysfs: sysfs.path) == nil)
    #expect(try UIODevice(ofNode: "/ring@4f000000", range, sysfs: "/nonexistent") == nil)
  }

  @Test(
    "One with another memory is an error",
    arguments: [("0x4f001000", "0x100000"), ("0x4f000000", "0xff000"), ("", "0x100000"), ("0x4f000000", "much")])
  func other(address: String, size: String) throws {
    let sysfs = try sysfs(address: address, size: size)
    do {
      _ = try UIODevice(ofNode: "/ring@4f000000", range, sysfs: sysfs.path)
      Issue.record("taken")
    } catch {
      #expect(
        error.text == "the first memory of /dev/uio1 is not what the reg of its node says; is the device tree the running one?")
    }
  }

  // A terminal's far end stands for the kernel: 4 bytes from it are an interrupt, 4 bytes to it unmask the next one.
  @Test("Its interrupt ends a sleep, is unmasked, and a side that no interrupt comes to polls")
  func interrupt() throws {
    let kernel = try TerminalPair()
    let interrupt = try Interrupt(uio: kernel.slavePath, ring: nil, maps: "/nonexistent")
    #expect(kernel.read(4) == [1, 0, 0, 0])
    #expect(interrupt.bell == Bell())
    let memory = temporaryMemory()
    defer { unlink(memory) }
    let mapping = try Mapping(.file(memory), size: 1 << 16)
    let layout = try LinkLayout(size: 1 << 16, channels: 1)
    var owner = Endpoint(mapping.region, layout: layout, channel: 0, role: .owner)
    var borrower = Endpoint(mapping.region, layout: layout, channel: 0, role: .borrower)
    let doorbell = Doorbell.interrupt(interrupt, poll: 50_000)
    #expect(doorbell.pollInterval(owner) == nil)
    borrower.bell = Bell(rings: true, id: nil)
    owner.start(session: 1)
    for rings in [true, false] {
      borrower.bell = Bell(rings: rings, id: nil)
      borrower.start(session: rings ? 2 : 3)
      while !owner.isEstablished || !borrower.isEstablished {
        _ = owner.refresh()
        _ = borrower.refresh()
      }
      #expect(doorbell.pollInterval(owner) == (rings ? nil : 50_000))
    }
    kernel.write([1, 0, 0, 0])
    doorbell.sleep(&owner, atMost: .max)
    // What came is not there any more, and the next one may come.
    if lx_wait_readable(try #require(interrupt.descriptor), 0) != 0 { doorbell.sleep(&owner, atMost: .max) }
    #expect(kernel.read(4) == [1, 0, 0, 0])
    #expect(lx_wait_readable(try #require(interrupt.descriptor), 0) == 0)
  }

  @Test("What the peer is rung by is a register of the second memory, which must be there")
  func register() throws {
    let sysfs = try FakeSysfs()
    for (size, offset, isThere) in [
      ("0x1000", "0x0", true), ("0x10", "0x0", true), ("0xf", "0x0", false), ("0x1000", "0x10000000", false),
    ] {
      try sysfs.attribute("maps/map1/size", size)
      try sysfs.attribute("maps/map1/offset", offset)
      try sysfs.file("uio", Data(count: 3 * Int(lx_page_size())))
      do {
        let interrupt = try Interrupt(
          uio: "\(sysfs.path)/uio", ring: Link.RegisterWrite(offset: 12, value: 0x0102_0304), maps: "\(sysfs.path)/maps")
        #expect(isThere && interrupt.bell == Bell(rings: true, id: nil))
        interrupt.ring(Bell())
        let start = Int(lx_page_size()) + 12
        #expect(Array(try Data(contentsOf: URL(fileURLWithPath: "\(sysfs.path)/uio"))[start..<start + 4]) == [4, 3, 2, 1])
      } catch let error as MappingError {
        #expect(!isThere)
        #expect(
          error.text
            == "\(sysfs.path)/uio has no register at 0xc of a second memory; mend doorbell-write, or the reg of its node")
      }
    }
  }
}
