import CLinux
import Foundation
import TestSupport
import Testing

@Suite("A UART of another guest", .serialized)
struct UARTTests {
  @Test("guestagent uart write uart2 'hello' puts these five bytes on guest1's uart2")
  func hello() throws {
    let broker = try Broker()
    let result = try broker.agent(["uart", "write", "uart2", "hello"])
    #expect(result.code == 0, "\(result.errors)")
    #expect(result.output.hasPrefix("uart2: 5 bytes sent by guest1 in "))
    let path = try #require(broker.simulatedPath)
    let line = open(path, O_RDONLY | O_NOCTTY)
    defer { close(line) }
    var bytes = [UInt8](repeating: 0, count: 16)
    let count = read(line, &bytes, bytes.count)
    #expect(Array(bytes[..<max(0, count)]) == Array("hello".utf8))
  }

  @Test("A text of any bytes is written as it is")
  func anyBytes() throws {
    let line = try TerminalPair()
    let broker = try Broker(["--bind", "uart2=\(line.slavePath)"])
    let agent = try Shell(
      "'\(built("guestagent").path)' uart write --memory=g1g2=\(broker.memory) uart2 \"$(printf 'a\\377\\303\\200\\001')\"")
    #expect(agent.finish() == 0, "\(agent.errorText)")
    #expect(agent.outputText.hasPrefix("uart2: 5 bytes sent"))
    #expect(line.read(5) == [0x61, 0xff, 0xc3, 0x80, 0x01])
  }

  @Test("1 MiB of random bytes from standard input arrives on the terminal complete and in order")
  func megabyteOut() throws {
    var generator = SeededGenerator("megabyteOut")
    let bytes = (0..<1 << 20).map { _ in UInt8.random(in: 0...255, using: &generator) }
    let line = try TerminalPair()
    let broker = try Broker(["--bind", "uart2=\(line.slavePath)"])
    let agent = try broker.start(["uart", "write", "uart2", "-"], input: Data(bytes))
    let arrived = line.read(bytes.count)
    #expect(agent.finish() == 0, "\(agent.errorText)")
    #expect(arrived == bytes)
    #expect(agent.outputText.hasPrefix("uart2: 1048576 bytes sent by guest1 in "))
  }

  @Test("1 MiB of random bytes from the terminal comes out of uart read complete and in order")
  func megabyteIn() throws {
    var generator = SeededGenerator("megabyteIn")
    let bytes = (0..<1 << 20).map { _ in UInt8.random(in: 0...255, using: &generator) }
    let line = try TerminalPair()
    let broker = try Broker(["--bind", "uart2=\(line.slavePath)"])
    let agent = try broker.start(["uart", "read", "uart2", "-n", "1048576"])
    line.write(bytes)
    #expect(agent.finish() == 0, "\(agent.errorText)")
    #expect(agent.outputData == Data(bytes))
  }

  @Test("A new speed shows in stty -F", arguments: [115_200, 921_600, 9600])
  func speed(baud: Int) throws {
    let line = try TerminalPair()
    let broker = try Broker(["--bind", "uart2=\(line.slavePath)"])
    let result = try broker.agent(["uart", "config", "uart2", "\(baud)"])
    #expect(result.code == 0, "\(result.errors)")
    #expect(result.output == "uart2: \(baud)n81\n")
    let stty = Process()
    stty.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    stty.arguments = ["stty", "-F", line.slavePath]
    let output = Pipe()
    stty.standardOutput = output
    try stty.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    stty.waitUntilExit()
    #expect(text.hasPrefix("speed \(baud) baud"), "\(text)")
  }

  @Test("A speed that no constant of <asm/termbits.h> has is set too")
  func anySpeed() throws {
    let broker = try Broker()
    #expect(try broker.agent(["uart", "config", "uart2", "31250"]).output == "uart2: 31250n81\n")
    #expect(try broker.agent(["uart", "config", "uart2"]).output == "uart2: 31250n81\n")
    #expect(try broker.agent(["uart", "config", "uart2", "9600e71", "rtscts"]).output == "uart2: 9600e71 rtscts\n")
  }

  @Test(
    "A speed and a format may be two words",
    arguments: [
      ("9600 7e2", "9600e72"), ("9600 n81", "9600n81"), ("9600 8o1 rtscts", "9600o81 rtscts"), ("9600 8N1", "9600n81"),
    ])
  func twoWords(words: String, settings: String) throws {
    let broker = try Broker()
    let result = try broker.agent(["uart", "config", "uart2"] + words.split(separator: " ").map(String.init))
    #expect(result.output == "uart2: \(settings)\n", "\(result.errors)")
    #expect(try broker.agent(["uart", "config", "uart2", "9600", "9n1"]).code == 64)
    #expect(try broker.agent(["uart", "config", "uart2", "rtscts", "8n1"]).code == 64)
  }

