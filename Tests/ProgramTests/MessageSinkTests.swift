import CLinux
import Foundation
import Linux
import Program
import Testing

@Suite("Messages that nobody has to read")
struct MessageSinkTests {
  private struct Ends {
    let reading: FileHandle
    let writing: FileHandle

    init() {
      let pipe = Pipe()
      (reading, writing) = (pipe.fileHandleForReading, pipe.fileHandleForWriting)
    }

    var number: Int32 { writing.fileDescriptor }

    /// What was written, to the end.
    func text() throws -> String {
      try writing.close()
      return String(decoding: try reading.readToEnd() ?? Data(), as: UTF8.self)
    }
  }

  @Test("All are written where they belong, in order, a long one in part, before the program ends")
  func all() throws {
    let (output, errors) = (Ends(), Ends())
    let sink = try MessageSink(output: output.number, error: errors.number)
    for number in 0..<100 { number % 2 == 0 ? sink.line("line \(number)") : sink.error("error \(number)") }
    sink.error(String(repeating: "x", count: 10_000))
    sink.line("")
    sink.finish(within: .max)
    #expect(try output.text() == (0..<50).map { "line \(2 * $0)\n" }.joined() + "\n")
    let lines = try errors.text().split(separator: "\n")
    #expect(lines.dropLast() == (0..<50).map { "error \(2 * $0 + 1)" }[...])
    #expect(lines.last == String(repeating: "x", count: 4092)[...])
  }

  @Test("Where nobody reads they are dropped, and the next one that fits says how many were", arguments: [false, true])
  func dropped(isNonBlocking: Bool) throws {
    let errors = Ends()
    if isNonBlocking { _ = fcntl(errors.number, F_SETFL, O_NONBLOCK) }
    let sink = try MessageSink(output: errors.number, error: errors.number)
    let count = 5000
    for number in 0..<count {
      sink.error("message \(number) of a length that fills a pipe soon enough, if only nobody reads it")
    }
    // The end doesn't wait for a reader either: a sink that is finished here, of the same kind.
    try MessageSink(output: errors.number, error: errors.number).finish(within: 1)
    let collected = DispatchGroup()
    nonisolated(unsafe) var text = ""
    collected.enter()
    let reading = errors.reading
    Thread.detachNewThread {
      text = String(decoding: (try? reading.readToEnd()) ?? Data(), as: UTF8.self)
      collected.leave()
    }
    // Until one fits; each that doesn't is counted too.
    var more = 0
    for _ in 0..<200 {
      sink.error("later")
      more += 1
      usleep(1000)
    }
    sink.finish(within: .max)
    try errors.writing.close()
    collected.wait()
    let lines = text.split(separator: "\n")
    let told = lines.compactMap { line -> Int? in
      guard let place = line.range(of: " (") else { return nil }
      #expect(line.hasSuffix(" dropped: standard error was not read)"))
      return Int(line[place.upperBound...].prefix { $0.isNumber })
    }
    #expect(!told.isEmpty)
    #expect(lines.count + told.reduce(0, +) == count + more)
  }

  @Test("A message for what is closed or full is forgotten, and the next one goes on")
  func broken() throws {
    ignoreWriteSignals()
    let (output, errors) = (Ends(), Ends())
    try output.reading.close()
    let full = open("/dev/full", O_WRONLY)
    defer { close(full) }
    for number in [output.number, full] {
      let sink = try MessageSink(output: number, error: errors.number)
      sink.line("lost")
      sink.error("kept")
      sink.finish(within: .max)
    }
    #expect(try errors.text() == "kept\nkept\n")
  }
}
