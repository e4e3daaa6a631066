import CLinux
import Foundation
import Testing

/// Where the built programs are: beside the test bundle.
func program(_ name: String) -> URL {
  let bundle = Bundle.main.bundleURL
  for directory in [bundle, bundle.deletingLastPathComponent()] {
    let url = directory.appendingPathComponent(name)
    if FileManager.default.isExecutableFile(atPath: url.path) { return url }
  }
  return bundle.appendingPathComponent(name)
}

/// A file name in /dev/shm that no other test uses; removed at the end of the test run's process.
func temporaryMemory() -> String { "/dev/shm/guestbroker-test-\(getpid())-\(UInt32.random(in: 0...UInt32.max))" }

/// The last line on stderr, without the program's name.
func sentence(_ text: String) -> String {
  String(text.split(separator: "\n").last?.drop { $0 != " " }.dropFirst() ?? "")
}

/// A program that was started.
final class Program {
  let process = Process()
  private let output = Pipe()
  private let errors = Pipe()
  private let input = Pipe()
  private let collector = Collector()

  private final class Collector: @unchecked Sendable {
    private let lock = NSLock()
    private var text: [Int32: Data] = [:]
    func add(_ data: Data, _ stream: Int32) {
      lock.lock()
      text[stream, default: Data()] += data
      lock.unlock()
    }
    func get(_ stream: Int32) -> Data {
      lock.lock()
      defer { lock.unlock() }
      return text[stream] ?? Data()
    }
    let finished = DispatchGroup()
  }

  init(_ name: String, _ arguments: [String], input data: Data? = nil, environment: [String: String] = [:]) throws {
    lx_ignore_sigpipe()  // a program that ends before it has read its input is no reason to end here
    process.executableURL = program(name)
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.standardOutput = output
    process.standardError = errors
    process.standardInput = data == nil ? FileHandle.nullDevice : input
    for (pipe, stream) in [(output, Int32(1)), (errors, Int32(2))] {
      collector.finished.enter()
      let collector = self.collector
      let number = pipe.fileHandleForReading.fileDescriptor
      Thread.detachNewThread {
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
          let count = read(number, &buffer, buffer.count)
          if count <= 0 { break }
          collector.add(Data(buffer[..<count]), stream)
        }
        collector.finished.leave()
      }
    }
    try process.run()
    if let data {
      let handle = input.fileHandleForWriting
      Thread.detachNewThread {
        try? handle.write(contentsOf: data)
        try? handle.close()
      }
    }
  }

  var outputData: Data { collector.get(1) }
  var outputText: String { String(decoding: collector.get(1), as: UTF8.self) }
  var errorText: String { String(decoding: collector.get(2), as: UTF8.self) }

  /// Waits until `condition` holds. The generous limit only keeps a broken test from hanging.
  func wait(seconds: Double = 60, until condition: () -> Bool) throws {
    let end = Date().addingTimeInterval(seconds)
    while !condition() {
      try #require(Date() < end, "waited in vain; stdout: \(outputText) stderr: \(errorText)")
      usleep(2000)
    }
  }

  /// Waits for the end, and returns the exit code.
  @discardableResult
  func finish() -> Int32 {
    process.waitUntilExit()
    collector.finished.wait()
    return process.terminationStatus
  }

  func kill() {
    _ = CLinux.kill(process.processIdentifier, SIGKILL)
    finish()
  }

  deinit { if process.isRunning { _ = CLinux.kill(process.processIdentifier, SIGKILL) } }
}

/// `brokerd --owner guest1` over memory of its own, ready to serve.
final class Broker {
  let memory: String
  private(set) var program: Program
  private let arguments: [String]

  init(_ arguments: [String] = [], memory: String = temporaryMemory()) throws {
    self.memory = memory
    self.arguments = ["--owner", "guest1", "--memory", "g1g2=\(memory)"] + arguments
    program = try Program("brokerd", self.arguments)
    try waitUntilReady()
  }

  private func waitUntilReady() throws {
    try program.wait { program.outputText.contains("serves uart2") || !program.process.isRunning }
  }

  func restart() throws {
    program = try Program("brokerd", arguments)
    try waitUntilReady()
  }

  /// The pseudo-terminal of the simulated UART.
  var simulatedPath: String? {
    program.outputText.split(separator: " ").first { $0.hasPrefix("/dev/pts/") }.map(String.init)
  }

  /// Starts `guestagent` as guest2 over the same memory.
  func start(_ arguments: [String], input: Data? = nil) throws -> Program {
    try Program("guestagent", arguments + ["--memory", "g1g2=\(memory)"], input: input)
  }

  /// Runs `guestagent` as guest2 over the same memory, to its end.
  func agent(_ arguments: [String], input: Data? = nil) throws -> (code: Int32, output: String, errors: String, data: Data) {
    let program = try start(arguments, input: input)
    let code = program.finish()
    return (code, program.outputText, program.errorText, program.outputData)
  }

  deinit {
    program.kill()
    unlink(memory)
  }
}

/// A pair of terminal ends made by the kernel: what is written to one comes out of the other. The slave stands for a real
/// serial port, through the kernel's whole tty layer.
final class TerminalPair: @unchecked Sendable {
  let master: Int32
  let slavePath: String
  /// Kept open, so that the master sees no hang-up while brokerd restarts.
  private let slave: Int32

  init() throws {
    var name = [CChar](repeating: 0, count: 64)
    master = lx_open_pty(&name, name.count)
    try #require(master >= 0)
    slavePath = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    slave = open(slavePath, O_RDWR | O_NOCTTY)
    var t = termios2()
    _ = lx_tty_get(slave, &t)
    t.c_lflag = 0
    t.c_oflag = 0
    t.c_iflag = 0
    _ = lx_tty_set(slave, &t)
  }

  deinit {
    close(master)
    close(slave)
  }

  /// Reads until `count` bytes came.
  func read(_ count: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while bytes.count < count {
      let got = CLinux.read(master, &buffer, min(buffer.count, count - bytes.count))
      if got > 0 { bytes += buffer[..<got] } else { usleep(500) }
    }
    return bytes
  }

  func write(_ bytes: [UInt8]) {
    var done = 0
    while done < bytes.count {
      let put = bytes.withUnsafeBytes { CLinux.write(master, $0.baseAddress! + done, $0.count - done) }
      if put > 0 { done += put } else { usleep(500) }
    }
  }
}

/// A generator that anybody can repeat: prints its seed as a line to paste.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(_ name: String) {
    let seed =
      ProcessInfo.processInfo.environment["GUESTBROKER_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: 1...UInt64.max)
    print("\(name): GUESTBROKER_SEED=\(seed) repeats this run")
    state = seed
  }

  /// xorshift64*
  mutating func next() -> UInt64 {
    state ^= state >> 12
    state ^= state << 25
    state ^= state >> 27
    return state &* 2_685_821_657_736_338_717
  }
}
