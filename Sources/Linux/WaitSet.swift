import CLinux

/// What a thread sleeps on: file descriptors, each under a key that comes back with what happened to it (epoll(7)).
///
/// Which events are wanted is said anew before each sleep, as it follows from what waits then; the kernel is told only of changes.
public struct WaitSet: ~Copyable {
  /// EPOLLIN, EPOLLOUT, EPOLLERR and EPOLLHUP.
  public typealias Events = UInt32

  private let epoll: FileDescriptor
  /// By key: what the kernel was told; nil while it watches nothing under it.
  private var watched: [(descriptor: Int32, events: Events)?] = []
  /// What epoll returns goes here.
  private var found = [lx_event](repeating: lx_event(), count: Int(lx_event_limit))

  public init() throws(Errno) { epoll = FileDescriptor(owning: try check(lx_epoll())) }

  /// A key for one more descriptor.
  public mutating func add() -> Int {
    watched.append(nil)
    return watched.count - 1
  }

  /// Says what is wanted of the descriptor under `key`. Errors and hang-ups come unasked as long as it is watched.
  ///
  /// - Parameter descriptor: Nil when there is none; one that was closed the kernel has forgotten by itself.
  public mutating func watch(_ key: Int, _ descriptor: Int32?, _ events: Events) throws(Errno) {
    guard let descriptor else {
      watched[key] = nil
      return
    }
    let known = watched[key]
    if let known, known == (descriptor, events) { return }
    // Until it is known what the kernel has, that is nothing.
    watched[key] = nil
    // One that was closed and opened anew may have its number: the kernel knows nothing of it then.
    let isKnown = known?.descriptor == descriptor
    if !isKnown || lx_epoll_set(epoll.number, descriptor, events, UInt64(key), 1) != 0 {
      _ = try check(lx_epoll_set(epoll.number, descriptor, events, UInt64(key), 0))
    }
    watched[key] = (descriptor, events)
  }

  /// Watches the descriptor under `key` no longer.
  public mutating func forget(_ key: Int, _ descriptor: Int32) {
    _ = lx_epoll_remove(epoll.number, descriptor)
    watched[key] = nil
  }

  /// Sleeps until something happens, at most so long.
  ///
  /// - Returns: How many things happened: 0 when the time is over, or a signal came.
  public mutating func wait(atMost nanoseconds: UInt64) -> Int {
    // SAFETY: the array has room for as many events as the call fills.
    max(0, Int(unsafe lx_epoll_wait(epoll.number, &found, nanoseconds)))
  }

  /// What happened, by its number: below what `wait` returned.
  public func event(_ index: Int) -> (key: Int, events: Events) { (Int(found[index].tag), found[index].events) }
}
