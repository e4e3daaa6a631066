import CLinux
import Foundation
import Testing

@testable import Linux

@Suite("Running another program")
struct ProcessTests {
  @Test("What it writes and how it ends come back; it reads what it is given, or nothing")
  func output() throws {
    let (output, status) = try runProgram(
      ["sh", "-c", "cat; echo \"$0\"; exit 3", "a b"], input: Array("in\n".utf8), limit: 100)
    #expect(String(decoding: output, as: UTF8.self) == "in\na b\n")
    #expect(status == 3)
    #expect(try runProgram(["cat"], limit: 100) == ([], 0))
  }

  @Test("One that a signal ends has the status that a shell gives it")
  func signal() throws {
    #expect(try runProgram(["sh", "-c", "kill -KILL $$"], limit: 100).status == 128 + 9)
  }

  @Test("One that isn't there, and one that writes too much")
  func failures() {
    #expect(throws: Errno(2)) { try runProgram(["there-is-no-such-program"], limit: 100) }
    #expect(throws: Errno.fileTooBig) { try runProgram(["cat", "/dev/zero"], limit: 1_000_000) }
  }
}

@Suite("Processors")
struct ProcessorTests {
  // Whether to spin depends on it: a daemon that is tied to one of several still has a peer on another.
  @Test(
    "A thread that is tied to one of them doesn't change how many there are",
    .enabled(if: processorCount > 1, "needs two processors"))
  func pinned() {
    let before = processorCount
    let done = DispatchSemaphore(value: 0)
    nonisolated(unsafe) var found = 0
    let thread = Thread {
      if lx_pin(0) == 0 { found = processorCount }
      done.signal()
    }
    thread.start()
    done.wait()
    #expect(found == before)
  }
}
