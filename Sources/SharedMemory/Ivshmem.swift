import CLinux
import Linux
import Text

/// QEMU's ivshmem device: memory of the host that several guests have as BAR 2 of a PCI device.
///
/// Linux binds no driver to it; sysfs shows the BAR as a file that root may map, uncached or write-combined (Linux ABI,
/// sysfs-bus-pci). Its ids are in QEMU's "Device Specification for Inter-VM shared memory device".
public struct Ivshmem: Sendable {
  private let directory: String
  /// Bytes of the BAR: all of the memory, a power of two.
  let size: UInt64
  let isWriteCombined: Bool

  /// What is mapped.
  var path: String { isWriteCombined ? "\(directory)/resource2_wc" : "\(directory)/resource2" }
  /// BAR 0.
  var registers: String { "\(directory)/resource0" }
  /// Whether it is one with interrupts (ivshmem-doorbell): BAR 1 is their table.
  var hasDoorbell: Bool { fileKind("\(directory)/resource1") == .regular }

  /// The IOMMU group, when the device is bound to vfio-pci.
  var group: String? {
    guard let driver = linkedName("\(directory)/driver"), sameText(driver, "vfio-pci"),
      let number = linkedName("\(directory)/iommu_group")
    else { return nil }
    return fileKind("/dev/vfio/noiommu-\(number)") == .none ? number : "noiommu-\(number)"
  }

  /// - Parameters:
  ///   - address: The function's name below /sys/bus/pci/devices: "0000:00:06.0".
  ///   - sysfs: Where sysfs is mounted.
  init(at address: String, isWriteCombined: Bool, sysfs: String) throws(MappingError) {
    self.isWriteCombined = isWriteCombined
    directory = "\(sysfs)/bus/pci/devices/\(address)"
    guard let vendor = readAttribute("\(directory)/vendor"), let device = readAttribute("\(directory)/device") else {
      throw .noIvshmem(address: address, why: "is not there")
    }
    guard sameText(vendor, "0x1af4"), sameText(device, "0x1110") else {
      throw .noIvshmem(
        address: address, why: "is no ivshmem device: its ids are \(vendor) and \(device), not 0x1af4 and 0x1110")
    }
    size = unsafe lx_path_size("\(directory)/resource2".systemPath)
    guard size > 0 || group != nil else { throw .noIvshmem(address: address, why: "has no memory in BAR 2") }
  }

  /// Switches the device's memory on, as a driver would, and opens it. Switching on takes CAP_SYS_ADMIN, whatever the file's mode: where it
  /// is on already (packaging/70-guestbroker.rules does that), a user who may open the memory needs no more.
  func open() throws(Errno) -> FileDescriptor {
    if !isEnabled {
      let enable = try FileDescriptor(opening: "\(directory)/enable", .readWrite)
      guard writeBytes([0x31, 0x0a], to: enable.number) else { throw .last }
    }
    return try FileDescriptor(opening: path, .readWrite)
  }

  /// sysfs counts how often it was switched on.
  private var isEnabled: Bool {
    guard let count = readAttribute("\(directory)/enable") else { return false }
    return !sameText(count, "0")
  }
}
