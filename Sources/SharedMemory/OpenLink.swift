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
  public init(_ link: Link, override: String?, isExample: Bool) throws(MappingError) {
    do throws(LinkLayout.Invalid) {
      layout = try LinkLayout(size: Int(clamping: min(link.memory.size, LinkLayout.maximumSize)), channels: link.channels)
    } catch {
      throw .badLayout(size: link.memory.size, error)
    }
    if let override {
      source = sameText(override, "/dev/mem") ? .physical(link.memory.address) : .file(override)
    } else {
      source = isExample ? .ownFile("/dev/shm/guestbroker-\(userID)-\(link.name)") : .physical(link.memory.address)
    }
    mapping = try Mapping(source, size: layout.size)
    switch link.doorbell {
    case .futex: doorbell = .futex
    case .poll(let microseconds): doorbell = isExample ? .futex : .poll(nanoseconds: UInt64(microseconds) &* 1000)
    }
  }
}
