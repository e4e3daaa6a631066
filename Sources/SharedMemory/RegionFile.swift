import CLinux
import Linux
import Text
import RingBuffer

/// A link's region as a file: opened, or made when it is missing.
struct RegionFile: ~Copyable {
  private let descriptor: FileDescriptor
  private let path: String
  private let source: MemorySource
  /// This process has just made it.
  private let isNew: Bool

  /// - Parameter flags: More `O_` flags.
  init(_ path: String, flags: Int32 = 0, for source: MemorySource) throws(MappingError) {
    self.path = path
    self.source = source
    do throws(Errno) {
      let (number, isNew) = try openOrMake(path, flags)
      descriptor = FileDescriptor(owning: number)
      self.isNew = isNew
    } catch {
      throw .cannotOpen(source, error)
    }
  }

  /// Refuses what is some other file: a program that maps it writes over it.
  ///
  /// A region that was used begins with the owner's identity; where only a borrower has been yet, with zeros but for its control words
  /// (Spec 2 §2). What has just the size that the device tree says is meant: it may be memory with anything in it.
  func check(_ size: Int, described: UInt64?) throws(MappingError) {
    let bytes = lx_file_size(descriptor.number)
    if bytes == 0 { return }
    guard bytes >= Int64(size) else { throw .tooSmall(source, bytes: bytes, needed: size) }
    if let described, UInt64(bytes) == described { return }
    var start = [UInt8](repeating: 0, count: 4096)
    // What can't be read is no file that could lose anything: a device's memory in sysfs.
    guard unsafe pread(descriptor.number, &start, start.count, 0) >= 0 else { return }
    if UInt32(start[0]) | UInt32(start[1]) << 8 | UInt32(start[2]) << 16 | UInt32(start[3]) << 24 == LinkLayout.magic { return }
    for (index, byte) in start.enumerated() where byte != 0 {
      let isBorrowers = index >= 0x100 && index < 0x100 + 0x100 * LinkLayout.maximumChannels && index & 0x80 != 0
      if !isBorrowers { throw .otherContents(source, bytes: bytes, described: described) }
    }
  }

  /// The file, if it may be a region, once it has all of its `size` bytes, so that no access to them can fail later for want of room. What is in it stays; a
  /// file that this process has made and that gets no room is removed.
  consuming func filled(_ size: Int, described: UInt64?) throws(MappingError) -> FileDescriptor {
    guard lx_is_regular(lx_file_mode(descriptor.number)) != 0 else { return descriptor }
    if case .ownFile = source {
      let owner = lx_file_owner(descriptor.number)
      guard owner == userID || owner == 0 else { throw .notOurs(source) }
    }
    try check(size, described: described)
    var code = lx_reserve(descriptor.number, Int64(size))
    if code == EOPNOTSUPP || code == ENOSYS {
      // Such a file system has no say in advance. Both sides may get here at once: growing twice to one size does no harm.
      code = lx_file_size(descriptor.number) > 0 || ftruncate(descriptor.number, off_t(size)) == 0 ? 0 : lx_errno()
    }
    if code == 0 { return descriptor }
    if isNew, unsafe lx_is_at(descriptor.number, path.systemPath) != 0 { unsafe _ = unlink(path.systemPath) }
    throw .cannotFill(source, needed: size, Errno(code))
  }
}

/// Opens the file, or makes it with mode 0600.
private func openOrMake(_ path: String, _ flags: Int32) throws(Errno) -> (number: Int32, isNew: Bool) {
  for _ in 0..<64 {
    // Without O_CREAT, which the kernel forbids even root in /tmp for what another user made (fs.protected_regular, proc_sys_fs(5)).
    var number = unsafe lx_open(path.systemPath, O_RDWR | flags, 0)
    if number >= 0 { return (number, false) }
    guard Errno.last.isMissing else { throw .last }
    number = unsafe lx_open(path.systemPath, O_RDWR | O_CREAT | O_EXCL | flags, 0o600)
    if number >= 0 { return (number, true) }
    // Another process has made it meanwhile.
    guard lx_errno() == EEXIST else { throw .last }
  }
  // A link to nothing: no file can be opened, and none of this name be made.
  return (try check(unsafe lx_open(path.systemPath, O_RDWR | O_CREAT | flags, 0o600)), false)
}
