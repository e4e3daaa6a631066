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

  @Test(
    "Spec 3 §5: brokerd killed and back at once is told as a restart, whatever its successor does to the ring that is being read",
    arguments: [0, 1, 7, 40])
  func restartIsNoViolation(answers: Int) throws {
    let line = try TerminalPair()
    let broker = try Broker(["--bind", "uart2=\(line.slavePath)"])
    for _ in 0..<4 {
      let reader = try broker.start(["uart", "read", "uart2"])
      usleep(100_000)
      for index in 1...max(1, answers) where index <= answers {
        line.write([0x61])
        try reader.wait { reader.outputText.count == index }
      }
      broker.program.kill()
      try broker.restart()
      #expect(reader.finish() == 69, "\(reader.errorText)")
      #expect(sentence(reader.errorText).hasPrefix("uart2: brokerd on guest1 ended or restarted in the middle"))
    }
  }

  @Test("brokerd restarted between two pieces of a stream: what its predecessor had may not have left, and is not said to have")
  func restartMidStream() throws {
    let line = try TerminalPair()
    let broker = try Broker(["--bind", "uart2=\(line.slavePath)"])
    let fifo = temporaryMemory()
    defer { unlink(fifo) }
    #expect(mkfifo(fifo, 0o600) == 0)
    let writer = try Shell(
      "exec '\(built("guestagent").path)' uart write uart2 - --json --memory 'g1g2=\(broker.memory)' < '\(fifo)'")
    let pipe = open(fifo, O_WRONLY)
    defer { close(pipe) }
    #expect(write(pipe, [UInt8](repeating: 0x31, count: 3000), 3000) == 3000)
    #expect(line.read(3000).count == 3000)
    broker.program.kill()
    try broker.restart()
    #expect(write(pipe, [UInt8](repeating: 0x32, count: 100), 100) == 100)
    #expect(writer.finish() == 69, "\(writer.errorText)")
    let text = try #require(writer.outputText.split(separator: "\n").last)
    let object = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    #expect(object["executed"] as? String == "maybe")
    #expect(object["bytes"] as? Int == 0)
    #expect(object["bytes_at_most"] as? Int == 3000)
  }

  @Test("What a killed writer asked for is not done when the line moves again; the next writer's bytes are")
  func killedWriter() throws {
    let line = try TerminalPair()
    let broker = try Broker(["--bind", "uart2=\(line.slavePath)"])
    _ = try broker.agent(["uart", "write", "uart2", "-", "--timeout", "100ms"], input: Data(repeating: 0x2e, count: 60_000))
    for code in [SIGKILL, SIGTERM, SIGINT] {
      let writer = try broker.start(["uart", "write", "uart2", "START-PUMP;", "--timeout", "1h"])
      usleep(500_000)
      kill(writer.process.processIdentifier, code)
      writer.finish()
      // The time in which a session counts as alive.
      sleep(2)
    }
    let end = try broker.start(["uart", "write", "uart2", "END", "--timeout", "60s"])
    var wire: [UInt8] = []
    while !wire.suffix(3).elementsEqual("END".utf8) { wire += line.read(1) }
    #expect(end.finish() == 0)
    #expect(wire.filter { $0 != 0x2e } == Array("END".utf8))
  }

  @Test(
    "Bytes that come after a reader was ended, however it was, are the next reader's", arguments: [SIGINT, SIGTERM, SIGKILL])
  func endedReader(signal: Int32) throws {
    let line = try TerminalPair()
    let broker = try Broker(["--bind", "uart2=\(line.slavePath)"])
    for gap: UInt32 in [0, 50_000, 600_000] {
      let reader = try broker.start(["uart", "read", "uart2"])
      usleep(400_000)
      kill(reader.process.processIdentifier, signal)
      reader.finish()
      usleep(gap)
      line.write(Array("0123456789".utf8))
      usleep(100_000)
      let next = try broker.agent(["uart", "read", "uart2", "-n", "10", "--timeout", "20s"])
      #expect(next.output == "0123456789", "\(next.errors)")
    }
  }

  @Test("A reader that was stopped for longer than a session lives goes on, and has lost nothing")
  func stoppedReader() throws {
    let line = try TerminalPair()
    let broker = try Broker(["--bind", "uart2=\(line.slavePath)"])
    let reader = try broker.start(["uart", "read", "uart2", "-n", "20"])
    usleep(300_000)
    kill(reader.process.processIdentifier, SIGSTOP)
    sleep(3)
    line.write(Array("while stopped".utf8))
    sleep(1)
    kill(reader.process.processIdentifier, SIGCONT)
    line.write(Array(" +later".utf8))
    #expect(reader.finish() == 0, "\(reader.errorText)")
    #expect(reader.outputText == "while stopped +later")
  }

  @Test("Both sides stopped and continued, in either order: nobody finds that the other one was silent")
  func bothStopped() throws {
    let broker = try Broker()
    for ownerFirst in [false, true] {
      let reader = try broker.start(["uart", "read", "uart2"])
      usleep(300_000)
      let processes = [broker.program, reader].map { $0.process.processIdentifier }
      for process in processes { kill(process, SIGSTOP) }
      sleep(4)
      for process in ownerFirst ? processes : processes.reversed() {
        kill(process, SIGCONT)
        usleep(50_000)
      }
      sleep(1)
      #expect(reader.process.isRunning, "\(reader.errorText)")
      reader.kill()
    }
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

  @Test(
    "With a futex doorbell and an established link, neither program uses 0.5 % of a core",
    .disabled(if: hasThreadSanitizer, "ThreadSanitizer uses as much by itself"))
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
