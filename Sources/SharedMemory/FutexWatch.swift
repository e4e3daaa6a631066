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
  private let context: UnsafeMutablePointer<Context>

  @safe
  private struct Context {
    let doorbell: SharedWord
    /// Keeps the doorbell's memory.
    let mapping: Mapping
    /// The doorbell's value when the watch was made: a ring before the thread runs is not missed.
    let initial: UInt32
    /// The thread's own, so that it never writes to what took a closed one's number.
    let event: Int32
    /// Private memory, shared by two threads of ours: 0 while the watch runs, 1 when it should end, 2 when it has.
    let phase: SharedWord
    let memory: UnsafeMutableRawPointer
  }

  /// - Parameters:
  ///   - doorbell: A word of `mapping`.
  ///   - event: A non-blocking eventfd, written whenever `doorbell` has changed. It stays the caller's, to close at any time.
  public init(_ doorbell: SharedWord, of mapping: Mapping, event: Int32) throws(Errno) {
    let event = try check(dup(event))
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)
    let phase = unsafe SharedRegion(base: memory, size: 64).word(at: 0)
    phase.store(0)
    let context = UnsafeMutablePointer<Context>.allocate(capacity: 1)
    unsafe context.initialize(
      to: Context(
        doorbell: doorbell, mapping: mapping, initial: doorbell.load(), event: event, phase: phase, memory: memory))
    var started: UInt = 0
    let body: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { raw in
      // SAFETY: the context that init passes below; deinit waits for this thread before it frees it.
      if let context = unsafe raw?.assumingMemoryBound(to: Context.self) { unsafe FutexWatch.watch(context.pointee) }
      return nil
    }
    let code = unsafe lx_thread(&started, body, context)
    guard code == 0 else {
      unsafe Self.free(context)
      throw Errno(code)
    }
    thread = started
    unsafe self.context = context
  }

  deinit {
    let phase = unsafe context.pointee.phase
    phase.storeReleasing(1)
    // The thread may be about to sleep, so one wake-up is not enough.
    while phase.loadAcquiring() != 2 {
      // Nobody can wake a thread that went to sleep on a page which its file has lost since: it stays, with all that it uses.
      unsafe context.pointee.mapping.probe()
      if unsafe context.pointee.mapping.isLost { return lx_thread_leave(thread) }
      unsafe _ = lx_futex_wake(context.pointee.doorbell.address)
      lx_sleep_ns(100_000)
    }
    lx_thread_join(thread)
    unsafe Self.free(context)
  }

  private static func free(_ context: UnsafeMutablePointer<Context>) {
    close(unsafe context.pointee.event)
    unsafe context.pointee.memory.deallocate()
    unsafe context.deinitialize(count: 1)
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
      // Nobody rings any more, and the kernel may have nothing to sleep on.
      if context.mapping.isLost { break }
      // A year: nothing to do until the word changes.
      unsafe _ = lx_futex_wait(context.doorbell.address, seen, 31_536_000_000_000_000)
    }
    context.phase.storeReleasing(2)
  }
}