  @Test("What a device refuses is named, with what may be wrong with it")
  func refused() throws {
    let line = try TerminalPair()
    let broker = try Broker(["--bind", "uart2=\(line.slavePath)"])
    // A pseudo-terminal has 8 data bits and no parity, whatever it is told.
    let result = try broker.agent(["uart", "config", "uart2", "9600e71"])
    #expect(result.code == 65)
    #expect(
      sentence(result.errors)
        == "uart2: the device on guest1 refused 9600e71, and nothing was changed; it can't make the speed (it may be off by 3 %), or doesn't have the format or the flow control: try one at a time"
    )
  }

  @Test("Flush throws away what was received, and says how much")
  func flush() throws {
    let line = try TerminalPair()
    let broker = try Broker(["--bind", "uart2=\(line.slavePath)"])
    line.write(Array("stale".utf8))
    // What the owner has taken in shows in a read of more than that.
    #expect(try broker.agent(["uart", "read", "uart2", "-n", "1"]).output == "s")
    #expect(try broker.agent(["uart", "flush", "uart2", "in"]).output == "uart2: 4 bytes discarded\n")
    line.write(Array("fresh".utf8))
    #expect(try broker.agent(["uart", "read", "uart2", "-n", "5"]).output == "fresh")
  }

  @Test("A read that gets less than it wants says how much came, and exits with 75")
  func readTimeout() throws {
    let line = try TerminalPair()
    let broker = try Broker(["--bind", "uart2=\(line.slavePath)"])
    line.write(Array("abc".utf8))
    let result = try broker.agent(["uart", "read", "uart2", "-n", "16", "--timeout", "300ms"])
    #expect(result.code == 75)
    #expect(result.output == "abc")
    #expect(result.errors.contains("uart2: 3 of 16 bytes came before 300 ms of silence"))
  }

  @Test("A write that the line doesn't take ends at its deadline and says how many bytes were written")
  func writeTimeout() throws {
    let line = try TerminalPair()
    let broker = try Broker(["--bind", "uart2=\(line.slavePath)"])
    let result = try broker.agent(
      ["uart", "write", "uart2", "-", "--timeout", "300ms", "--json"], input: Data(count: 1 << 20))
    #expect(result.code == 75, "\(result.errors)")
    let text = try #require(result.output.split(separator: "\n").last)
    let object = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    let claimed = try #require(object["bytes"] as? Int)
    #expect(claimed > 0 && claimed < 1 << 20)
    #expect(object["executed"] as? String == "yes")
    // Exactly as many as it said are on the line.
    #expect(line.read(claimed).count == claimed)
    usleep(50_000)
    var byte: UInt8 = 0
    #expect(read(line.master, &byte, 1) == -1, "more bytes reached the line than were reported")
  }

  @Test("--json says the same for programs")
  func json() throws {
    let broker = try Broker()
    let write = try broker.agent(["uart", "write", "uart2", "hello", "--json"])
    let object = try #require(try JSONSerialization.jsonObject(with: Data(write.output.utf8)) as? [String: Any])
    #expect(object["peripheral"] as? String == "uart2")
    #expect(object["owner"] as? String == "guest1")
    #expect(object["bytes"] as? Int == 5)
    #expect(object["executed"] as? String == "yes")
    let list = try broker.agent(["list", "--json"])
    let row = try #require(try JSONSerialization.jsonObject(with: Data(list.output.utf8)) as? [String: Any])
    #expect(row["name"] as? String == "uart2")
    #expect(row["access"] as? String == "rw")
    #expect(row["state"] as? String == "up")
    let ping = try broker.agent(["ping", "-c", "3", "-i", "0", "--json"])
    let times = try #require(try JSONSerialization.jsonObject(with: Data(ping.output.utf8)) as? [String: Any])
    #expect(times["count"] as? Int == 3)
  }

  @Test("One process reads while another writes: each has a channel of its own")
  func twoProcesses() throws {
    let line = try TerminalPair()
    let broker = try Broker(["--bind", "uart2=\(line.slavePath)"])
    let reader = try broker.start(["uart", "read", "uart2", "-n", "4"])
    for _ in 0..<20 {
      #expect(try broker.agent(["uart", "write", "uart2", "x"]).code == 0)
    }
    #expect(line.read(20) == [UInt8](repeating: 0x78, count: 20))
    line.write(Array("done".utf8))
    #expect(reader.finish() == 0)
    #expect(reader.outputText == "done")
  }
}
