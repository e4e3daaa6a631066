import CLinux
import Linux
import Text
import SharedMemory

/// A name for a simulated line that is the same after each start: a symbolic link to its pseudo-terminal, which goes with this object.
final class LineName {
  let path: String
  private let terminal: String

  /// Replaces what a `brokerd` left that was killed: a link of this user's to a pseudo-terminal, and nothing else.
  ///
  /// - Throws: EEXIST when something else has the name.
  init(_ path: String, of terminal: String) throws(Errno) {
    self.path = path
    self.terminal = terminal
    if let target = linkTarget(path) {
      guard Self.isTerminal(target), unsafe lx_link_owner(path.systemPath) == userID else { throw Errno(EEXIST) }
      unsafe _ = unlink(path.systemPath)
    }
    _ = try check(unsafe symlink(terminal.systemPath, path.systemPath))
  }

  deinit {
    if let target = linkTarget(path), sameText(target, terminal) { unsafe _ = unlink(path.systemPath) }
  }

  /// "/dev/pts/3"
  private static func isTerminal(_ path: String) -> Bool {
    path.hasBytePrefix("/dev/pts/") && parseNumber(path.dropping(9)) != nil
  }

  /// Where an export's line has its name: beside the region of the first link that has a file; nil when none has.
  static func path(_ export: String, besideOneOf regions: [MemorySource]) -> String? {
    for region in regions {
      switch region {
      case .ownFile: return "/dev/shm/guestbroker-\(userID)-\(export)"
      case .file(let file) where fileKind(file) == .regular: return "\(file)-\(export)"
      default: continue
      }
    }
    return nil
  }
}
