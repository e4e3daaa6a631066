import CLinux
import Linux
import Text
import Partition
import RingBuffer

/// Where a link's region is to be found.
public indirect enum MemorySource: Sendable {
  /// A file both sides open: on one machine, or the host's side of a guest's memory. Made with mode 0600 when missing.
  case file(String)
  /// As `.file`, in a place where anybody may create files: must belong to this user or to root.
  case ownFile(String)
  /// Physical memory, through /dev/mem.
  case physical(UInt64)
  /// The first memory of a UIO device: "/dev/uio0".
  case uio(String)
  /// BAR 2 of an ivshmem device, through sysfs.
  case ivshmem(Ivshmem)
  /// BAR 2 of the ivshmem device at this PCI address, through VFIO.
  case vfio(String)

  /// "/dev/shm/x" or "/dev/mem at 0x8f000000".
  public var text: String {
    switch self {
    case .file(let path), .ownFile(let path): path
    case .physical(let address): "/dev/mem at \(hexadecimal(address))"
    case .uio(let path): path
    case .ivshmem(let device): device.path
    case .vfio(let address): "PCI device \(address) through vfio-pci"
    }
  }

  /// How Linux maps it; nil when that is up to the driver behind the file. (drivers/char/mem.c with O_SYNC: what is not the
  /// kernel's own memory is Device memory on arm, uncached elsewhere; UIO, VFIO and PCI resources are uncached.)
  var attribute: Link.Attribute? {
    switch self {
    case .file(let path), .ownFile(let path): fileKind(path) == .regular || fileKind(path) == .none ? .cached : nil
    case .physical, .uio, .vfio: .device
    case .ivshmem(let device): device.isWriteCombined ? .writeCombined : .device
    }
  }
}

/// Why a region can't be reached. `text` is a sentence without its full stop.
public indirect enum MappingError: Error, Sendable {
  case cannotOpen(MemorySource, Errno)
  case notOurs(MemorySource)
  case tooSmall(MemorySource, bytes: Int64, needed: Int)
  /// A file that is no region. `described` is the size that the device tree says.
  case otherContents(MemorySource, bytes: Int64, described: UInt64?)
  /// There is no room for all of the file.
  case cannotFill(MemorySource, needed: Int, Errno)
  case cannotMap(MemorySource, Errno)
  /// The device tree's PCI address is no ivshmem device's.
  case noIvshmem(address: String, why: String)
  /// The UIO device of the region's node has another memory.
  case otherUIO(String)
  /// The UIO device's second memory doesn't have the register of `doorbell-write`.
  case noRegister(String, UInt32)
  /// The device's interrupt can't be had.
  case noInterrupt(MemorySource, Errno)
  /// The device tree wants another attribute than this source gives.
  case otherAttribute(MemorySource, is: Link.Attribute, shouldBe: Link.Attribute)
  /// The region that the device tree describes doesn't fit its channels.
  case badLayout(size: UInt64, LinkLayout.Invalid)

  /// Whether this user lacks a right.
  public var isPermission: Bool {
    switch self {
    case .cannotOpen(_, let errno), .cannotMap(_, let errno): errno.isPermission
    case .notOurs: true
    default: false
    }
  }

  public var text: String {
    switch self {
    case .cannotOpen(let source, let errno) where errno.isPermission:
      "cannot open \(source.text): \(errno.text); run as root or give this user access to it"
    case .cannotOpen(.vfio(let address), let errno) where errno.code == EBUSY:
      "PCI device \(address) is in use: vfio-pci lets one process at a time have it; end the other one"
    case .cannotOpen(let source, let errno): "cannot open \(source.text): \(errno.text)"
    case .notOurs(let source): "\(source.text) belongs to another user; remove it, or name another file with --memory"
    case .tooSmall(let source, let bytes, let needed):
      "\(source.text) has \(bytes) bytes, but the link needs \(needed); make it larger or mend the device tree's reg"
    case .otherContents(let source, let bytes, let described):
      "\(source.text) has \(bytes) bytes of something else: it \(described.map { "is not as long as the link's region, \($0) bytes, and doesn't begin as one" } ?? "doesn't begin as a link's region"); it was left as it is. Name another file with --memory, or remove this one"
    case .cannotFill(let source, let needed, let errno):
      "\(source.text) can't have the \(needed) bytes that the link needs: \(errno.text); make room on its file system, or name a file elsewhere with --memory on both sides"
    case .cannotMap(let source, let errno) where errno.code == EPERM:
      "the kernel does not let \(source.text) be mapped; the region needs no-map in the device tree (STRICT_DEVMEM)"
    case .cannotMap(let source, let errno): "cannot map \(source.text): \(errno.text)"
    case .noIvshmem(let address, let why): "PCI device \(address) \(why); mend pci-address in the device tree"
    case .otherUIO(let path):
      "the first memory of \(path) is not what the reg of its node says; is the device tree the running one?"
    case .noRegister(let path, let offset):
      "\(path) has no register at \(hexadecimal(offset)) of a second memory; mend doorbell-write, or the reg of its node"
    case .noInterrupt(let source, let errno):
      "\(source.text): its interrupt can't be had: \(errno.text); is it an ivshmem-doorbell with vectors?"
    case .otherAttribute(let source, let found, let wanted):
      "\(source.text) is mapped as \(found.name) memory, but the device tree's mapping is \"\(wanted.name)\"; name a source of that kind with --memory, or change mapping in both device trees"
    case .badLayout(let size, .tooSmall(let needed)):
      "its region has \(size) bytes, but its channels need \(needed); enlarge reg or lower channels in both device trees"
    case .badLayout(_, .badChannels): "it must have 1 to \(LinkLayout.maximumChannels) channels"
    }
  }
}

