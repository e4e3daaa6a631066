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
    collect()
    try process.run()
    if let data {
      let handle = input.fileHandleForWriting
      Thread.detachNewThread {
        try? handle.write(contentsOf: data)
        try? handle.close()
      }
    }
  }

  /// Takes in what the program prints, in a thread. A test that has seen a line of standard output can look at standard error: what the program
  /// had written there before is in `errorText` already.
  private func collect() {
    let collector = self.collector
    // The thread keeps both: it never reads what took a closed pipe's number.
    let (outputEnd, errorsEnd) = (output.fileHandleForReading, errors.fileHandleForReading)
    collector.finished.enter()
    Thread.detachNewThread {
      let (output, errors) = (outputEnd.fileDescriptor, errorsEnd.fileDescriptor)
      var (outputIsOpen, errorsAreOpen) = (true, true)
      var buffer = [UInt8](repeating: 0, count: 65536)
      /// What can be read without waiting, as much as a pipe holds and more; nil at the end.
      func available(_ number: Int32) -> Data? {
        var data = Data()
        for _ in 0..<16 {
          var one = pollfd(fd: number, events: Int16(POLLIN), revents: 0)
          guard poll(&one, 1, 0) > 0 else { return data }
          let count = read(number, &buffer, buffer.count)
          if count <= 0 { return data.isEmpty ? nil : data }
          data += buffer[..<count]
        }
        return data
      }
      while outputIsOpen || errorsAreOpen {
        var both = [
          pollfd(fd: outputIsOpen ? output : -1, events: Int16(POLLIN), revents: 0),
          pollfd(fd: errorsAreOpen ? errors : -1, events: Int16(POLLIN), revents: 0),
        ]
        guard poll(&both, 2, -1) > 0 else { continue }
        // Standard output is read first and handed on last.
        let printed = outputIsOpen ? available(output) : nil
        let said = errorsAreOpen ? available(errors) : nil
        if let said { collector.add(said, 2) } else { errorsAreOpen = false }
        if let printed { collector.add(printed, 1) } else { outputIsOpen = false }
      }
      withExtendedLifetime((outputEnd, errorsEnd)) { collector.finished.leave() }
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
