import CLinux
import Foundation
import TestSupport
import Testing

@Suite("Either side may die at any moment and come back", .serialized)
struct RestartTests {
  @Test("After kill -9 of either program at a random point, the next request works: 200 times in a row")
  func killEither() throws {
    var generator = SeededGenerator("killEither")
    let line = try TerminalPair()
    let broker = try Broker(["--bind", "uart2=\(line.slavePath)"])
    let drain = Thread { [line] in
      // The line is always read, so that what a killed writer left doesn't block the next one.
      var buffer = [UInt8](repeating: 0, count: 65536)
      while !Thread.current.isCancelled { if read(line.master, &buffer, buffer.count) <= 0 { usleep(500) } }
    }
    drain.start()
    defer { drain.cancel() }
    for round in 0..<200 {
      let writer = try broker.start(["uart", "write", "uart2", "-"], input: Data(count: 1 << 18))
      usleep(UInt32.random(in: 0...20_000, using: &generator))
      if Bool.random(using: &generator) {
        broker.program.kill()
        try broker.restart()
        writer.kill()
      } else {
        writer.kill()
      }
      let result = try broker.agent(["uart", "write", "uart2", "hello"])
      #expect(result.code == 0, "round \(round): \(result.errors)")
      if result.code != 0 { break }
    }
  }

  @Test("brokerd killed in the middle of a write: how much was written, and whether the rest was executed")
  func killedInTheMiddle() throws {
    let line = try TerminalPair()
    let broker = try Broker(["--bind", "uart2=\(line.slavePath)"])
    // Nobody reads the line, so the write stands still.
    let writer = try broker.start(["uart", "write", "uart2", "-", "--json", "--timeout", "30s"], input: Data(count: 1 << 20))
    var waiting: Int32 = 0
    for _ in 0..<2000 {
      // FIONREAD of the master: what the line holds for whoever reads it.
      _ = ioctl(line.master, UInt(FIONREAD), &waiting)
      if waiting > 0 { break }
      usleep(1000)
    }
    usleep(200_000)
    broker.program.kill()
    #expect(writer.finish() == 69, "\(writer.errorText)")
    #expect(writer.errorText.contains("guest1 fell silent in the middle"))
    let text = try #require(writer.outputText.split(separator: "\n").last)
    let object = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    #expect(["maybe", "yes"].contains(object["executed"] as? String ?? ""))
    let claimed = try #require(object["bytes"] as? Int)
    #expect(line.read(claimed).count == claimed)
  }

  @Test("brokerd stopped in good order answers what is under way with ECANCELED")
  func stoppedInTheMiddle() throws {
    let line = try TerminalPair()
    let broker = try Broker(["--bind", "uart2=\(line.slavePath)"])
    let reader = try broker.start(["uart", "read", "uart2", "-n", "2"])
    line.write([0x61])
    try reader.wait { reader.outputText == "a" }
    kill(broker.program.process.processIdentifier, SIGTERM)
    #expect(broker.program.finish() == 0)
    let code = reader.finish()
    #expect(code == 75 || code == 69, "\(code): \(reader.errorText)")
  }

  @Test("guestagent may start first and wait for brokerd")
  func agentFirst() throws {
    let memory = temporaryMemory()
    let agent = try Program("guestagent", ["uart", "write", "uart2", "hello", "--memory", "g1g2=\(memory)", "--wait", "60s"])
    usleep(300_000)
    #expect(agent.process.isRunning)
    let broker = try Broker(memory: memory)
    #expect(agent.finish() == 0, "\(agent.errorText)")
    withExtendedLifetime(broker) {}
  }
}

@Suite("Idle", .serialized)
struct IdleTests {
  /// Processor time of a process so far, in clock ticks (proc(5), fields utime and stime).
  private func ticks(_ program: Program) throws -> Int {
    let text = try String(contentsOfFile: "/proc/\(program.process.processIdentifier)/stat", encoding: .utf8)
    let fields = try #require(text.split(separator: ")").last).split(separator: " ")
    return try #require(Int(fields[11])) + #require(Int(fields[12]))
  }

  @Test("With a futex doorbell and an established link, neither program uses 0.5 % of a core")
  func idle() throws {
    let broker = try Broker()
    let reader = try broker.start(["uart", "read", "uart2"])
    sleep(1)
    let before = (try ticks(broker.program), try ticks(reader))
    let seconds = 10
    sleep(UInt32(seconds))
    let perSecond = sysconf(Int32(_SC_CLK_TCK))
    let limit = max(1, perSecond * seconds / 200)
    let used = (try ticks(broker.program) - before.0, try ticks(reader) - before.1)
    print("idle over \(seconds) s: brokerd \(used.0), guestagent \(used.1) ticks of 1/\(perSecond) s")
    #expect(used.0 < limit)
    #expect(used.1 < limit)
  }
}