/// A link's region, mapped until the last reference goes, and the locks on its parts that this process holds.
@safe
public final class Mapping: Sendable {
  public let region: SharedRegion
  public let source: MemorySource
  let file: FileDescriptor
  // Unsafe, since a pointer is not Sendable; it is set once, guard.c reads and writes what it points to atomically, and frees none.
  private nonisolated(unsafe) let watch: UnsafeMutablePointer<lx_guard>
  let lockBase: Int64
  /// A device that this process has for itself: there is nobody to lock out.
  private let device: VFIODevice?

  /// - Parameters:
  ///   - size: Bytes to map. A new file gets this size; an old one must have it.
  ///   - described: Bytes of the region by the device tree, which may be more than a link uses; nil where it doesn't say. A file of another
  ///     size has to look like a region.
  ///   - device: What a `.vfio` source is.
  public init(_ source: MemorySource, size: Int, described: UInt64?, device: VFIODevice? = nil) throws(MappingError) {
    let offset: UInt64
    let opened: FileDescriptor
    switch source {
    case .file(let path):
      offset = 0
      opened = try RegionFile(path, for: source).filled(size, described: described)
    case .ownFile(let path):
      offset = 0
      opened = try RegionFile(path, flags: O_NOFOLLOW, for: source).filled(size, described: described)
    default:
      do throws(Errno) {
        switch source {
        case .file, .ownFile: throw Errno(EINVAL)
        case .physical(let address):
          offset = address
          opened = try FileDescriptor(opening: "/dev/mem", .readWrite, flags: O_SYNC)
        case .uio(let path):
          offset = 0  // memory N of a UIO device is at N pages
          opened = try FileDescriptor(opening: path, .readWrite)
        case .ivshmem(let device):
          offset = 0
          opened = try device.open()
        case .vfio:
          guard let device else { throw Errno(ENODEV) }
          offset = device.memory
          opened = FileDescriptor(owning: try check(dup(device.file.number)))
        }
      } catch {
        throw .cannotOpen(source, error)
      }
    }
    guard let mapped = unsafe lx_map(opened.number, offset, size) else { throw .cannotMap(source, .last) }
    guard let watch = unsafe lx_guard_add(mapped, size) else {
      unsafe _ = munmap(mapped, size)
      throw .cannotMap(source, Errno(ENOMEM))
    }
    unsafe self.watch = watch
    // SAFETY: mapped with this size just now, unmapped in deinit.
    var isWriteCombined = false
    if case .writeCombined? = source.attribute { isWriteCombined = true }
    unsafe region = SharedRegion(base: mapped, size: size, isWriteCombined: isWriteCombined)
    self.source = source
    file = opened
    self.device = device
    // Locks need a place each that doesn't collide with another link in the same /dev/mem.
    lockBase = Int64(truncatingIfNeeded: offset & 0x7fff_ffff_ffff_f000)
  }

  /// Of a region whose size the device tree says.
  public convenience init(_ source: MemorySource, size: Int) throws(MappingError) {
    try self.init(source, size: size, described: UInt64(size))
  }

  deinit {
    unsafe lx_guard_remove(watch)
    unsafe _ = munmap(region.address, region.size)
  }

  /// Whether the region went away under this process: its file was cut short. What is mapped since then are zeros, and this process's
  /// alone. Noticed by whoever touches what is no longer there.
  public var isLost: Bool { unsafe lx_guard_is_lost(watch) != 0 }

  /// Touches the region's end, so that `isLost` is true afterwards if the file no longer reaches that far.
  public func probe() { _ = region.word(at: region.size - 4).load() }

  /// The region's file, where it is one.
  public var path: String? {
    switch source {
    case .file(let path), .ownFile(let path): path
    default: nil
    }
  }

  /// Whether the region is a file that others no longer find: it was removed, or another one took its name.
  public var isRemoved: Bool {
    guard let path else { return false }
    return unsafe lx_is_removed(file.number, path.systemPath) != 0
  }

  /// Whether `path` names this mapping's file, or device.
  func isFile(at path: String) -> Bool { unsafe lx_is_at(file.number, path.systemPath) != 0 }

  /// The region's file when no owner has ever said anything in it.
  public var unusedFile: String? { LinkIdentity(reading: region).magic == LinkLayout.magic ? nil : path }

  /// What happened when `isLost`: "its region /dev/shm/x was cut short while in use".
  public var lossText: String {
    path.map { "its region \($0) was cut short while in use" } ?? "its region (\(source.text)) can't be reached any more"
  }

  /// What one process of this guest can hold alone.
  public enum Part: Sendable {
    case owner
    case channel(Int)
  }

  /// Takes `part` for this process until the mapping goes. False when another process has it; the kernel gives it back
  /// when that process ends, however it ends.
  public func lock(_ part: Part) throws(Errno) -> Bool {
    if device != nil { return true }
    let place: Int64 =
      switch part {
      case .owner: 0
      case .channel(let index): 1 + Int64(index)
      }
    if lx_lock_byte(file.number, lockBase + place) == 0 { return true }
    let errno = Errno.last
    if errno.code == EAGAIN || errno.code == EACCES { return false }
    throw errno
  }
}
