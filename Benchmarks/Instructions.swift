import Linux
import RingBuffer

/// Sends and receives `count` messages of `bytes` bytes in this process alone: run twice under callgrind, with different
/// counts, the difference is what the messages cost in instructions, and the same each time.
func loop(count: Int, bytes: Int) {
  let size = 1 << 16
  let memory = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 4096)
  memory.initializeMemory(as: UInt8.self, repeating: 0, count: size)
  let region = SharedRegion(base: memory, size: size)
  guard let layout = try? LinkLayout(size: size, channels: 1) else { return }
  var owner = Endpoint(region, layout: layout, channel: 0, role: .owner)
  var borrower = Endpoint(region, layout: layout, channel: 0, role: .borrower)
  owner.start(session: 1)
  borrower.start(session: 2)
  while owner.state != .established || borrower.state != .established {
    _ = owner.refresh()
    _ = borrower.refresh()
  }
  pass(count, bytes, &borrower.producer, &owner.consumer)
  memory.deallocate()
}

@inline(never)
private func pass(_ count: Int, _ bytes: Int, _ producer: inout Producer, _ consumer: inout Consumer) {
  var message = MessageBuffer(capacity: max(8, bytes))
  message.count = bytes
  do throws(RingError) {
    for _ in 0..<count / window {
      for _ in 0..<window where try !producer.send(message) { lost() }
      for _ in 0..<window where try !consumer.receive(into: &message) { lost() }
    }
  } catch {
    lost()
  }
}

/// Messages that wait in the ring at once.
private let window = 28

private func lost() -> Never {
  printError("Benchmarks: a message was lost")
  exitProcess(ExitCode.software.rawValue)
}
