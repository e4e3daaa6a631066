import BrokerProtocol
import CLinux
import GuestAgent
import Linux
import Program
import Text
import OwnerService
import Partition
import RingBuffer
import SharedMemory

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

/// Writes 5 bytes `count` times, from the agent's library through ring, grant check and null UART and back, in this thread alone: what a
/// whole request costs both sides, without the looks in vain of whoever waits.
func requests(count: Int) {
  let path = "/dev/shm/guestbroker-count-\(randomSession())"
  defer { unlink(path) }
  do {
    let (owner, _) = try Partition.load(deviceTree: nil, builtInGuest: "guest1", running: [])
    var configuration = ServiceConfiguration(partition: owner, isExample: true)
    configuration.memory = [Assignment(name: owner.links[0].name, path: path)]
    configuration.bindings = [Assignment(name: "uart2", path: "null")]
    let service = try Service(configuration)
    let (borrower, _) = try Partition.load(deviceTree: nil, builtInGuest: "guest2", running: [])
    var agent = try Agent(borrower.links[0], AgentConfiguration(isExample: true, memory: path))
    service.start()
    while try !agent.shakeHands() { _ = service.turn() }
    try pass(count, service, &agent)
  } catch {
    lost()
  }
}

@inline(never)
private func pass(_ count: Int, _ service: Service, _ agent: inout Agent) throws(AgentError) {
  let text = Array("hello".utf8)
  for _ in 0..<count {
    var request = Request(id: 0, peripheralClass: .uart, operation: UARTOperation.write.rawValue, timeout: 1000)
    let start = try agent.post(&request, data: text.span.bytes)
    guard service.turn(), let response = try agent.collect(request.id, start: start), response.count == 5 else { lost() }
  }
}

private func lost() -> Never {
  printError("Benchmarks: a message was lost, or not done")
  exitProcess(ExitCode.software.rawValue)
}
