import CLinux
import Foundation
import Linux
import RingBuffer
import TestSupport
import Testing

@testable import SharedMemory

@Suite("Doorbells")
struct DoorbellTests {
  private func ends(_ mapping: Mapping) throws -> LinkLayout { try LinkLayout(size: mapping.region.size, channels: 1) }

  @Test(
    "A sleeper is woken by what is published, thousands of times, and none is lost",
    arguments: [Doorbell.futex, .poll(nanoseconds: 20_000)])
  func wake(doorbell: Doorbell) throws {
    let path = temporaryMemory()
    defer { unlink(path) }
    let mapping = try Mapping(.file(path), size: 1 << 16)
    let layout = try ends(mapping)
    let count = 3000
    let done = DispatchSemaphore(value: 0)
    let thread = Thread {
      var owner = Endpoint(mapping.region, layout: layout, channel: 0, role: .owner)
      var message = MessageBuffer(capacity: 256)
      owner.start(session: 1)
      var received = 0
      while received < count {
        if owner.refresh() != .none { doorbell.ring(&owner) }
        while owner.state == .established, (try? owner.consumer.receive(into: &message)) == true {
          received += 1
          _ = try? owner.producer.send(message)
          doorbell.ringIfNeeded(&owner)
        }
        if received < count { doorbell.sleep(&owner, atMost: 10_000_000_000) }
      }
      done.signal()
    }
    thread.start()
    var borrower = Endpoint(mapping.region, layout: layout, channel: 0, role: .borrower)
    var message = MessageBuffer(capacity: 256)
    borrower.start(session: 2)
    doorbell.ring(&borrower)
    while borrower.state != .established {
      if borrower.refresh() != .none { doorbell.ring(&borrower) }
      if borrower.state != .established { doorbell.sleep(&borrower, atMost: 10_000_000_000) }
    }
    message.count = 5
    for _ in 0..<count {
      let isSent = tryOrFalse { try borrower.producer.send(message) }
      #expect(isSent)
      doorbell.ringIfNeeded(&borrower)
      while !tryOrFalse({ try borrower.consumer.receive(into: &message) }) { doorbell.sleep(&borrower, atMost: 10_000_000_000) }
    }
    done.wait()
  }

  @Test("Who asked spins until a peer that polls has looked, unless it is not to spin; with a bell as long as it was told")
  func spin() throws {
    let path = temporaryMemory()
    defer { unlink(path) }
    let mapping = try Mapping(.file(path), size: 1 << 16)
    let endpoint = Endpoint(mapping.region, layout: try ends(mapping), channel: 0, role: .borrower)
    func spin(_ doorbell: Doorbell, _ standard: UInt64) -> UInt64 { doorbell.spin(endpoint, atLeast: standard) }
    #expect(spin(.futex, 50_000) == 50_000)
    #expect(spin(.poll(nanoseconds: 200_000), 50_000) == 400_000)
    #expect(spin(.poll(nanoseconds: 10_000), 50_000) == 50_000)
    // A second of spinning helps nobody.
    #expect(spin(.poll(nanoseconds: 1_000_000_000), 50_000) == 1_000_000)
    #expect(spin(.poll(nanoseconds: .max), 2_000_000) == 2_000_000)
    #expect(spin(.poll(nanoseconds: 200_000), 0) == 0)
  }

  @Test("A watch turns changes of a futex doorbell into an event, and ends when told")
  func watch() throws {
    let path = temporaryMemory()
    defer { unlink(path) }
    let mapping = try Mapping(.file(path), size: 4096)
    let event = lx_eventfd(0)
    defer { close(event) }
    // Many watches: what is rung while a watch begins counts too.
    for _ in 0..<50 {
      let watch = try FutexWatch(mapping.region.word(at: 64), of: mapping, event: event)
      for value in 1...3 as ClosedRange<UInt32> {
        mapping.region.word(at: 64).store(value)
        _ = lx_futex_wake(mapping.region.word(at: 64).address)
        var waiting = pollfd(fd: event, events: Int16(POLLIN), revents: 0)
        // Only to end a test that fails: the event comes at once.
        #expect(poll(&waiting, 1, 60_000) == 1)
        var count: eventfd_t = 0
        eventfd_read(event, &count)
      }
      _ = watch
    }
  }

  @Test("A watch never writes to what took the number of its closed event")
  func closedEvent() throws {
    let (path, other) = (temporaryMemory(), temporaryMemory())
    defer {
      unlink(path)
      unlink(other)
    }
    let mapping = try Mapping(.file(path), size: 4096)
    let event = lx_eventfd(0)
    let kept = dup(event)
    defer {
      close(event)
      close(kept)
    }
    let watch = try FutexWatch(mapping.region.word(at: 64), of: mapping, event: event)
    let file = try FileDescriptor(opening: other, .createReadWrite)
    #expect(dup2(file.number, event) == event)
    mapping.region.word(at: 64).store(1)
    _ = lx_futex_wake(mapping.region.word(at: 64).address)
    var waiting = pollfd(fd: kept, events: Int16(POLLIN), revents: 0)
    // Only to end a test that fails: the event comes at once.
    #expect(poll(&waiting, 1, 10_000) == 1)
    #expect(lx_file_size(file.number) == 0)
    _ = watch
  }
}

private func tryOrFalse(_ body: () throws -> Bool) -> Bool { (try? body()) ?? false }
