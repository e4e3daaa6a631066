import Foundation
import TestSupport
import Testing

/// What the compiler has to refuse, so that nobody finds out at night.
@Suite("Misuse of the ring doesn't compile")
struct MisuseTests {
  /// What swiftc says of a function with this body, in a file of its own; empty if it has nothing against it.
  private func complaints(_ body: String) throws -> String {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("misuse-\(UUID().uuidString).swift")
    defer { try? FileManager.default.removeItem(at: file) }
    let text = """
      import RingBuffer
      func use(_ region: SharedRegion, _ layout: LinkLayout) throws {
        var endpoint = Endpoint(region, layout: layout, channel: 0, role: .owner)
        var message = MessageBuffer(capacity: 64)
        endpoint.start(session: 1)
        _ = try endpoint.producer.send(message)
        _ = try endpoint.consumer.receive(into: &message)
      \(body)
      }
      """
    try text.write(to: file, atomically: true, encoding: .utf8)
    let compiler = Process()
    compiler.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    // -emit-sil: use after consuming and overlapping accesses are found behind the type checker.
    compiler.arguments =
      ["swiftc", "-emit-sil", "-o", "/dev/null", "-parse-as-library", "-swift-version", "6", "-I", built("Modules").path]
      + ["-Xcc", "-D_GNU_SOURCE", "-Xcc", "-fmodule-map-file=\(built("CLinux.build/module.modulemap").path)", file.path]
    let output = Pipe()
    compiler.standardError = output
    compiler.standardOutput = output
    try compiler.run()
    let said = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    compiler.waitUntilExit()
    return said
  }

  @Test("The same without the misuse compiles")
  func control() throws {
    #expect(try complaints("_ = endpoint.close()") == "")
  }

  @Test(
    "A second producer, a closed endpoint, bytes of a message that was received over",
    arguments: [
      ("let one = endpoint.producer; _ = one.position", "consume"),
      ("_ = Producer(region, offset: 4096, lineCount: 64, credit: region.word(at: 0))", "inaccessible"),
      ("let word = endpoint.close(); _ = try endpoint.producer.send(message); _ = word", "consume"),
      ("let bytes = message.bytes; _ = try endpoint.consumer.receive(into: &message); _ = bytes.byteCount", "overlapping"),
    ])
  func misuse(body: String, complaint: String) throws {
    let said = try complaints(body)
    #expect(said.contains("error:") && said.contains(complaint), "\(said)")
  }
}
