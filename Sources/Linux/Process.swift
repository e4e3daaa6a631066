import CLinux
import Synchronization

/// The first thing that a program does: sees to it that nothing it opens becomes its standard input, output or error.
public func claimStandardDescriptors() { lx_claim_standard_descriptors() }

/// This process's arguments, its name first. From /proc, because Embedded Swift has no `CommandLine`.
public func processArguments() -> [String] {
  guard var bytes = try? readFile("/proc/self/cmdline", limit: 4 << 20) else { return [] }
  if bytes.last == 0 { bytes.removeLast() }
  return String(decoding: bytes, as: UTF8.self).parts(separatedBy: 0)
}

public func exitProcess(_ status: Int32) -> Never { exit(status) }

public var userID: UInt32 { geteuid() }

/// How many processors this kernel runs on.
public var processorCount: Int { Int(lx_processor_count()) }

/// Nanoseconds that never go back (CLOCK_MONOTONIC). Each guest has its own: no such number crosses a link.
@inline(__always)
public func monotonicNanoseconds() -> UInt64 { lx_now_ns() }

/// From now on the first SIGINT only makes `wasInterrupted` true, and ends a sleep or a read; the second one ends the program.
public func catchInterrupt() {
  interrupted.store(false, ordering: .relaxed)  // makes sure that the handler isn't the first to touch it
  lx_on_interrupt { _ in interrupted.store(true, ordering: .relaxed) }
}

public var wasInterrupted: Bool { interrupted.load(ordering: .relaxed) }

/// Written by the signal handler, which can reach nothing but a global.
private let interrupted = Atomic<Bool>(false)

/// May return early: a signal came.
public func sleepNanoseconds(_ duration: UInt64) { lx_sleep_ns(duration) }

@inlinable @inline(__always)
public func spinHint() { lx_spin_hint() }

/// A number for a session: another one each time, as far as chance has it, and never 0. No secret.
public func randomSession() -> UInt32 {
  while true {
    let value = lx_random()
    if value != 0 { return value }
  }
}
