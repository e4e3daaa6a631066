import CLinux
import Linux
import Text

/// The messages of a program that must never wait for whoever reads them: a terminal may have been stopped (Ctrl-S), a pipe be full.
///
/// They go through a pipe of this process's own, which a thread copies to standard output and standard error. What doesn't fit is
/// dropped and counted. One thread at a time hands messages over.
public final class MessageSink {
  /// A message and its header are one write, which a pipe takes whole or not at all: up to PIPE_BUF.
  private static var maximumRecord: Int { 4096 }
  /// 1 for standard output or 2 for standard error, and the message's length: two bytes, the lower one first.
  private static var headerSize: Int { 3 }

  /// The pipe's end for messages. The thread ends when it is closed.
  private var pipe: Int32
  /// Readable when the thread has ended.
  private let done: FileDescriptor
  private var dropped = 0

  /// What the thread uses. It may outlive the sink.
  private struct Ends {
    let messages: Int32
    let done: Int32
    let output: Int32
    let error: Int32
  }

  /// - Parameters:
  ///   - output: What is standard output; it stays open.
  ///   - error: What is standard error, likewise.
  public init(output: Int32 = 1, error: Int32 = 2) throws(Errno) {
    let done = FileDescriptor(owning: try check(lx_eventfd(0)))
    var numbers: [Int32] = [-1, -1]
    _ = try check(unsafe lx_pipe(&numbers))
    let copy = dup(done.number)
    let context = UnsafeMutablePointer<Ends>.allocate(capacity: 1)
    unsafe context.initialize(to: Ends(messages: numbers[0], done: copy, output: output, error: error))
    var thread: UInt = 0
    let body: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { raw in
      // SAFETY: the context that init passes below, and leaves to this thread.
      if let context = unsafe raw?.assumingMemoryBound(to: Ends.self) {
        unsafe MessageSink.copy(context.pointee)
        unsafe context.deallocate()
      }
      return nil
    }
    let code = copy < 0 ? EMFILE : unsafe lx_thread(&thread, body, context)
    guard code == 0 else {
      unsafe context.deallocate()
      for number in numbers + [copy] { close(number) }
      throw Errno(code)
    }
    lx_thread_leave(thread)
    pipe = numbers[1]
    self.done = done
  }

  deinit { if pipe >= 0 { close(pipe) } }

  /// A line for standard output. Never waits.
  public func line(_ text: String) { put(text, 1) }

  /// A line for standard error. Never waits.
  public func error(_ text: String) { put(text, 2) }

  private func put(_ text: String, _ number: UInt8) {
    var text = text
    if dropped > 0 {
      text += " (\(dropped) \(dropped == 1 ? "message was" : "messages were") dropped: standard error was not read)"
    }
    let bytes = text.systemBytes.prefix(Self.maximumRecord - Self.headerSize - 1) + [0x0a]
    let record = [number, UInt8(truncatingIfNeeded: bytes.count), UInt8(truncatingIfNeeded: bytes.count >> 8)] + bytes
    let count = unsafe record.withUnsafeBytes { unsafe write(pipe, $0.baseAddress, $0.count) }
    dropped = count == record.count ? 0 : dropped + 1
  }

  /// At the program's end: waits until all messages are written, at most `limit` nanoseconds. None can be handed over afterwards.
  public func finish(within limit: UInt64 = 500_000_000) {
    guard pipe >= 0 else { return }
    close(pipe)
    pipe = -1
    let start = monotonicNanoseconds()
    while true {
      let passed = monotonicNanoseconds() &- start
      if passed >= limit || lx_wait_readable(done.number, limit &- passed) != 0 { return }
    }
  }

  // ---- The thread ----------------------------------------------------------------------------------------------------

  private static func copy(_ ends: Ends) {
    var header = [UInt8](repeating: 0, count: headerSize)
    var message = [UInt8](repeating: 0, count: maximumRecord)
    while fill(&header, headerSize, from: ends.messages) {
      let count = Int(header[1]) | Int(header[2]) << 8
      guard count <= message.count, fill(&message, count, from: ends.messages) else { break }
      deliver(message[..<count], to: header[0] == 1 ? ends.output : ends.error)
    }
    close(ends.messages)
    _ = eventfd_write(ends.done, 1)
    close(ends.done)
  }

  /// False at the pipe's end.
  private static func fill(_ buffer: inout [UInt8], _ count: Int, from number: Int32) -> Bool {
    var filled = 0
    while filled < count {
      let result = unsafe buffer.withUnsafeMutableBytes { unsafe read(number, $0.baseAddress! + filled, count - filled) }
      if result > 0 { filled += result } else if result == 0 || lx_errno() != EINTR { return false }
    }
    return true
  }

  /// Waits as long as it takes. A message that can't be written is forgotten.
  private static func deliver(_ bytes: ArraySlice<UInt8>, to number: Int32) {
    var rest = bytes
    while !rest.isEmpty {
      let count = unsafe rest.withUnsafeBytes { unsafe write(number, $0.baseAddress, $0.count) }
      if count > 0 {
        rest = rest.dropFirst(count)
      } else if lx_errno() == EAGAIN {
        _ = lx_wait_writable(number, .max)
      } else if lx_errno() != EINTR {
        return
      }
    }
  }
}
