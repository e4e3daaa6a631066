import CLinux

/// Writes to an inherited descriptor. Returns false when it can't (a closed pipe).
@discardableResult
public func writeBytes(_ bytes: [UInt8], to number: Int32) -> Bool { writeAll(bytes, to: number).error == nil }

/// Writes to an inherited descriptor. Where another process made that non-blocking, and it is full, this waits.
///
/// - Parameter patience: How long to wait each time, in nanoseconds.
/// - Returns: How many bytes were written, and why that isn't all: EINTR when `wasInterrupted` became true meanwhile.
public func writeAll(_ bytes: [UInt8], to number: Int32, patience: UInt64 = .max) -> (done: Int, error: Errno?) {
  var done = 0
  let wasInterruptedBefore = wasInterrupted
  while done < bytes.count {
    let count = unsafe bytes.withUnsafeBytes { unsafe write(number, $0.baseAddress! + done, $0.count - done) }
    if count > 0 {
      done += count
      continue
    }
    let error = count == 0 ? Errno.io : Errno.last
    if error.isInterruption, !wasInterrupted || wasInterruptedBefore { continue }
    guard error.code == EAGAIN else { return (done, error) }
    if lx_wait_writable(number, patience) != 0 { continue }
    if wasInterrupted, !wasInterruptedBefore { return (done, .interrupted) }
    if patience != .max { return (done, error) }
  }
  return (done, nil)
}
