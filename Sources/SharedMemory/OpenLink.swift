import CLinux
import DeviceTree
import Linux
import Text
import Partition
import RingBuffer

/// A link as the device tree describes it, reached: its region mapped, its layout known, its doorbell chosen.
public struct OpenLink: Sendable {
  public let source: MemorySource
  public let mapping: Mapping
  public let layout: LinkLayout
  public let doorbell: Doorbell
  /// What is not as the device tree has it, and can be done without: a sentence without its full stop.
  public let note: String?

  /// - Parameters:
  ///   - override: Where the region is instead of at the device tree's address (`--memory`); a path or "/dev/mem".
  ///   - isExample: The built-in example, which has no hypervisor behind it: the region is a file that every process of
  ///     this user finds by the link's name, the doorbell a futex.
  ///   - sysfs: Where sysfs is mounted: there UIO and ivshmem devices are looked up.
  public init(_ link: Link, override: String?, isExample: Bool, sysfs: String = "/sys") throws(MappingError) {
    let size: UInt64
    var isDescribed = true
    var uio: UIODevice?
    var ivshmem: Ivshmem?
    var vfio: VFIODevice?
    switch link.memory {
    case .physical(let range, let node):
      size = range.size
      if let override {
        source = sameText(override, "/dev/mem") ? .physical(range.address) : .file(override)
      } else if isExample {
        source = .ownFile("/dev/shm/guestbroker-\(userID)-\(link.name)")
      } else {
        uio = try UIODevice(ofNode: node, range, sysfs: sysfs)
        source = uio.map { .uio($0.path) } ?? .physical(range.address)
      }
    case .ivshmem(let address):
      // The tree doesn't say the size: it is that of the device, or of the file on the host that is behind it.
      if let override {
        size = unsafe lx_path_size(override.systemPath)
        isDescribed = false
        source = .file(override)
      } else {
        var isWriteCombined = false
        if case .writeCombined? = link.mapping { isWriteCombined = true }
        let device = try Ivshmem(at: address, isWriteCombined: isWriteCombined, sysfs: sysfs)
        if let group = device.group {
          let opened = try VFIODevice(at: address, group: group)
          size = opened.size
          source = opened.source
          vfio = opened
        } else {
          size = device.size
          source = .ivshmem(device)
          ivshmem = device
        }
      }
    }
    do throws(LinkLayout.Invalid) {
      layout = try LinkLayout(size: Int(clamping: min(size, LinkLayout.maximumSize)), channels: link.channels)
    } catch {
      throw .badLayout(size: size, error)
    }
    if let wanted = link.mapping, let found = source.attribute, wanted != found, !isExample {
      throw .otherAttribute(source, is: found, shouldBe: wanted)
    }
    mapping = try Mapping(source, size: layout.size, described: isDescribed ? size : nil, device: vfio)
    let poll = UInt64(link.pollInterval) &* 1000
    var note: String?
    switch link.doorbell {
    case _ where isExample: doorbell = .futex
    case .futex: doorbell = .futex
    case .poll: doorbell = .poll(nanoseconds: poll)
    case .uio(let ring):
      if let uio {
        doorbell = .interrupt(try Interrupt(uio: uio.path, ring: ring, maps: uio.maps), poll: poll)
      } else {
        doorbell = .poll(nanoseconds: poll)
        note =
          "no UIO device is bound to its memory's node (is uio_pdrv_genirq there, with of_id=generic-uio?): polling instead"
      }
    case .ivshmem:
      if let vfio {
        doorbell = .interrupt(try Interrupt(vfio: vfio), poll: poll)
      } else if let ivshmem, ivshmem.hasDoorbell {
        doorbell = .interrupt(try Interrupt(registersOf: ivshmem), poll: poll)
        note = "its ivshmem device is not bound to vfio-pci: it can ring, but polls instead of being rung"
      } else {
        doorbell = .poll(nanoseconds: poll)
        note = "its ivshmem device has no doorbell (ivshmem-plain?): polling instead"
      }
    }
    self.note = note
  }
}
