import CLinux
import Linux
import Text

/// A PCI device that the kernel gives to one process: bound to vfio-pci, behind an IOMMU or without one (linux/vfio.h).
public final class VFIODevice: Sendable {
  let source: MemorySource
  /// The device; its regions are parts of this file.
  let file: FileDescriptor
  private let container: FileDescriptor
  private let group: FileDescriptor
  /// Where BAR 0 and BAR 2 are in the file.
  let registers: UInt64
  let memory: UInt64
  /// Bytes of BAR 2.
  let size: UInt64

  /// - Parameters:
  ///   - address: "0000:00:06.0"
  ///   - group: The name of its IOMMU group, below /dev/vfio: a number, or "noiommu-" and a number.
  init(at address: String, group name: String) throws(MappingError) {
    let source = MemorySource.vfio(address)
    do throws(Errno) {
      container = try FileDescriptor(opening: "/dev/vfio/vfio", .readWrite)
      group = try FileDescriptor(opening: "/dev/vfio/\(name)", .readWrite)
      let hasIOMMU: Int32 = name.hasBytePrefix("noiommu-") ? 0 : 1
      file = FileDescriptor(owning: try check(unsafe lx_vfio_open(container.number, group.number, hasIOMMU, address)))
      guard lx_vfio_enable(file.number) == 0 else { throw .last }
    } catch {
      throw .cannotOpen(source, error)
    }
    var registers: UInt64 = 0
    var memory: UInt64 = 0
    let hasRegisters = unsafe lx_vfio_region(file.number, 0, &registers) >= 16
    size = unsafe lx_vfio_region(file.number, 2, &memory)
    guard hasRegisters, size > 0 else {
      throw .noIvshmem(address: address, why: "has no registers in BAR 0 or no memory in BAR 2")
    }
    self.registers = registers
    self.memory = memory
    self.source = source
  }

  /// Makes the device's interrupts readable. Returns a non-blocking eventfd.
  func takeInterrupt() throws(MappingError) -> FileDescriptor {
    do throws(Errno) {
      let event = FileDescriptor(owning: try check(lx_eventfd(0)))
      guard lx_vfio_interrupt(file.number, event.number) == 0 else { throw .last }
      return event
    } catch {
      throw .noInterrupt(source, error)
    }
  }
}
