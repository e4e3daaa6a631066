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
