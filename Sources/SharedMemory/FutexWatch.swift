import CLinux
import Linux
import RingBuffer

/// Turns rings of a futex doorbell into an event that epoll can wait for, next to devices: a thread that sleeps in the
/// kernel until the doorbell word changes.
///
/// Only the owner needs it, since it waits for many things at once.
@safe
public struct FutexWatch: ~Copyable {
  private let thread: UInt
  /// Keeps the doorbell's memory.
  private let mapping: Mapping
  /// The thread's own, so that it never writes to what took a closed one's number.
  private let event: FileDescriptor
  private let context: UnsafeMutablePointer<Context>

  @safe
  private struct Context {
    let doorbell: SharedWord
    /// The doorbell's value when the watch was made: a ring before the thread runs is not missed.
    let initial: UInt32
    let event: Int32
    /// Private memory, shared by two threads of ours: 0 while the watch runs, 1 when it should end, 2 when it has.
    let phase: SharedWord
    let memory: UnsafeMutableRawPointer
  }

  /// - Parameters:
  ///   - doorbell: A word of `mapping`.
  ///   - event: A non-blocking eventfd, written whenever `doorbell` has changed. It stays the caller's, to close at any time.
  public init(_ doorbell: SharedWord, of mapping: Mapping, event: Int32) throws(Errno) {
    let event = FileDescriptor(owning: try check(dup(event)))
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)
    let phase = unsafe SharedRegion(base: memory, size: 64).word(at: 0)
    phase.store(0)
    let context = UnsafeMutablePointer<Context>.allocate(capacity: 1)
    unsafe context.initialize(
      to: Context(doorbell: doorbell, initial: doorbell.load(), event: event.number, phase: phase, memory: memory))
    var started: UInt = 0
    let body: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { raw in
      // SAFETY: the context that init passes below; deinit waits for this thread before it frees it.
      if let context = unsafe raw?.assumingMemoryBound(to: Context.self) { unsafe FutexWatch.watch(context.pointee) }
      return nil
    }
    let code = unsafe lx_thread(&started, body, context)
    guard code == 0 else {
      unsafe memory.deallocate()
      unsafe context.deallocate()
      throw Errno(code)
    }
    thread = started
    self.mapping = mapping
    self.event = event
    unsafe self.context = context
  }

  deinit {
    let phase = unsafe context.pointee.phase
    phase.storeReleasing(1)
    // The thread may be about to sleep, so one wake-up is not enough.
    while phase.loadAcquiring() != 2 {
      unsafe _ = lx_futex_wake(context.pointee.doorbell.address)
      lx_sleep_ns(100_000)
    }
    lx_thread_join(thread)
    unsafe context.pointee.memory.deallocate()
    unsafe context.deallocate()
  }

  private static func watch(_ context: Context) {
    var seen = context.initial
    while context.phase.loadAcquiring() == 0 {
      let now = context.doorbell.load()
      if now != seen {
        seen = now
        _ = eventfd_write(context.event, 1)
      }
      // A year: nothing to do until the word changes.
      unsafe _ = lx_futex_wait(context.doorbell.address, seen, 31_536_000_000_000_000)
    }
    context.phase.storeReleasing(2)
  }
}
