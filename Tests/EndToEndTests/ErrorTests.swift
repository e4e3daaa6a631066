import CLinux
import Foundation
import RingBuffer
import SharedMemory
import TestSupport
import Testing

@Suite("Errors name the thing and the remedy, and have an exit code", .serialized)
struct ErrorTests {
  @Test("An unknown peripheral: what there is, and the near name")
  func unknownPeripheral() throws {
    let agent = try Program("guestagent", ["uart", "write", "uart3", "x"])
    #expect(agent.finish() == 68)
    #expect(sentence(agent.errorText) == "unknown peripheral 'uart3': guest2 imports uart2; did you mean uart2?")
  }

  @Test("No brokerd on the link")
  func noOwner() throws {
    let memory = temporaryMemory()
    defer { unlink(memory) }
    let agent = try Program("guestagent", ["uart", "write", "uart2", "x", "--memory", "g1g2=\(memory)", "--wait", "300ms"])
    #expect(agent.finish() == 69)
    #expect(agent.errorText.contains("uart2 is owned by guest1, which does not answer on link g1g2 (no heartbeat for "))
    #expect(agent.errorText.contains("is brokerd running there?"))
  }

  @Test("No permission for the region", .enabled(if: geteuid() != 0, "root may open everything"))
  func noPermission() throws {
    let memory = temporaryMemory()
    _ = FileManager.default.createFile(atPath: memory, contents: Data(count: 1 << 20), attributes: [.posixPermissions: 0])
    defer { unlink(memory) }
    let agent = try Program("guestagent", ["list", "--memory", "g1g2=\(memory)"])
    #expect(agent.finish() == 77)
    #expect(agent.errorText.contains("cannot open \(memory): Permission denied"))
  }

