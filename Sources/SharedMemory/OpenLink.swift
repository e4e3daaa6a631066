import CLinux
import DeviceTree
import Linux
import Partition
import RingBuffer

/// A link as the device tree describes it, reached: its region mapped, its layout known, its doorbell chosen.
public struct OpenLink: Sendable {
  public let source: MemorySource
  public let mapping: Mapping
  public let layout: LinkLayout
  public let doorbell: Doorbell

  /// - Parameters:
  ///   - override: Where the region is instead of at the device tree's address (`--memory`); a path or "/dev/mem".
  ///   - isExample: The built-in example, which has no hypervisor behind it: the region is a file that every process of
  ///     this user finds by the link's name, the doorbell a futex.
  ///   - sysfs: Where sysfs is mounted: there UIO and ivshmem devices are looked up.
  public init(_ link: Link, override: String?, isExample: Bool, sysfs: String = "/sys") throws(MappingError) {
    let size: UInt64
    switch link.memory {
    case .physical(let range, let node):
      size = range.size
      if let override {
        source = sameText(override, "/dev/mem") ? .physical(range.address) : .file(override)
      } else if isExample {
        source = .ownFile("/dev/shm/guestbroker-\(userID)-\(link.name)")
      } else {
        source = try findUIO(ofNode: node, range, sysfs: sysfs) ?? .physical(range.address)
      }
    case .ivshmem(let address):
      // The tree doesn't say the size: it is that of the device, or of the file on the host that is behind it.
      if let override {
        size = unsafe lx_path_size(override)
        source = .file(override)
      } else {
        let device = try Ivshmem(at: address, sysfs: sysfs)
        size = device.size
        source = .ivshmem(device)
      }
    }
    do throws(LinkLayout.Invalid) {
      layout = try LinkLayout(size: Int(clamping: min(size, LinkLayout.maximumSize)), channels: link.channels)
    } catch {
      throw .badLayout(size: size, error)
    }
    mapping = try Mapping(source, size: layout.size)
    switch link.doorbell {
    case .futex: doorbell = .futex
    case .poll(let microseconds): doorbell = isExample ? .futex : .poll(nanoseconds: UInt64(microseconds) &* 1000)
    }
  }
}
