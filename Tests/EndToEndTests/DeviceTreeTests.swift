import CLinux
import Foundation
import TestSupport
import Testing

/// A file with what dtc makes of an example's source, changed.
private func compiledFile(_ name: String, _ changes: [(String, String)] = []) throws -> String {
  let path = temporaryPath()
  try compile(exampleSource(name, changes)).blob.write(to: URL(fileURLWithPath: path))
  return path
}

/// An owner and a borrower that know each other by device trees of their own, and the region by a file: its doorbell is the
/// trees' timed poll.
private final class Partitioned {
  let memory = temporaryMemory()
  private let trees: [String]
  let broker: Program

  init(owner: [(String, String)] = [], borrower: [(String, String)] = []) throws {
    trees = [try compiledFile("guest1", owner), try compiledFile("guest2", borrower)]
    broker = try Program(
      "brokerd", ["--owner", "guest1", "--device-tree", trees[0], "--memory", "g1g2=\(memory)", "--simulate"])
    let broker = self.broker
    try broker.wait { broker.outputText.contains("serves") || !broker.process.isRunning }
  }

  func start(_ arguments: [String]) throws -> Program {
    try Program("guestagent", arguments + ["--device-tree", trees[1], "--memory", "g1g2=\(memory)"])
  }

  func agent(_ arguments: [String]) throws -> (code: Int32, output: String, errors: String) {
    let program = try start(arguments)
    return (program.finish(), program.outputText, program.errorText)
  }

  deinit {
    broker.kill()
    for path in trees + [memory, "\(memory)-uart2"] { _ = unlink(path) }
  }
}

