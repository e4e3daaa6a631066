import CLinux
import Foundation
import TestSupport
import Testing

@Suite("Whatever brokerd's readers do, it serves and ends", .serialized)
struct BlockedOutputTests {
  private func fullPipe() -> Pipe {
    let pipe = Pipe()
    let number = pipe.fileHandleForWriting.fileDescriptor
    let flags = fcntl(number, F_GETFL)
    _ = fcntl(number, F_SETFL, flags | O_NONBLOCK)
    while write(number, [UInt8](repeating: 0x78, count: 4096), 4096) > 0 {}
    _ = fcntl(number, F_SETFL, flags)
    return pipe
  }

  @Test("A standard error that is full from the start")
  func fullError() throws {
    let memory = temporaryMemory()
    defer { unlink(memory) }
    let errors = fullPipe()
    let broker = Process()
    broker.executableURL = built("brokerd")
    broker.arguments = ["--memory", "g1g2=\(memory)"]
    broker.standardInput = FileHandle.nullDevice
    broker.standardOutput = FileHandle.nullDevice
    broker.standardError = errors.fileHandleForWriting
    try broker.run()
    let agent = try Program("guestagent", ["uart", "write", "uart2", "hello", "--memory", "g1g2=\(memory)", "--wait", "60s"])
    #expect(agent.finish() == 0, "\(agent.errorText)")
    broker.terminate()
    broker.waitUntilExit()
    #expect(broker.terminationReason == .exit && broker.terminationStatus == 0)
    withExtendedLifetime(errors) {}
  }

  @Test("An error before it serves, which it can't get rid of: SIGTERM ends it")
  func fullErrorAtTheStart() throws {
    let errors = fullPipe()
    let broker = Process()
    broker.executableURL = built("brokerd")
    broker.arguments = ["--owner", "guest2"]
    broker.standardError = errors.fileHandleForWriting
    try broker.run()
    usleep(1_000_000)
    #expect(broker.isRunning)
    broker.terminate()
    broker.waitUntilExit()
    #expect(broker.terminationReason == .uncaughtSignal && broker.terminationStatus == SIGTERM)
  }

  @Test("A service manager whose queue is full is told as soon as it takes something", arguments: [false, true])
  func notification(isReadAtLast: Bool) throws {
    let path = "/tmp/guestbroker-test-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    defer { unlink(path) }
    let manager = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
    let filler = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
    defer {
      close(manager)
      close(filler)
    }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let size = socklen_t(MemoryLayout<sockaddr_un>.size)
    withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        let address = __CONST_SOCKADDR_ARG(__sockaddr__: address)
        #expect(bind(manager, address, size) == 0)
        while sendto(filler, "x", 1, 0, address, size) == 1 {}
      }
    }
    let memory = temporaryMemory()
    defer { unlink(memory) }
    let broker = try Program("brokerd", ["--memory", "g1g2=\(memory)"], environment: ["NOTIFY_SOCKET": path])
    try broker.wait { broker.outputText.contains("serves") }
    let agent = try Program("guestagent", ["uart", "write", "uart2", "hello", "--memory", "g1g2=\(memory)"])
    #expect(agent.finish() == 0, "\(agent.errorText)")
    if isReadAtLast {
      var buffer = [UInt8](repeating: 0, count: 64)
      var text = ""
      while text != "READY=1" {
        text = String(decoding: buffer[..<max(0, read(manager, &buffer, buffer.count))], as: UTF8.self)
      }
    }
    kill(broker.process.processIdentifier, SIGTERM)
    #expect(broker.finish() == 0)
  }
}
