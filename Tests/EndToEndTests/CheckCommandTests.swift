import CLinux
import Foundation
import TestSupport
import Testing

/// `dt-partition` on real files.
@Suite("dt-partition check", .serialized, .enabled(if: hasCompiler, "needs dtc"))
struct CheckCommandTests {
  private let folder = temporaryPath()

  init() throws { try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true) }

  private func run(_ arguments: [String], environment: [String: String] = [:]) throws -> (
    code: Int32, output: String, errors: String
  ) {
    let program = try Program("dt-partition", arguments, environment: environment)
    let code = program.finish()
    try? FileManager.default.removeItem(atPath: folder + "/never")
    return (code, program.outputText, program.errorText)
  }

  private func file(_ name: String, _ content: Data) throws -> String {
    let path = "\(folder)/\(name)"
    try content.write(to: URL(fileURLWithPath: path))
    return path
  }

  private func blob(_ name: String, _ changes: [(String, String)] = []) throws -> String {
    try file("\(name).dtb", compile(exampleSource(name, changes)).blob)
  }

  private var examples: [String] {
    ["guest1", "guest2"].map { projectRoot.appendingPathComponent("Examples/vexpress-a9/\($0).dts").path }
  }

  @Test("The example, as sources and as blobs: nothing said, exit code 0")
  func clean() throws {
    let system = projectRoot.appendingPathComponent("Examples/vexpress-a9/system.dts").path
    #expect(try run(["check"] + examples) == (0, "", ""))
    #expect(try run(["check"] + examples + ["--system", system]) == (0, "", ""))
    #expect(try run(["check", blob("guest1"), blob("guest2"), "--json"]) == (0, "", ""))
  }

  @Test("An error: file, node, what, rule, why and how to mend it; exit code 2")
  func error() throws {
    let second = try blob("guest2", [("status = \"reserved\";", "")])
    let (code, output, errors) = try run(["check", examples[0], second])
    #expect(code == 2)
    #expect(errors == "")
    let lines = output.split(separator: "\n").map(String.init)
    let node = "/bus@40000000/motherboard-bus@40000000/iofpga@7,00000000/uart@b000"
    #expect(
      lines.first
        == "\(second): \(node): error: it is okay here, for guest2, and in the tree of guest1 (\(examples[0]): \(node))  [okay-twice]"
    )
    #expect(lines.count == 4)
    #expect(lines[1].hasPrefix("    why: both kernels drive it"))
    #expect(lines[2].hasPrefix("    fix: set status = \"reserved\""))
    #expect(lines[3] == "1 error, 0 warnings")
    #expect(try run(["check", examples[0], second, "--ignore", "okay-twice"]) == (0, "", ""))
  }

  @Test("A warning is exit code 1")
  func warning() throws {
    let first = try blob("guest1", [("clients = \"guest2\"", "clients = \"guest2\", \"guest9\"")])
    let (code, output, _) = try run(["check", first, examples[1]])
    #expect(code == 1)
    #expect(output.hasSuffix("0 errors, 1 warning\n"))
  }

  @Test("With --json an object a line")
  func json() throws {
    let second = try blob("guest2", [("channels = <4>", "channels = <2>")])
    let (code, output, _) = try run(["check", "--json", examples[0], second])
    #expect(code == 2)
    let lines = output.split(separator: "\n")
    #expect(lines.count == 1)
    let object = try #require(try JSONSerialization.jsonObject(with: Data(lines[0].utf8)) as? [String: String])
    #expect(Set(object.keys) == ["file", "node", "severity", "rule", "message", "why", "fix"])
    #expect(object["file"] == second)
    #expect(object["node"] == "/guestbroker/links/guest1")
    #expect(object["severity"] == "error")
    #expect(object["rule"] == "link-channels")
    #expect(
      try run(["check", "--json", "/nowhere.dtb"]).output
        == "{\"error\":\"/nowhere.dtb cannot be read: No such file or directory\",\"exit_code\":66}\n")
  }

  @Test("A guest's name before its tree, and a tree from a pipe")
  func names() throws {
    let board = projectRoot.appendingPathComponent("Examples/vexpress-a9/system.dts").path
    let (code, output, _) = try run(["check", "one=\(board)", "two=\(board)"])
    #expect(code == 2)
    #expect(output.contains("it is okay here, for two, and in the tree of one ("))
    #expect(try run(["check", "one=\(board)", "two=\(board)", "--separate-boards"]) == (0, "", ""))
    let tool = built("dt-partition").path
    let pipe = try Shell("cd \(projectRoot.path)/Examples/vexpress-a9 && cat guest1.dts | \(tool) check /dev/stdin guest2.dts")
    #expect(pipe.finish() == 0)
    #expect(pipe.errorText == "")
  }

  @Test("A directory as Linux shows a tree")
  func directory() throws {
    // What dtc makes of its own file system format.
    let fs = "\(folder)/tree"
    let dump = try Shell(
      "dtc -q -I dtb -O dtb \(blob("guest1")) >/dev/null && mkdir -p \(fs)/soc && printf 'a,b\\0' > \(fs)/compatible")
    #expect(dump.finish() == 0)
    #expect(try run(["check", fs]) == (0, "", ""))
    let empty = "\(folder)/empty"
    try FileManager.default.createDirectory(atPath: empty, withIntermediateDirectories: true)
    let (code, _, errors) = try run(["check", empty])
    #expect(code == 65)
    #expect(
      sentence(errors)
        == "\(empty) is a directory, but not one of a device tree (it has neither compatible nor #address-cells); try /proc/device-tree"
    )
  }

  @Test("What can't be read is said in a sentence, with a code of sysexits(3)")
  func unreadable() throws {
    func failure(_ arguments: [String], environment: [String: String] = [:]) throws -> (Int32, String) {
      let (code, output, errors) = try run(["check"] + arguments, environment: environment)
      #expect(output == "")
      return (code, sentence(errors))
    }
    #expect(try failure(["/nowhere.dtb"]) == (66, "/nowhere.dtb cannot be read: No such file or directory"))
    let text = try file("text", Data("hello\n".utf8))
    #expect(
      try failure([text]) == (
        65, "\(text) is neither a flattened device tree (no 0xd00dfeed at its start) nor a source (no /dts-v1/)"
      ))
    let whole = try Data(contentsOf: URL(fileURLWithPath: blob("guest1")))
    let half = try file("half.dtb", whole.prefix(whole.count / 2))
    #expect(try failure([half]) == (65, "\(half) is truncated: what offset 0x4 refers to is missing"))
    let wrong = try file("wrong.dts", Data("/dts-v1/; / { oops }; };".utf8))
    #expect(try failure([wrong]) == (65, "\(wrong): dtc can't compile it, see above"))
    #expect(try run(["check", wrong]).errors.contains("wrong.dts:1."))
    let unprocessed = try file("cpp.dts", Data("/dts-v1/;\n#include <x.h>\n/ { };\n".utf8))
    #expect(
      try failure([unprocessed]).1.hasSuffix(
        "it has #include: pass it through cpp -nostdinc -undef -x assembler-with-cpp -P first"))
    #expect(
      try failure([examples[0]], environment: ["PATH": folder])
        == (
          69,
          "\(examples[0]) is a source, for which dtc is needed: install it (Debian: device-tree-compiler), or name a .dtb"
        ))
  }

  @Test("A command line that makes no sense")
  func usage() throws {
    func failure(_ arguments: [String]) throws -> (Int32, String) {
      let (code, output, errors) = try run(arguments)
      #expect(output == "")
      #expect(errors.contains("Try 'dt-partition"))
      return (code, String(errors.split(separator: "\n")[0]))
    }
    #expect(try failure(["check"]) == (64, "dt-partition: a device tree is missing: name one for each guest"))
    #expect(try failure(["check", "a.dtb", "--sysfs", "/sys"]) == (64, "dt-partition: --sysfs is for --live"))
    #expect(try failure(["check", "--live", "a", "b"]).0 == 64)
    #expect(try failure(["check", "a", "--separate-boards", "--system", "b"]).0 == 64)
    #expect(try failure(["check", "--live", "--system", "b"]).0 == 64)
    #expect(
      try failure(["check", "a.dtb", "--ignore", "okay-twic"]) == (
        64, "dt-partition: unknown rule 'okay-twic'; did you mean okay-twice?"
      ))
    #expect(try failure(["chekc", "a.dtb"]).1.hasPrefix("dt-partition: unknown command 'chekc'"))
    #expect(try failure([]).1.hasPrefix("dt-partition: a command is missing"))
  }

  @Test("Help for the program and for the command, and the version")
  func help() throws {
    #expect(try run(["--help"]).output.hasPrefix("Usage: dt-partition COMMAND"))
    #expect(try run(["check", "--help"]).output.hasPrefix("Usage: dt-partition check"))
    #expect(try run(["--version"]).output == "dt-partition 0.1.0\n")
  }

  @Test("The running tree against the kernel's devices; a kernel without any is an error")
  func live() throws {
    let sysfs = try FakeSysfs()
    let reserved = "uart@a000 { compatible = \"arm,pl011\"; reg = <0xa000 0x1000>; status = \"reserved\"; };\n"
    let tree = try blob("guest1", [("uart2: uart@b000 {", "\(reserved)uart2: uart@b000 {")])
    #expect(try run(["check", "--live", tree, "--sysfs", sysfs.path]).code == 66)
    let bus = "/bus@40000000/motherboard-bus@40000000/iofpga@7,00000000"
    for name in ["uart@9000", "uart@a000"] {
      try sysfs.directory("firmware/devicetree/base\(bus)/\(name)")
      try sysfs.directory("devices/\(name)")
      try sysfs.link("devices/\(name)/of_node", to: "firmware/devicetree/base\(bus)/\(name)")
      try sysfs.link("bus/amba/devices/\(name)", to: "devices/\(name)")
    }
    let (code, output, _) = try run(["check", "--live", tree, "--sysfs", sysfs.path])
    #expect(code == 2)
    #expect(
      output.contains(
        "\(tree): \(bus)/uart@a000: error: this kernel has device uart@a000 for it, but its status is \"reserved\""))
    #expect(
      output.contains("\(tree): \(bus)/uart@b000: warning: it is okay in this tree, but this kernel has no device for it"))
    #expect(output.contains("[live-no-driver]"))
    #expect(!output.contains("uart@9000"))
  }
}
