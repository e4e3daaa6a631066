import CLinux
import Foundation
import TestSupport
import Testing

@Suite("A simulated line has a name that stays", .serialized)
struct SimulatedLineTests {
  @Test("It is printed, leads to the line, and goes when brokerd ends in good order", arguments: [SIGTERM, SIGINT, SIGHUP])
  func name(signal: Int32) throws {
    let broker = try Broker()
    let path = try #require(broker.simulatedPath)
    #expect(broker.program.outputText == "brokerd: guest1 serves uart2 on \(path) (simulated; also \(broker.name))\n")
    #expect(try FileManager.default.destinationOfSymbolicLink(atPath: broker.name) == path)
    kill(broker.program.process.processIdentifier, signal)
    #expect(broker.program.finish() == 0)
    #expect(lx_link_owner(broker.name) == UInt32.max)
  }

  @Test("After brokerd was killed the next one takes the name over")
  func restart() throws {
    let broker = try Broker()
    broker.program.kill()
    #expect(lx_link_owner(broker.name) == geteuid())
    // What was there before need not be there any more.
    unlink(broker.name)
    symlink("/dev/pts/999999", broker.name)
    try broker.restart()
    #expect(try FileManager.default.destinationOfSymbolicLink(atPath: broker.name) == broker.simulatedPath)
    // A second one that can't serve the link leaves the name alone.
    let second = try Program("brokerd", ["--owner", "guest1", "--memory", "g1g2=\(broker.memory)"])
    #expect(second.finish() == 75)
    #expect(try FileManager.default.destinationOfSymbolicLink(atPath: broker.name) == broker.simulatedPath)
  }

  @Test("What is no link to a pseudo-terminal keeps the name", arguments: ["/dev/null", "/dev/pts/x", "/dev/pts/1/../../null"])
  func otherLink(target: String) throws {
    let memory = temporaryMemory()
    symlink(target, "\(memory)-uart2")
    let broker = try Broker(memory: memory)
    #expect(try FileManager.default.destinationOfSymbolicLink(atPath: broker.name) == target)
    #expect(broker.program.outputText.hasSuffix(" (simulated)\n"))
    #expect(
      sentence(broker.program.errorText)
        == "uart2: its line has no second name, since \(broker.name) can't be made a link: File exists")
    kill(broker.program.process.processIdentifier, SIGTERM)
    broker.program.finish()
    #expect(try FileManager.default.destinationOfSymbolicLink(atPath: broker.name) == target)
  }

  @Test("A file keeps the name, too")
  func otherFile() throws {
    let memory = temporaryMemory()
    _ = FileManager.default.createFile(atPath: "\(memory)-uart2", contents: Data("mine".utf8))
    let broker = try Broker(memory: memory)
    #expect(broker.program.errorText.contains("uart2: its line has no second name"))
    #expect(FileManager.default.contents(atPath: broker.name) == Data("mine".utf8))
  }

  @Test("A real line has only its own")
  func realLine() throws {
    let line = try TerminalPair()
    let broker = try Broker(["--bind", "uart2=\(line.slavePath)"])
    #expect(broker.program.outputText == "brokerd: guest1 serves uart2 on \(line.slavePath)\n")
    #expect(lx_link_owner(broker.name) == UInt32.max)
  }
}
