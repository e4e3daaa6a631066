import Linux
import Text

/// Which processes of this guest use a link's channels.
public struct ChannelHolders: Equatable, Sendable {
  /// Process ids, in ascending order. Those of other users are found by root only.
  public var processes: [UInt64]
  /// How many channels these hold.
  public var channels: Int

  public init(processes: [UInt64] = [], channels: Int = 0) {
    self.processes = processes
    self.channels = channels
  }
}

extension Mapping {
  /// Looks in /proc for processes that hold locks on channels: the same file, open, and in its `fdinfo` an open-file-description
  /// lock on a channel's byte (Spec 3 §1).
  ///
  /// - Complexity: a look at each process, of at most 131072, and at its open files, of at most 4096. Where something can't be looked at,
  ///   nothing is found.
  public func holders(channels: Int) -> ChannelHolders {
    var found = ChannelHolders()
    guard let name = linkedName("/proc/self/fd/\(file.number)"), let all = try? listDirectory("/proc", limit: 1 << 17) else {
      return found
    }
    for entry in all {
      guard let process = parseNumber(entry), let files = try? listDirectory("/proc/\(entry)/fd", limit: 4096) else { continue }
      var held = 0
      for number in files {
        let path = "/proc/\(entry)/fd/\(number)"
        // The name first: a look at a file itself may hang on one of a server's that is gone.
        guard let other = linkedName(path), sameText(other, name), isFile(at: path),
          let info = try? readFile("/proc/\(entry)/fdinfo/\(number)", limit: 1 << 16)
        else { continue }
        held += lockedBytes(info, from: UInt64(lockBase) + 1, count: UInt64(channels))
      }
      guard held > 0 else { continue }
      found.processes.append(process)
      found.channels += held
    }
    found.processes.sort()
    return found
  }
}

/// How many of `count` bytes from `first` on are locked by lines of a `fdinfo` (proc_pid_fdinfo(5)) such as
/// "lock:	1: OFDLCK  ADVISORY  WRITE -1 00:1b:35 1 2", whose last two numbers are the first and the last byte, or EOF.
func lockedBytes(_ info: [UInt8], from first: UInt64, count: UInt64) -> Int {
  var locked: UInt64 = 0
  for line in String(decoding: info, as: UTF8.self).parts(separatedBy: 0x0a) where line.hasBytePrefix("lock:") {
    let words = line.dropping(5).parts(separatedBy: 0x20).filter { !$0.utf8.isEmpty }
    guard words.count == 8, sameText(words[1], "OFDLCK"), let start = parseNumber(words[6]) else { continue }
    let end = parseNumber(words[7]) ?? .max
    let (low, high) = (max(start, first), min(end, first &+ count &- 1))
    if low <= high { locked += high - low + 1 }
  }
  return Int(clamping: locked)
}
