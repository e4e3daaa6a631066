import Text
import CLinux

/// The first thing that a program does: sees to it that nothing it opens becomes its standard input, output or error.
public func claimStandardDescriptors() { lx_claim_standard_descriptors() }

/// Whether this process is a service of systemd: its standard output or error goes to the journal.
public var isService: Bool { lx_is_journal(1) != 0 || lx_is_journal(2) != 0 }

/// This process's arguments, its name first, as system text (`String.init(systemBytes:)`).
public func processArguments() -> [String] {
  (0..<lx_argument_count()).map { index in
    let argument = unsafe lx_argument(index)
    return unsafe String(systemText: argument)
  }
}

/// Runs another program, found in `PATH`, to its end. It has this process's standard error.
///
/// - Parameters:
///   - words: Its name and its arguments.
///   - input: What it reads as its standard input; nil for nothing.
///   - limit: The most that it may write; it is killed when it writes more.
/// - Returns: What it wrote to its standard output, and its exit status as a shell has it: 128 and the number of the signal that killed it.
/// - Throws: `ENOENT` when there is no such program, `Errno.fileTooBig` when it wrote more than `limit`.
public func runProgram(_ words: [String], input: [UInt8]? = nil, limit: Int) throws(Errno) -> (output: [UInt8], status: Int32) {
  var file: Int32 = -1
  if let input {
    file = try check(unsafe lx_memory_file("input"))
    guard writeBytes(input, to: file), lseek(file, 0, SEEK_SET) == 0 else {
      let error = Errno.last
      close(file)
      throw error
    }
  }
  var text = words.reduce(into: [UInt8]()) { $0 += $1.systemBytes + [0] }
  var output: Int32 = -1
  let process = unsafe text.withUnsafeMutableBytes {
    unsafe lx_spawn($0.baseAddress!.assumingMemoryBound(to: CChar.self), words.count, file, &output)
  }
  let failure = Errno.last
  if file >= 0 { close(file) }
  guard process > 0 else { throw failure }
  let pipe = FileDescriptor(owning: output)
  var result: [UInt8] = []
  var problem: Errno?
  var buffer = [UInt8](repeating: 0, count: 65536)
  do throws(Errno) {
    while true {
      let count = try pipe.read(into: &buffer)
      if count == 0 { break }
      guard result.count + count <= limit else { throw .fileTooBig }
      result += buffer[..<count]
    }
  } catch {
    problem = error
    kill(process, SIGKILL)
  }
  let status = lx_wait(process)
  if let problem { throw problem }
  guard status >= 0 else { throw .last }
  return (result, status)
}

public func exitProcess(_ status: Int32) -> Never { exit(status) }

public var userID: UInt32 { geteuid() }

/// How many processors this kernel runs on; in a guest's static program, how many this process may run on.
public var processorCount: Int { Int(lx_processor_count()) }

/// Nanoseconds that never go back (CLOCK_MONOTONIC). Each guest has its own: no such number crosses a link.
@inline(__always)
public func monotonicNanoseconds() -> UInt64 { lx_now_ns() }

/// From now on the first SIGINT, SIGTERM or SIGHUP only makes `wasInterrupted` true, and ends a sleep or a read; the second one ends the
/// program. A signal that this process was started to ignore stays ignored: nohup and a shell's background do that.
public func catchTermination() { lx_catch_termination() }

/// Whether one of the signals of `catchTermination` came.
public var wasInterrupted: Bool { lx_caught_signal() != 0 }

/// From now on output that cannot be written is an error: EPIPE where nobody reads, EFBIG beyond `ulimit -f`. By default either ends
/// the program without a word.
public func ignoreWriteSignals() { lx_ignore_write_signals() }

/// May return early: a signal came.
public func sleepNanoseconds(_ duration: UInt64) { lx_sleep_ns(duration) }

/// Sleeps until the time is over or `wasInterrupted`. A signal that comes right before a sleep doesn't end it: so it looks every
/// tenth of a second.
public func sleepUnlessInterrupted(_ duration: UInt64) {
  let start = monotonicNanoseconds()
  while !wasInterrupted {
    let passed = monotonicNanoseconds() &- start
    if passed >= duration { return }
    lx_sleep_ns(min(duration &- passed, 100_000_000))
  }
}

@inlinable @inline(__always)
public func spinHint() { lx_spin_hint() }

/// A number for a session: another one each time, as far as chance has it, and never 0. No secret.
public func randomSession() -> UInt32 {
  while true {
    let value = lx_random()
    if value != 0 { return value }
  }
}
