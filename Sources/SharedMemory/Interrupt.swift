import CLinux
import Linux
import Text
import Partition
import RingBuffer

/// A doorbell by interrupts: those that come here, and a register that makes one at the peer. Either may be missing.
@safe
public final class Interrupt: Sendable {
  /// For poll(2) and epoll(7): readable after an interrupt. Nil when none comes here.
  public let descriptor: Int32?
  private let file: FileDescriptor
  /// A UIO device masks its interrupt until it is told that it was seen; an eventfd doesn't.
  private let isUIO: Bool
  private let register: Register?
  /// What to store; nil: the ivshmem id of the peer.
  private let value: UInt32?
  /// What to tell the peer of this.
  let bell: Bell

  /// By the UIO device at `path`, whose first memory is the region.
  ///
  /// - Parameters:
  ///   - ring: What to store in the second memory to make an interrupt at the peer.
  ///   - maps: The device's `maps` in sysfs.
  init(uio path: String, ring: Link.RegisterWrite?, maps: String) throws(MappingError) {
    let file: FileDescriptor
    do throws(Errno) {
      file = try FileDescriptor(opening: path, .readWrite)
    } catch {
      throw .cannotOpen(.uio(path), error)
    }
    if let ring {
      let size = readAttribute("\(maps)/map1/size").flatMap { parseHexadecimal($0) } ?? 0
      let start = readAttribute("\(maps)/map1/offset").flatMap { parseHexadecimal($0) } ?? 0
      guard size >= 4, UInt64(ring.offset) <= size - 4, start < lx_page_size() else { throw .noRegister(path, ring.offset) }
      // Memory N of a UIO device is at N pages of its file.
      register = try Register(file.number, .uio(path), at: lx_page_size(), offset: Int(start) + Int(ring.offset))
    } else {
      register = nil
    }
    value = ring?.value
    bell = Bell(rings: ring != nil, id: nil)
    descriptor = file.number
    self.file = file
    isUIO = true
    acknowledge()
  }

  /// By an ivshmem device that is this process's alone.
  init(vfio device: VFIODevice) throws(MappingError) {
    let (register, id) = try ivshmemRegisters(device.file.number, device.source, at: device.registers)
    self.register = register
    value = nil
    file = try device.takeInterrupt()
    descriptor = file.number
    isUIO = false
    bell = Bell(rings: true, id: id)
  }

  /// By an ivshmem device's registers in sysfs: there are no interrupts without a driver, but the peer can be rung.
  init(registersOf device: Ivshmem) throws(MappingError) {
    let source = MemorySource.ivshmem(device)
    let file: FileDescriptor
    do throws(Errno) {
      file = try FileDescriptor(opening: device.registers, .readWrite)
    } catch {
      throw .cannotOpen(source, error)
    }
    register = try ivshmemRegisters(file.number, source, at: 0).register
    value = nil
    descriptor = nil
    self.file = file
    isUIO = false
    bell = Bell(rings: true, id: nil)
  }

  /// After one was seen: the next one can come.
  public func acknowledge() {
    guard let number = descriptor else { return }
    if isUIO {
      // Reads how many there were, which blocks when there was none; 1 unmasks it (kernel documentation, UIO howto).
      var count: UInt32 = 0
      if lx_wait_readable(number, 0) != 0 { unsafe _ = read(number, &count, 4) }
      count = 1
      unsafe _ = write(number, &count, 4)
    } else {
      var count: eventfd_t = 0
      unsafe _ = eventfd_read(number, &count)
    }
  }

  /// Makes an interrupt at the peer, if it takes one.
  func ring(_ peer: Bell) {
    guard let register, let value = value ?? peer.id.map({ UInt32($0) << 16 }) else { return }
    lx_register_fence()
    register.store(value)
  }
}

/// QEMU's ivshmem device, BAR 0: IVPosition at 8 is this side's id, a store of id << 16 | vector into Doorbell at 12 makes an
/// interrupt there.
private func ivshmemRegisters(_ file: Int32, _ source: MemorySource, at offset: UInt64) throws(MappingError) -> (
  register: Register, id: UInt16
) {
  let position = try Register(file, source, at: offset, offset: 8).load()
  return (try Register(file, source, at: offset, offset: 12), UInt16(truncatingIfNeeded: position))
}

/// A device's register, mapped.
@safe
final class Register: Sendable {
  private let word: SharedWord
  private let region: SharedRegion

  /// - Parameters:
  ///   - start: Of the device's registers in `file`: whole pages.
  ///   - offset: Of this one from there.
  init(_ file: Int32, _ source: MemorySource, at start: UInt64, offset: Int) throws(MappingError) {
    let page = Int(lx_page_size())
    guard let mapped = unsafe lx_map(file, start + UInt64(offset / page * page), page) else { throw .cannotMap(source, .last) }
    // SAFETY: mapped with this size just now, unmapped in deinit.
    unsafe region = SharedRegion(base: mapped, size: page)
    word = region.word(at: offset % page)
  }

  // The word alone doesn't keep the mapping.
  func load() -> UInt32 { withExtendedLifetime(self) { word.load() } }
  func store(_ value: UInt32) { withExtendedLifetime(self) { word.store(value) } }

  deinit { unsafe _ = munmap(region.address, region.size) }
}
