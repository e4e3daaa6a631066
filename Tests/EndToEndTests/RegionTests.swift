import CLinux
import DeviceTree
import Foundation
import Partition
import TestSupport
import Testing
import TreeTools

/// A file with a tree of guest1's that has links to as many guests, called g1g2, g1g3 and so on, each of which may use uart2.
func ownersTree(guests: Int) throws -> String {
  var root = Draft(try DeviceTree(blob: #require(builtInTree("guest1"))))
  let memory = try #require(root.childIndex("reserved-memory"))
  let broker = try #require(root.childIndex("guestbroker"))
  let links = try #require(root.children[broker].childIndex("links"))
  let exports = try #require(root.children[broker].childIndex("exports"))
  let region = try #require(root.children[memory].children.first { $0.property("guestbroker,id") != nil })
  let link = root.children[broker].children[links].children[0]
  var names = Array("guest2".utf8) + [0]
  for number in 3..<max(3, guests + 2) {
    var region = region
    var link = link
    region.labels = []
    region.name = "guestbroker@\(String(0xa000_0000 + number << 20, radix: 16))"
    region.set(DraftProperty("reg", cells: [0xa000_0000 + UInt32(number) << 20, 1 << 20]))
    region.set(DraftProperty("guestbroker,id", "g1g\(number)"))
    region.set(DraftProperty("phandle", cells: [0x1000 + UInt32(number)]))
    link.name = "guest\(number)"
    link.set(DraftProperty("peer-name", "guest\(number)"))
    link.set(DraftProperty("memory-region", cells: [0x1000 + UInt32(number)]))
    root.children[memory].children.append(region)
    root.children[broker].children[links].children.append(link)
    names += Array("guest\(number)".utf8) + [0]
  }
  let export = try #require(root.children[broker].children[exports].childIndex("uart2"))
  root.children[broker].children[exports].children[export].set(DraftProperty("clients", value: names))
  let path = temporaryPath()
  try Data(DeviceTree(root).blob()).write(to: URL(fileURLWithPath: path))
  return path
}

/// brokerd with a link to guest2 and one to guest3, both seen by an example's guest2 as its link g1g2.
private final class TwoLinks {
  let memory = (temporaryMemory(), temporaryMemory())
  private let tree: String
  let broker: Program

  init() throws {
    tree = try ownersTree(guests: 2)
    broker = try Program(
      "brokerd",
      ["--device-tree", tree, "--memory", "g1g2=\(memory.0)", "--memory", "g1g3=\(memory.1)", "--bind", "uart2=pty"])
    let broker = self.broker
    try broker.wait { broker.outputText.contains("serves") || !broker.process.isRunning }
  }

  func start(_ arguments: [String], over memory: String) throws -> Program {
    try Program("guestagent", arguments + ["--memory", "g1g2=\(memory)"])
  }

  deinit {
    broker.kill()
    for path in [memory.0, memory.1, tree] { unlink(path) }
  }
}

@Suite("A link's region as a file", .serialized)
struct RegionTests {
  @Test("A region that is cut short under both programs: each says so, other links go on, and the last one ends brokerd")
  func cutShort() throws {
    let links = try TwoLinks()
    let reader = try links.start(["uart", "read", "uart2"], over: links.memory.0)
    usleep(300_000)  // it waits for a byte by now; when not, the test still holds
    #expect(truncate(links.memory.0, 0) == 0)
    #expect(reader.finish() == 74)
    #expect(reader.errorText.contains("link g1g2: its region \(links.memory.0) was cut short while in use; "))
    #expect(reader.errorText.contains("Start brokerd on guest1 again"))
    let sentence =
      "link g1g2: its region \(links.memory.0) was cut short while in use; guest2 is not served any more until brokerd is started again"
    try links.broker.wait { links.broker.errorText.contains(sentence) }
    let other = try links.start(["uart", "write", "uart2", "hello"], over: links.memory.1)
    #expect(other.finish() == 0, "\(other.errorText)")
    #expect(links.broker.process.isRunning)
    #expect(links.broker.errorText.components(separatedBy: "cut short").count == 2)
    #expect(!links.broker.errorText.contains("broke the protocol"))

    // Behind the control words, where only a request gets to.
    #expect(truncate(links.memory.1, 4096) == 0)
    #expect(links.broker.finish() == 74)
    #expect(
      EndToEndTests.sentence(links.broker.errorText)
        == "link g1g3: its region \(links.memory.1) was cut short while in use; guest3 is not served any more until brokerd is started again"
    )
    #expect(!links.broker.errorText.contains("at /"), "a backtrace")
  }

  /// The programs are built as the tests are.

  @Test(
    "A region that its file system has no room for is refused at the start by both programs, and not left behind",
    .disabled(if: hasThreadSanitizer, "ThreadSanitizer needs larger files itself"))
  func noRoom() throws {
    for program in ["brokerd", "guestagent list"] {
      let memory = temporaryMemory()
      let words = program.split(separator: " ").map(String.init)
      let command = ([built(words[0]).path] + words.dropFirst()).joined(separator: " ")
      // A limit of 100 KB or 50 KB, by the shell. It comes as EFBIG, as a full file system does as ENOSPC.
      let shell = try Shell("trap '' XFSZ; ulimit -f 100; exec \(command) --memory g1g2=\(memory)")
      #expect(shell.finish() == 73)
      #expect(
        sentence(shell.errorText)
          == "link g1g2: \(memory) can't have the 1048576 bytes that the link needs: File too large; make room on its file system, or name a file elsewhere with --memory on both sides"
      )
      #expect(!shell.outputText.contains("serves"))
      #expect(access(memory, F_OK) != 0)
    }
  }

  @Test("A file of another kind is refused by both programs and stays as it is", arguments: ["brokerd", "guestagent list"])
  func otherFile(program: String) throws {
    let path = temporaryPath()
    defer { unlink(path) }
    let content = Data(repeating: 0x61, count: 2_000_000)
    try content.write(to: URL(fileURLWithPath: path))
    let words = program.split(separator: " ").map(String.init)
    let process = try Program(words[0], words.dropFirst() + ["--memory", "g1g2=\(path)"])
    #expect(process.finish() == 73)
    #expect(
      sentence(process.errorText)
        == "link g1g2: \(path) has 2000000 bytes of something else: it is not as long as the link's region, 1048576 bytes, and doesn't begin as one; it was left as it is. Name another file with --memory, or remove this one"
    )
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == content)
  }

  @Test("brokerd says once that a region's file was removed, and goes on; a new guestagent says what may have happened")
  func removed() throws {
    let broker = try Broker()
    let reader = try broker.start(["uart", "read", "uart2", "-n", "2"])
    let far = try #require(broker.simulatedPath)
    let line = open(far, O_RDWR | O_NOCTTY)
    defer { close(line) }
    #expect(write(line, "a", 1) == 1)
    try reader.wait { reader.outputText == "a" }
    #expect(unlink(broker.memory) == 0)
    let sentence =
      "link g1g2: its region's file \(broker.memory) was removed; programs that run go on, new ones of guest2 can't find it: start brokerd again"
    try broker.program.wait { broker.program.errorText.contains(sentence) }
    let late = try broker.agent(["uart", "write", "uart2", "x", "--wait", "300ms"])
    #expect(late.code == 69)
    #expect(
      late.errors.hasSuffix(
        "If so, its file was removed: no brokerd has used \(broker.memory) yet; start it again\n"))
    #expect(write(line, "b", 1) == 1)
    #expect(reader.finish() == 0)
    usleep(2_500_000)  // another look
    #expect(broker.program.errorText.components(separatedBy: "was removed").count == 2)
    kill(broker.program.process.processIdentifier, SIGTERM)
    #expect(broker.program.finish() == 0)
    // A region that had its owner: nothing of a file.
    try broker.restart()
    broker.program.kill()
    let again = try broker.agent(["uart", "write", "uart2", "x", "--wait", "300ms"])
    #expect(again.errors.contains("is brokerd running there?") && !again.errors.contains("removed"))
  }
}
