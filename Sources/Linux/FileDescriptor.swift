import Text
import CLinux

/// An open file that closes itself.
public struct FileDescriptor: ~Copyable, Sendable {
  public let number: Int32

  /// Takes over `number`.
  public init(owning number: Int32) { self.number = number }

  @inlinable
  deinit { _ = close(number) }

  public enum Access: Sendable { case read, readWrite, createReadWrite }

  /// - Parameter flags: More `O_` flags; `O_CLOEXEC` is always set. New files get mode 0600.
  public init(opening path: String, _ access: Access, flags: Int32 = 0) throws(Errno) {
    let mode: Int32 =
      switch access {
      case .read: O_RDONLY
      case .readWrite: O_RDWR
      case .createReadWrite: O_RDWR | O_CREAT
      }
    number = try check(unsafe lx_open(path.systemPath, mode | flags, 0o600))
  }

  /// At most `buffer.count` bytes; 0 at the end.
  public func read(into buffer: inout [UInt8]) throws(Errno) -> Int { try readSome(number, into: &buffer) }

}

/// At most `buffer.count` bytes of standard input; 0 at its end. Waits for them, also where another process made it non-blocking.
///
/// - Throws: EINTR when `wasInterrupted`.
public func readStandardInput(into buffer: inout [UInt8]) throws(Errno) -> Int {
  while true {
    if wasInterrupted { throw .interrupted }
    // A signal that comes right before a read doesn't end it: so nothing is read before there is something.
    if lx_wait_readable(0, 100_000_000) == 0 { continue }
    do throws(Errno) {
      return try readSome(0, into: &buffer)
    } catch {
      guard error.code == EAGAIN else { throw error }
      _ = lx_wait_readable(0, .max)
    }
  }
}

private func readSome(_ number: Int32, into buffer: inout [UInt8]) throws(Errno) -> Int {
  while true {
    let count = unsafe buffer.withUnsafeMutableBytes { unsafe CLinux.read(number, $0.baseAddress, $0.count) }
    if count >= 0 { return count }
    guard lx_errno() == EINTR, !wasInterrupted else { throw .last }
  }
}

/// The whole of a file, of at most `limit` bytes. Reads on past what `stat` says: files of /proc and /sys claim size 0.
///
/// - Parameter waits: Whether to wait for what comes later, from a pipe or a file such as /proc/kmsg; else that is an error.
/// - Throws: `Errno.fileTooBig` when there is more than `limit`.
public func readFile(_ path: String, limit: Int, waits: Bool = true) throws(Errno) -> [UInt8] {
  let file = try FileDescriptor(opening: path, .read, flags: waits ? 0 : O_NONBLOCK)
  var content: [UInt8] = []
  // Most files are small, and a device tree has thousands of them.
  var buffer = [UInt8](repeating: 0, count: 512)
  while true {
    let count = try file.read(into: &buffer)
    if count == 0 { return content }
    guard content.count + count <= limit else { throw .fileTooBig }
    content += buffer[..<count]
    if count == buffer.count, count < 65536 { buffer = [UInt8](repeating: 0, count: count * 4) }
  }
}

/// Puts `content` into a file, whole or not at all: under another name beside it first. Mode 0666 but for the umask.
public func writeFile(_ path: String, _ content: [UInt8]) throws(Errno) {
  let draft = "\(path).\(randomSession())"
  let number = try check(unsafe lx_open(draft.systemPath, O_WRONLY | O_CREAT | O_EXCL, 0o666))
  guard writeBytes(content, to: number), fsync(number) == 0 || lx_errno() == EINVAL else {
    let error = Errno.last
    close(number)
    unsafe unlink(draft.systemPath)
    throw error
  }
  close(number)
  guard unsafe rename(draft.systemPath, path.systemPath) == 0 else {
    let error = Errno.last
    unsafe unlink(draft.systemPath)
    throw error
  }
}

/// Makes a directory, and those above it. No error when it is there.
public func makeDirectory(_ path: String) throws(Errno) {
  if fileKind(path) == .directory { return }
  let parts = path.parts(separatedBy: 0x2f)
  var made = ""
  for (index, part) in parts.enumerated() {
    made = index == 0 ? part : "\(made)/\(part)"
    if part.utf8.isEmpty || fileKind(made) == .directory { continue }
    guard unsafe mkdir(made.systemPath, 0o777) == 0 || lx_errno() == EEXIST && fileKind(made) == .directory else { throw .last }
  }
}

/// Names in a directory but "." and "..", in no order. `limit` bounds how many.
public func listDirectory(_ path: String, limit: Int) throws(Errno) -> [String] {
  guard let directory = unsafe opendir(path.systemPath) else { throw .last }
  defer { unsafe _ = closedir(directory) }
  var names: [String] = []
  while let entry = unsafe readdir(directory) {
    let name = unsafe String(systemText: lx_entry_name(entry))
    if sameText(name, ".") || sameText(name, "..") { continue }
    guard names.count < limit else { throw .fileTooBig }
    names.append(name)
  }
  return names
}

public enum FileKind: Sendable { case none, regular, directory, other }

/// What `path` names, following links.
public func fileKind(_ path: String) -> FileKind {
  let mode = unsafe lx_path_mode(path.systemPath)
  if mode == 0 { return .none }
  return lx_is_regular(mode) != 0 ? .regular : lx_is_directory(mode) != 0 ? .directory : .other
}

/// Whether both paths name one file or directory, following links.
public func isSameFile(_ a: String, _ b: String) -> Bool { unsafe lx_same_file(a.systemPath, b.systemPath) != 0 }

/// The path without links, "." and ".."; nil when it names nothing.
public func realPath(_ path: String) -> String? {
  guard let found = unsafe realpath(path.systemPath, nil) else { return nil }
  defer { unsafe free(found) }
  return unsafe String(systemText: found)
}

/// What a symbolic link says; nil when `path` is none.
public func linkTarget(_ path: String) -> String? {
  var buffer = [CChar](repeating: 0, count: 4096)
  let count = unsafe lx_readlink(path.systemPath, &buffer, buffer.count)
  guard count > 0 else { return nil }
  return String(systemBytes: buffer[..<count].map { UInt8(bitPattern: $0) })
}

/// The last part of what a symbolic link says: "vfio-pci" for a device's `driver` in sysfs. Nil when it is no link.
public func linkedName(_ path: String) -> String? { linkTarget(path)?.parts(separatedBy: 0x2f).last }