  @Test("A region too small names its size and the size needed")
  func regionTooSmall() throws {
    let memory = temporaryMemory()
    _ = FileManager.default.createFile(atPath: memory, contents: Data(count: 4096))
    defer { unlink(memory) }
    let broker = try Program("brokerd", ["--owner", "guest1", "--memory", "g1g2=\(memory)"])
    #expect(broker.finish() == 78)
    #expect(
      sentence(broker.errorText)
        == "link g1g2: \(memory) has 4096 bytes, but the link needs 1048576; make it larger or mend the device tree's reg")
  }

  @Test("Another layout version at the other end")
  func layoutMismatch() throws {
    let memory = temporaryMemory()
    defer { unlink(memory) }
    let layout = try LinkLayout(size: 1 << 20, channels: 4)
    let mapping = try Mapping(.file(memory), size: layout.size)
    var identity = LinkIdentity(layout, protocolVersion: 1)
    identity.layoutVersion = 9
    var owner = Endpoint(mapping.region, layout: layout, channel: 0, role: .owner, identity: identity)
    owner.start(session: 1)
    let agent = try Program("guestagent", ["uart", "write", "uart2", "x", "--memory", "g1g2=\(memory)"])
    while agent.process.isRunning {
      owner.beat()
      if owner.refresh() != .none { Doorbell.futex.ring(&owner) }
      usleep(1000)
    }
    #expect(agent.finish() == 76)
    #expect(
      sentence(agent.errorText)
        == "link g1g2: guest1 uses layout version 9, here 1; both guests need the same version of GuestBroker and device trees that agree"
    )
  }

  @Test("The device is missing")
  func deviceMissing() throws {
    let broker = try Program(
      "brokerd", ["--owner", "guest1", "--memory", "g1g2=\(temporaryMemory())", "--bind", "uart2=/dev/ttyNONE7"])
    #expect(broker.finish() == 72)
    #expect(
      sentence(broker.errorText)
        == "uart2: there is no /dev/ttyNONE7; name the right one with --bind uart2=/dev/tty..., or --simulate")
  }

  @Test("Without /dev/pts brokerd says what it wanted there", .enabled(if: geteuid() == 0, "mounting needs root"))
  func noPseudoTerminals() throws {
    let memory = temporaryMemory()
    defer { unlink(memory) }
    let brokerd = "\(built("brokerd").path) --owner guest1 --memory g1g2=\(memory)"
    let shell = try Shell("unshare -m sh -c 'mount -t tmpfs none /dev/pts && exec \(brokerd)'")
    #expect(shell.finish() == 72)
    // Which error it is depends on where the kernel looks.
    #expect(sentence(shell.errorText).hasPrefix("uart2: no pseudo-terminal can be made for the simulated line: "))
    #expect(sentence(shell.errorText).contains("; mount devpts on /dev/pts"))
  }

  @Test("Too few open files: what they were for", arguments: 4...14)
  func fewFiles(count: Int) throws {
    let memory = temporaryMemory()
    defer {
      unlink(memory)
      unlink("\(memory)-uart2")
    }
    let shell = try Shell("ulimit -n \(count); exec \(built("brokerd").path) --owner guest1 --memory g1g2=\(memory)")
    try shell.wait { shell.outputText.contains("serves uart2") || !shell.process.isRunning }
    if shell.process.isRunning { return shell.kill() }
    shell.finish()
    #expect(shell.errorText.contains("Too many open files"), "\(shell.errorText)")
    #expect(!shell.errorText.contains("the system refused"))
  }

  @Test("The device is in use")
  func deviceBusy() throws {
    let line = try TerminalPair()
    let first = try Broker(["--bind", "uart2=\(line.slavePath)"])
    let second = try Program(
      "brokerd", ["--owner", "guest1", "--memory", "g1g2=\(temporaryMemory())", "--bind", "uart2=\(line.slavePath)"])
    #expect(second.finish() == 72)
    #expect(
      sentence(second.errorText)
        == "uart2: \(line.slavePath) is in use by another program (a getty, a terminal program?); end that one first")
    withExtendedLifetime(first) {}
  }

  @Test("A device that is no terminal")
  func notATerminal() throws {
    let broker = try Program(
      "brokerd", ["--owner", "guest1", "--memory", "g1g2=\(temporaryMemory())", "--bind", "uart2=/dev/null"])
    #expect(broker.finish() == 72)
    #expect(sentence(broker.errorText).hasPrefix("uart2: /dev/null is not a terminal"))
  }

  @Test("A second brokerd on the same link")
  func secondBroker() throws {
    let broker = try Broker()
    let second = try Program("brokerd", ["--owner", "guest1", "--memory", "g1g2=\(broker.memory)"])
    #expect(second.finish() == 75)
    #expect(
      sentence(second.errorText) == "link g1g2 (\(broker.memory)) is served by another brokerd already; stop that one first")
    #expect(try broker.agent(["uart", "write", "uart2", "x"]).code == 0)
  }

  @Test("The wrong owner name")
  func wrongOwner() throws {
    let unknown = try Program("brokerd", ["--owner", "guest9"])
    #expect(unknown.finish() == 78)
    #expect(unknown.errorText.contains("guest9"))
    #expect(unknown.errorText.contains("guest1"))
    let borrower = try Program("brokerd", ["--owner", "guest2"])
    #expect(borrower.finish() == 78)
    #expect(
      sentence(borrower.errorText) == "the device tree of guest2 has no link with role \"owner\", so there is nobody to serve")
  }

  @Test("A service of systemd doesn't serve the example unless it is told to")
  func service() throws {
    let memory = temporaryMemory()
    defer {
      unlink(memory)
      unlink("\(memory)-uart2")
    }
    let brokerd = "\(built("brokerd").path) --owner guest1 --memory g1g2=\(memory)"
    // What standard error is here, as systemd says it.
    let stream = #"JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2); export JOURNAL_STREAM"#
    let missing =
      "there is no guestbroker node in /proc/device-tree, so that there is nothing to serve; mend this machine's device tree, pass one with -t, or --example for the simulated example"
    for line in ["\(stream); exec \(brokerd)", "exec \(brokerd) --no-example"] {
      let shell = try Shell(line)
      #expect(shell.finish() == 78)
      #expect(sentence(shell.errorText) == missing)
    }
    // A script that a service runs has the variable, and its output elsewhere.
    for line in [
      "\(stream); exec \(brokerd) --example", "JOURNAL_STREAM=1:2 exec \(brokerd)", "JOURNAL_STREAM=x exec \(brokerd)",
    ] {
      let shell = try Shell(line)
      try shell.wait { shell.outputText.contains("serves uart2") || !shell.process.isRunning }
      #expect(shell.process.isRunning, "\(line): \(shell.errorText)")
      shell.kill()
    }
  }

  @Test("--example is for a machine without its tree: not with --device-tree, nor with --no-example")
  func exampleConflicts() throws {
    let agent = try Program("guestagent", ["list", "--example", "-t", "/proc/device-tree"])
    #expect(agent.finish() == 64)
    #expect(agent.errorText.contains("--example is in the way of --device-tree: one of them"))
    for other in ["--device-tree=/proc/device-tree", "--no-example"] {
      let broker = try Program("brokerd", ["--example", other])
      #expect(broker.finish() == 64)
      #expect(broker.errorText.contains("--example is in the way of \(other.prefix { $0 != "=" }): one of them"))
    }
    let memory = temporaryMemory()
    defer { unlink(memory) }
    let asked = try Program("guestagent", ["list", "--example", "--wait", "0", "--memory", "g1g2=\(memory)"])
    #expect(asked.finish() == 0)
    #expect(asked.errorText == "guestagent: using the built-in example partition as guest2\n")
  }

  @Test("The example is called simulated only when it is")
  func simulated() throws {
    let line = try TerminalPair()
    let real = try Broker(["--bind", "uart2=\(line.slavePath)"])
    #expect(real.program.errorText.hasSuffix("using the built-in example partition\n"))
    #expect(try Broker().program.errorText.hasSuffix("using the built-in example partition, simulated\n"))
  }

  @Test("All channels in use")
  func channelsBusy() throws {
    let broker = try Broker()
    do {
      // What four other processes would hold.
      let mapping = try Mapping(.file(broker.memory), size: 1 << 20)
      for channel in 0..<4 { #expect(try mapping.lock(.channel(channel))) }
      let result = try broker.agent(["list"])
      #expect(result.code == 75)
      #expect(
        sentence(result.errors)
          == "link g1g2: all 4 channels are in use by process \(getpid()) of this guest; end one, or raise channels in both device trees"
      )
      #expect(result.errors.components(separatedBy: "channels are in use").count == 2)
      #expect(
        result.output.split(separator: "\n").last?.split(separator: " ").map(String.init) == [
          "uart2", "uart", "guest1", "unknown", "g1g2", "busy",
        ])
      broker.program.kill()
      #expect(try broker.agent(["list"]).output.hasSuffix("no owner\n"))
      try broker.restart()
    }
    let readers = try (0..<4).map { _ in try broker.start(["uart", "read", "uart2"]) }
    let ids = readers.map { $0.process.processIdentifier }.sorted().map { "\($0)" }
    // A command that came first would take one of theirs.
    let mapping = try Mapping(.file(broker.memory), size: 1 << 20)
    try readers[0].wait { mapping.holders(channels: 4).processes.count == 4 }
    let expected = "in use by processes \(ids[0]), \(ids[1]), \(ids[2]) and \(ids[3]) of this guest"
    let errors = try broker.agent(["uart", "write", "uart2", "x"]).errors
    #expect(errors.contains(expected), "\(errors)")
    for reader in readers { reader.kill() }
    #expect(try broker.agent(["uart", "write", "uart2", "x"]).code == 0)
  }

  @Test(
    "Nonsense on the command line exits with 64 and points to --help",
    arguments: [
      [], ["nonsense"], ["uart"], ["uart", "write"], ["uart", "write", "uart2"], ["uart", "write", "uart2", "a", "b"],
      ["uart", "write", "uart2", "x", "--nonsense"], ["uart", "write", "uart2", "--hex", "abc"],
      ["uart", "read", "uart2", "-n", "0"], ["uart", "config", "uart2", "fast"], ["uart", "flush", "uart2", "up"],
      ["ping", "-c", "x"], ["list", "more"], ["uart", "write", "uart2", "x", "--timeout", "soon"], ["list", "--memory"],
    ])
  func usage(arguments: [String]) throws {
    let agent = try Program("guestagent", arguments)
    #expect(agent.finish() == 64)
    let hint = arguments.prefix(arguments.first == "uart" ? 2 : 1).filter { $0 != "nonsense" }
    #expect(agent.errorText.hasSuffix("Try '\((["guestagent"] + hint + ["--help"]).joined(separator: " "))'.\n"))
    #expect(agent.outputText == "")
  }

  @Test(
    "Output that can't be written exits with 74, and says what it would have been",
    arguments: [
      ("list", "NAME   CLASS  OWNER   ACCESS  LINK  STATE"), ("--version", "guestagent 0.1.0 (protocol 1, layout 1)"),
      ("uart config uart2", "uart2: 115200n81"), ("uart flush uart2", "uart2: 0 bytes discarded"),
      ("uart write uart2 hello", "uart2: 5 bytes sent by guest1 in "),
      ("uart write uart2 hello --json", #"{"peripheral":"uart2","owner":"guest1","bytes":5,"executed":"yes","drained":true,"#),
    ])
  func fullOutput(command: String, result: String) throws {
    let broker = try Broker()
    let shell = try Shell("\(built("guestagent").path) \(command) --memory g1g2=\(broker.memory) >/dev/full")
    #expect(shell.finish() == 74)
    #expect(
      sentence(shell.errorText).hasPrefix(
        "cannot write the result to standard output (No space left on device); it was: \(result)"))
  }

  @Test("Output to a closed pipe says what was done, too")
  func closedPipe() throws {
    let broker = try Broker()
    let agent = "\(built("guestagent").path) uart write uart2 hello --memory g1g2=\(broker.memory)"
    let shell = try Shell("{ sleep 0.3; \(agent); echo $? >&2; } | true")
    shell.finish()
    #expect(
      shell.errorText.contains(
        "cannot write the result to standard output (Broken pipe); it was: uart2: 5 bytes sent by guest1"))
    #expect(shell.errorText.hasSuffix("\n74\n"))
  }

  @Test("Names that are not UTF-8 reach the file, and messages have them as they are")
  func anyNames() throws {
    let memory = temporaryMemory()
    let (broker, agent) = ("'\(built("brokerd").path)'", "'\(built("guestagent").path)'")
    let shell = try Shell(
      """
      region=$(printf '%s-\\351' '\(memory)')
      \(broker) --owner guest1 --memory "g1g2=$region" & broker=$!
      for i in $(seq 100); do [ -s "$region" ] && break; sleep 0.1; done
      \(agent) ping -c 1 --wait 10s --memory "g1g2=$region"; echo "code $?"
      kill $broker; wait $broker
      rm "$region" && \(agent) list --wait 0 --memory "g1g2=$region/x" --json
      """)
    shell.finish()
    #expect(shell.outputText.contains("code 0\n"), "\(shell.errorText)")
    #expect(!FileManager.default.fileExists(atPath: "\(memory)-\u{fffd}"))
    #expect(shell.outputText.contains(#"-\udbff\udfe9/x"#))
    let text = try #require(shell.errorData.range(of: Data(memory.utf8) + [0x2d, 0xe9, 0x2f, 0x78]))
    #expect(!text.isEmpty)
  }

  @Test(
    "Arguments are there without /proc, and beyond 4 MiB",
    .disabled(if: hasAddressSanitizer, "AddressSanitizer needs /proc itself"),
    .enabled(if: geteuid() == 0, "mounting needs root"))
  func withoutProc() throws {
    let agent = built("guestagent").path
    let shell = try Shell("unshare -m sh -c 'mount -t tmpfs none /proc && exec \(agent) --version'")
    #expect(shell.finish() == 0, "\(shell.errorText)")
    #expect(shell.outputText.hasPrefix("guestagent "))
    let long = try Shell(
      "ulimit -s unlimited; x=$(printf %0120000d 0); exec \(agent) list \(Array(repeating: "$x", count: 40).joined(separator: " "))"
    )
    #expect(long.finish() == 64)
    #expect(long.errorText.hasPrefix("guestagent: unexpected argument '000"))
  }

  @Test("A failure whose JSON can't be printed keeps its own sentence and exit code")
  func fullOutputOfFailure() throws {
    let shell = try Shell("\(built("guestagent").path) uart write uart9 hello --json >/dev/full")
    #expect(shell.finish() == 68)
    #expect(sentence(shell.errorText).hasPrefix("unknown peripheral 'uart9'"))
  }

  @Test("A read whose output is full says how many bytes were taken and not printed")
  func fullOutputOfRead() throws {
    let line = try TerminalPair()
    let broker = try Broker(["--bind", "uart2=\(line.slavePath)"])
    line.write(Array("abcde".utf8))
    let shell = try Shell("\(built("guestagent").path) uart read uart2 -n 5 --memory g1g2=\(broker.memory) >/dev/full")
    #expect(shell.finish() == 74)
    let text = sentence(shell.errorText)
    #expect(text.hasPrefix("uart2: cannot write to standard output (No space left on device); "), "\(text)")
    #expect(text.contains(" bytes were taken from guest1, and the last "), "\(text)")
  }

  @Test("Pipes that somebody else made non-blocking are waited for")
  func nonBlockingPipes() throws {
    let line = try TerminalPair()
    let broker = try Broker(["--bind", "uart2=\(line.slavePath)"])
    var ends: [Int32] = [0, 0]
    try #require(pipe2(&ends, O_CLOEXEC | O_NONBLOCK) == 0)
    let writer = Process()
    writer.executableURL = built("guestagent")
    writer.arguments = ["uart", "write", "uart2", "-", "--memory", "g1g2=\(broker.memory)"]
    writer.standardInput = FileHandle(fileDescriptor: ends[0])
    writer.standardOutput = FileHandle.nullDevice
    try writer.run()
    close(ends[0])
    #expect(CLinux.write(ends[1], "one", 3) == 3)
    #expect(line.read(3) == Array("one".utf8))
    #expect(CLinux.write(ends[1], "two", 3) == 3)
    close(ends[1])
    #expect(line.read(3) == Array("two".utf8))
    writer.waitUntilExit()
    #expect(writer.terminationStatus == 0)

    try #require(pipe2(&ends, O_CLOEXEC | O_NONBLOCK) == 0)
    let reader = Process()
    reader.executableURL = built("guestagent")
    reader.arguments = ["uart", "read", "uart2", "-n", "200000", "--memory", "g1g2=\(broker.memory)"]
    reader.standardOutput = FileHandle(fileDescriptor: ends[1])
    try reader.run()
    close(ends[1])
    // More than a pipe holds, before anybody reads it.
    let bytes = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 4) }
    Thread.detachNewThread { line.write(bytes) }
    usleep(300_000)
    var got: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = CLinux.read(ends[0], &buffer, buffer.count)
      if count == 0 { break }
      if count > 0 { got += buffer[..<count] } else { usleep(1000) }
    }
    close(ends[0])
    reader.waitUntilExit()
    #expect(reader.terminationStatus == 0)
    #expect(got == bytes)
  }

  @Test("A wait for a non-blocking pipe ends by a signal")
  func interruptedWait() throws {
    let broker = try Broker()
    var ends: [Int32] = [0, 0]
    try #require(pipe2(&ends, O_CLOEXEC | O_NONBLOCK) == 0)
    defer { for end in ends { close(end) } }
    let errors = Pipe()
    let writer = Process()
    writer.executableURL = built("guestagent")
    writer.arguments = ["uart", "write", "uart2", "-", "--memory", "g1g2=\(broker.memory)"]
    writer.standardInput = FileHandle(fileDescriptor: ends[0])
    writer.standardError = errors
    try writer.run()
    usleep(300_000)
    kill(writer.processIdentifier, SIGTERM)
    writer.waitUntilExit()
    #expect(writer.terminationStatus == 143)
    let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    #expect(sentence(text) == "uart2: interrupted; it was not executed")
  }

  @Test("Standard descriptors that are closed are not taken by the region or a device")
  func closedDescriptors() throws {
    let broker = try Broker()
    let agent = built("guestagent").path
    let input = try Shell("\(agent) uart write uart2 - --memory g1g2=\(broker.memory) <&-")
    #expect(input.finish() == 71)
    #expect(
      sentence(input.errorText) == "uart2: cannot read standard input (Bad file descriptor); 0 bytes were executed before")
    let output = try Shell("\(agent) ping -c 1 --memory g1g2=\(broker.memory) >&-")
    #expect(output.finish() == 74)
    #expect(try broker.agent(["uart", "write", "uart2", "x"]).code == 0)
  }

  @Test(
    "SIGINT, SIGTERM and SIGHUP end a ping with its summary, and a write with how much was executed",
    arguments: [SIGINT, SIGTERM, SIGHUP])
  func interrupted(signal: Int32) throws {
    let code = 128 + signal
    let line = try TerminalPair()
    let broker = try Broker(["--bind", "uart2=\(line.slavePath)"])
    let ping = try broker.start(["ping", "-c", "900"])
    try ping.wait { ping.outputText.contains("seq=2") }
    kill(ping.process.processIdentifier, signal)
    // As ping(8), SIGINT is how one ends it.
    #expect(ping.finish() == (signal == SIGINT ? 0 : code))
    #expect(ping.outputText.contains(" answered ---"))
    #expect(sentence(ping.errorText).hasPrefix("link g1g2: interrupted; ") == (signal != SIGINT))
    // Nobody reads the line: the write stands still.
    let writer = try broker.start(["uart", "write", "uart2", "-", "--timeout", "10min", "--json"], input: Data(count: 1 << 20))
    var waiting: Int32 = 0
    try writer.wait {
      _ = ioctl(line.master, UInt(FIONREAD), &waiting)
      return waiting > 0
    }
    kill(writer.process.processIdentifier, signal)
    #expect(writer.finish() == code)
    #expect(writer.errorText.contains("uart2: interrupted; "))
    let text = try #require(writer.outputText.split(separator: "\n").last)
    let object = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    #expect(object["exit_code"] as? Int == Int(code))
  }

  @Test("A ping that is interrupted while it waits for an answer has its summary, too")
  func interruptedInAnswer() throws {
    let broker = try Broker()
    let ping = try broker.start(["ping", "-c", "900", "-i", "5ms"])
    try ping.wait { ping.outputText.contains("seq=2") }
    kill(broker.program.process.processIdentifier, SIGSTOP)
    let seen = ping.outputText
    usleep(100_000)
    try #require(ping.process.isRunning, "\(seen)")
    kill(ping.process.processIdentifier, SIGINT)
    #expect(ping.finish() == 0)
    #expect(ping.outputText.contains(" answered ---"))
  }

  @Test(
    "A ping that nobody has answered, or that is told to end, says that it was interrupted",
    arguments: [(SIGINT, Int32(130)), (SIGTERM, Int32(143))])
  func interruptedPing(signal: Int32, code: Int32) throws {
    let broker = try Broker()
    if signal == SIGINT { broker.program.kill() }
    let ping = try broker.start(["ping", "-i", "1h", "--wait", "1h"])
    if signal == SIGINT { usleep(300_000) } else { try ping.wait { ping.outputText.contains("seq=1") } }
    kill(ping.process.processIdentifier, signal)
    #expect(ping.finish() == code)
    #expect(ping.errorText.contains("interrupted"))
  }

  @Test("A read that is interrupted says how much it printed")
  func interruptedRead() throws {
    let line = try TerminalPair()
    let broker = try Broker(["--bind", "uart2=\(line.slavePath)"])
    let reader = try broker.start(["uart", "read", "uart2"])
    line.write(Array("abc".utf8))
    try reader.wait { reader.outputText == "abc" }
    kill(reader.process.processIdentifier, SIGTERM)
    #expect(reader.finish() == 143)
    #expect(sentence(reader.errorText) == "uart2: interrupted; 3 bytes were read before")
  }

  @Test("A second signal ends the program at once")
  func interruptedTwice() throws {
    let broker = try Broker()
    let ping = try broker.start(["ping", "-i", "1h"])
    try ping.wait { ping.outputText.contains("seq=1") }
    // Stopped it gets both at once, before it can end by the first.
    for signal in [SIGSTOP, SIGINT, SIGTERM, SIGCONT] { kill(ping.process.processIdentifier, signal) }
    _ = ping.finish()
    #expect(ping.process.terminationReason == .uncaughtSignal)
    #expect(!ping.outputText.contains(" answered ---"))
  }

  @Test("SIGHUP and SIGINT that are ignored when the program starts stay ignored", arguments: ["HUP", "INT"])
  func ignoredSignal(name: String) throws {
    let broker = try Broker()
    let shell = try Shell(
      "trap '' \(name); exec \(built("guestagent").path) ping -c 3 -i 300ms --memory g1g2=\(broker.memory)")
    try shell.wait { shell.outputText.contains("seq=1") }
    kill(shell.process.processIdentifier, name == "HUP" ? SIGHUP : SIGINT)
    #expect(shell.finish() == 0)
    #expect(shell.outputText.contains("3 answered ---"))
  }

  @Test("nohup brokerd goes on without its terminal")
  func ignoredSignalOfOwner() throws {
    let memory = temporaryMemory()
    defer { unlink(memory) }
    let shell = try Shell("trap '' HUP; exec \(built("brokerd").path) --owner guest1 --memory g1g2=\(memory)")
    try shell.wait { shell.outputText.contains("serves uart2") }
    kill(shell.process.processIdentifier, SIGHUP)
    let agent = try Program("guestagent", ["ping", "-c", "3", "-i", "100ms", "--memory", "g1g2=\(memory)"])
    #expect(agent.finish() == 0, "\(agent.errorText)")
    kill(shell.process.processIdentifier, SIGTERM)
    #expect(shell.finish() == 0)
  }

  @Test("What ends a service ends it, whatever it inherited", arguments: [("INT", SIGINT), ("TERM", SIGTERM)])
  func inheritedByOwner(name: String, signal: Int32) throws {
    let memory = temporaryMemory()
    defer { unlink(memory) }
    let shell = try Shell("trap '' \(name); exec \(built("brokerd").path) --owner guest1 --memory g1g2=\(memory)")
    try shell.wait { shell.outputText.contains("serves uart2") }
    kill(shell.process.processIdentifier, signal)
    #expect(shell.finish() == 0)
  }

  @Test(
    "A limit for files' sizes is an error with a sentence",
    .disabled(if: hasThreadSanitizer, "ThreadSanitizer needs larger files itself"))
  func fileSizeLimit() throws {
    let memory = temporaryMemory()
    defer { unlink(memory) }
    let broker = try Shell("ulimit -f 0; exec \(built("brokerd").path) --owner guest1 --memory g1g2=\(memory)")
    #expect(broker.finish() == 73)
    #expect(sentence(broker.errorText).hasPrefix("link g1g2: "))
    #expect(sentence(broker.errorText).contains("File too large"))
  }

  @Test(
    "--help on every command, and --version with both versions",
    arguments: [
      ["--help"], ["help"], ["list", "--help"], ["ping", "--help"], ["uart", "--help"], ["uart", "help"],
      ["uart", "write", "--help"],
      ["uart", "read", "--help"], ["uart", "config", "--help"], ["uart", "flush", "--help"],
    ])
  func help(arguments: [String]) throws {
    let agent = try Program("guestagent", arguments)
    #expect(agent.finish() == 0)
    #expect(agent.outputText.hasPrefix("Usage: guestagent"))
    #expect(agent.errorText == "")
  }

  @Test("--version names the protocol's and the layout's", arguments: ["guestagent", "brokerd"])
  func version(name: String) throws {
    let program = try Program(name, ["--version"])
    #expect(program.finish() == 0)
    #expect(program.outputText.hasPrefix("\(name) "))
    #expect(program.outputText.contains("(protocol 1, layout 1)"))
  }
}
