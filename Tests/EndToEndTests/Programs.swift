import CLinux
import Foundation
import TestSupport
import Testing

/// The last line on stderr, without the program's name.
func sentence(_ text: String) -> String {
  String(text.split(separator: "\n").last?.drop { $0 != " " }.dropFirst() ?? "")
}

/// Whether this and the programs run under ThreadSanitizer, which uses files and processor time of its own.
let hasThreadSanitizer = dlsym(nil, "__tsan_init") != nil

/// Whether they run under AddressSanitizer, which reads /proc when a program begins.
let hasAddressSanitizer = dlsym(nil, "__asan_init") != nil

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

  /// One of ours.
  convenience init(_ name: String, _ arguments: [String], input data: Data? = nil, environment: [String: String] = [:]) throws {
    try self.init(at: built(name), arguments, input: data, environment: environment)
  }

  init(at path: URL, _ arguments: [String], input data: Data? = nil, environment: [String: String] = [:]) throws {
    lx_ignore_write_signals()  // a program that ends before it has read its input is no reason to end here
    process.executableURL = path
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
  var errorData: Data { collector.get(2) }
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

  /// The simulated UART's second name.
  var name: String { "\(memory)-uart2" }

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
    unlink(name)
  }
}

/// A line for the shell.
func Shell(_ line: String) throws -> Program { try Program(at: URL(fileURLWithPath: "/bin/sh"), ["-c", line]) }