@Suite("Device trees of two guests", .serialized, .enabled(if: hasCompiler, "needs dtc"))
struct DeviceTreeTests {
  @Test("The whole job with a tree for each guest and a timed poll for a doorbell, without a word about an example")
  func wholeJob() throws {
    let guests = try Partitioned()
    let write = try guests.agent(["uart", "write", "uart2", "hello"])
    #expect(write.code == 0)
    #expect(write.output.hasPrefix("uart2: 5 bytes sent by guest1 in "))
    #expect(write.errors == "")
    let list = try guests.agent(["list"])
    #expect(
      list.output.split(separator: "\n").last?.split(separator: " ").map(String.init) == [
        "uart2", "uart", "guest1", "rw", "g1g2", "up",
      ])
  }

  /// How often a process has slept so far.
  private func sleeps(_ program: Program) throws -> Int {
    let text = try String(contentsOfFile: "/proc/\(program.process.processIdentifier)/status", encoding: .utf8)
    let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("voluntary_ctxt_switches") })
    return try #require(Int(line.split(separator: "\t").last ?? ""))
  }

  @Test("Spec 2 §6: with timed polls and a reader that waits, either side looks some 500 times a second, not 5000")
  func polls() throws {
    let guests = try Partitioned()
    let reader = try guests.start(["uart", "read", "uart2"])
    sleep(1)
    let before = (try sleeps(guests.broker), try sleeps(reader))
    sleep(5)
    let used = (try sleeps(guests.broker) - before.0, try sleeps(reader) - before.1)
    print("sleeps in 5 s: brokerd \(used.0), guestagent \(used.1)")
    #expect(used.0 > 0 && used.0 < 4000)
    #expect(used.1 > 0 && used.1 < 4000)
    reader.kill()
  }

  @Test("Two trees that don't agree about the doorbell: both sides say so, and a request still takes no tenths of a second")
  func doorbells() throws {
    let guests = try Partitioned(borrower: [("doorbell = \"poll\"", "doorbell = \"futex\"")])
    let result = try guests.agent(["ping", "-c", "10", "-i", "30ms", "--json"])
    #expect(result.code == 0, "\(result.errors)")
    #expect(result.errors.contains("its doorbell there is \"poll\", here \"futex\""))
    try guests.broker.wait { guests.broker.errorText.contains("its doorbell there is \"futex\", here \"poll\"") }
    let object = try #require(try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
    #expect(try #require(object["p50_ns"] as? Int) < 50_000_000)
  }

  @Test("An import may have another name than its owner's export")
  func remoteName() throws {
    let guests = try Partitioned(borrower: [
      ("uart2 {\n\t\t\t\tclass", "console {\n\t\t\t\tremote-name = \"uart2\";\n\t\t\t\tclass")
    ])
    let write = try guests.agent(["uart", "write", "console", "hello"])
    #expect(write.output.hasPrefix("console: 5 bytes sent by guest1 in "))
    #expect(write.errors == "")
  }

  @Test("An import of a class that can't be used yet: a note, a row in the list, and no UART")
  func otherClass() throws {
    let guests = try Partitioned(borrower: [
      (
        "uart2 {\n\t\t\t\tclass",
        "sensors {\n\t\t\t\tclass = \"i2c\";\n\t\t\t\tlink = <&guest1>;\n\t\t\t};\n\t\t\tuart2 {\n\t\t\t\tclass"
      )
    ])
    let note = "guestagent: /guestbroker/imports/sensors cannot be used yet: this version serves class \"uart\" only\n"
    let list = try guests.agent(["list"])
    #expect(list.code == 0 && list.errors == note)
    let rows = list.output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
    #expect(rows.contains(["sensors", "i2c", "guest1", "not", "exported", "g1g2", "up"]))
    #expect(rows.contains(["uart2", "uart", "guest1", "rw", "g1g2", "up"]))
    let write = try guests.agent(["uart", "write", "sensors", "hello"])
    #expect(write.code == 64)
    #expect(write.errors.contains("sensors is of class i2c, no UART"))
  }

  @Test("A peripheral that is not granted to this guest")
  func notGranted() throws {
    let guests = try Partitioned(owner: [("clients = \"guest2\"", "clients = \"guest3\"")])
    let write = try guests.agent(["uart", "write", "uart2", "hello"])
    #expect(write.code == 77)
    #expect(
      sentence(write.errors)
        == "uart2: guest1 has not granted this to guest2; its export's clients and access say what it grants (see 'guestagent list')"
    )
    #expect(try guests.agent(["list"]).output.contains("not granted"))
  }

  @Test("A grant for reading alone; a speed beyond max-baud")
  func grantOfOne() throws {
    let guests = try Partitioned(owner: [("access = \"rw\"", "access = \"ro\"")])
    #expect(try guests.agent(["uart", "write", "uart2", "hello"]).code == 77)
    #expect(try guests.agent(["uart", "flush", "uart2"]).code == 0)
    let full = try Partitioned()
    let config = try full.agent(["uart", "config", "uart2", "2000000", "--json"])
    #expect(config.code == 77)
    #expect(sentence(config.errors) == "uart2: guest1 allows at most 1000000 baud (its export's max-baud), not 2000000")
    let object = try #require(try JSONSerialization.jsonObject(with: Data(config.output.utf8)) as? [String: Any])
    #expect(object["exit_code"] as? Int == 77)
  }

  @Test("A peripheral that the owner's tree does not export")
  func notExported() throws {
    let guests = try Partitioned(borrower: [("uart2 {\n\t\t\t\tclass", "uart7 {\n\t\t\t\tclass")])
    #expect(try guests.agent(["list"]).output.contains("not exported"))
    let write = try guests.agent(["uart", "write", "uart7", "hello"])
    #expect(write.code == 68)
    #expect(
      sentence(write.errors)
        == "uart7: guest1 exports no such peripheral; does its device tree, and the name or remote-name here?")
  }

  @Test("Trees that disagree about the link")
  func disagree() throws {
    let guests = try Partitioned(borrower: [("channels = <4>", "channels = <2>")])
    let write = try guests.agent(["uart", "write", "uart2", "hello"])
    #expect(write.code == 76 || write.code == 69, "\(write.code)")
    #expect(write.errors.contains("channels 4, here 2"))
  }

  @Test("A tree that is missing, truncated, no device tree, or not about GuestBroker", arguments: ["guestagent", "brokerd"])
  func badTrees(name: String) throws {
    func run(_ tree: String) throws -> (Int32, String) {
      let program = try Program(name, name == "brokerd" ? ["--device-tree", tree] : ["list", "--device-tree", tree])
      return (program.finish(), sentence(program.errorText))
    }
    #expect(try run("/nonexistent.dtb") == (66, "/nonexistent.dtb cannot be read: No such file or directory"))
    let blob = try compiledFile("guest1")
    defer { unlink(blob) }
    let whole = try Data(contentsOf: URL(fileURLWithPath: blob))
    try whole.prefix(whole.count / 2).write(to: URL(fileURLWithPath: blob))
    #expect(try run(blob) == (65, "\(blob) is truncated: what offset 0x4 refers to is missing"))
    try Data("/dts-v1/;".utf8).write(to: URL(fileURLWithPath: blob))
    #expect(try run(blob) == (65, "\(blob) is not a flattened device tree (no 0xd00dfeed at its start); compile it with dtc"))
    let board = try compiledFile("system")
    defer { unlink(board) }
    #expect(
      try run(board) == (
        78, "\(board): no node is compatible with \"guestbroker,guest-v1\"; add one to this guest's device tree"
      ))
    chmod(blob, 0)
    if geteuid() != 0 { #expect(try run(blob) == (77, "\(blob) cannot be read: Permission denied")) }
  }

  @Test("The wrong owner for a tree")
  func wrongOwner() throws {
    let blob = try compiledFile("guest1")
    defer { unlink(blob) }
    let broker = try Program("brokerd", ["--owner", "guest2", "--device-tree", blob])
    #expect(broker.finish() == 78)
    #expect(
      sentence(broker.errorText)
        == "--owner guest2, but this device tree (\(blob)) is guest1's; run this on guest2, or name its tree with --device-tree"
    )
  }

  @Test("A device node without a terminal")
  func noTerminal() throws {
    let blob = try compiledFile("guest1")
    let memory = temporaryMemory()
    defer {
      unlink(blob)
      unlink(memory)
    }
    let broker = try Program("brokerd", ["--device-tree", blob, "--memory", "g1g2=\(memory)"])
    #expect(broker.finish() == 72)
    #expect(sentence(broker.errorText).hasPrefix("uart2: no terminal of this kernel belongs to /bus@40000000/"))
  }
}
