import CLinux
import Foundation
import TestSupport
import Testing

/// `dt-partition split` and `show` on real files.
@Suite("dt-partition split and show", .serialized, .enabled(if: hasCompiler, "needs dtc"))
final class SplitCommandTests {
  private let folder = temporaryPath()

  init() throws { try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true) }

  deinit {
    chmod(folder, 0o755)
    try? FileManager.default.removeItem(atPath: folder)
  }

  private func run(_ arguments: [String]) throws -> (code: Int32, output: String, errors: String) {
    let program = try Program("dt-partition", arguments)
    let code = program.finish()
    return (code, program.outputText, program.errorText)
  }

  private var example: String { projectRoot.appendingPathComponent("Examples/vexpress-a9/system.dts").path }

  /// A system's tree as a blob, changed.
  private func blob(_ changes: [(String, String)] = []) throws -> String {
    let path = "\(folder)/system.dtb"
    try compile(exampleSource("system", changes)).blob.write(to: URL(fileURLWithPath: path))
    return path
  }

  private func content(_ path: String) throws -> String { try String(contentsOfFile: path, encoding: .utf8) }

  @Test("The example's guest trees are what split makes of its system tree")
  func example_() throws {
    let out = "\(folder)/new/trees"
    let (code, output, errors) = try run(["split", example, "--out", out])
    #expect(code == 0 && errors == "")
    #expect(output == "\(out)/guest1.dts: written\n\(out)/guest2.dts: written\n")
    for guest in ["guest1", "guest2"] {
      #expect(try content("\(out)/\(guest).dts") == exampleSource(guest), "run Examples/vexpress-a9/embed")
    }
    #expect(try run(["check", "\(out)/guest1.dts", "\(out)/guest2.dts", "--system", example]) == (0, "", ""))
    #expect(try run(["split", example, "-o", out]).output == "\(out)/guest1.dts: as it was\n\(out)/guest2.dts: as it was\n")
  }

  @Test("A blob gives trees that mean the same, with labels made up")
  func blobs() throws {
    let out = "\(folder)/out"
    #expect(try run(["split", blob(), "--out", out]).code == 0)
    #expect(try content("\(out)/guest2.dts").contains("stdout-path = \"serial1:115200n8\""))
    #expect(try compile(content("\(out)/guest1.dts")).complaints == "")
    #expect(try run(["check", "\(out)/guest1.dts", "\(out)/guest2.dts"]) == (0, "", ""))
  }

  @Test("The hypervisor's side passes the check too", arguments: ["xvisor", "xen"])
  func hypervisor(name: String) throws {
    let out = "\(folder)/\(name)"
    #expect(try run(["split", example, "--out", out, "--hypervisor", name]).code == 0)
    var arguments = ["check", "\(out)/guest1.dts", "\(out)/guest2.dts", "--system", example]
    if name == "xen" { arguments += ["--hypervisor", "\(out)/xen.dts"] }
    for guest in ["guest1", "guest2"] { arguments += ["--hypervisor", "\(guest)=\(out)/\(guest).\(name).dts"] }
    #expect(try run(arguments) == (0, "", ""))
    for file in try FileManager.default.contentsOfDirectory(atPath: out) {
      #expect(try compile(content("\(out)/\(file)")).complaints == "", "\(file)")
    }
  }

  @Test("A file that says something else is replaced only with --force, and nothing is written then")
  func existing() throws {
    try "mine".write(toFile: "\(folder)/guest2.dts", atomically: true, encoding: .utf8)
    let (code, output, errors) = try run(["split", example, "--out", folder])
    #expect(code == 73 && output == "")
    #expect(sentence(errors) == "\(folder)/guest2.dts is there and says something else; --force replaces it")
    #expect(!FileManager.default.fileExists(atPath: "\(folder)/guest1.dts"))
    #expect(try run(["split", example, "--out", folder, "--force"]).code == 0)
    #expect(try content("\(folder)/guest2.dts") == exampleSource("guest2"))
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == ["guest1.dts", "guest2.dts"])
    try FileManager.default.removeItem(atPath: "\(folder)/guest1.dts")
    try FileManager.default.createDirectory(atPath: "\(folder)/guest1.dts", withIntermediateDirectories: false)
    #expect(
      sentence(try run(["split", example, "--out", folder, "--force"]).errors)
        == "\(folder)/guest1.dts is there, and is no file")
  }

  @Test("A folder that can't be made or written")
  func unwritable() throws {
    try "a file".write(toFile: "\(folder)/file", atomically: true, encoding: .utf8)
    let (code, _, errors) = try run(["split", example, "--out", "\(folder)/file/out"])
    #expect(code == 73 && sentence(errors) == "\(folder)/file/out can't be made: File exists")
    if geteuid() != 0 {
      chmod(folder, 0o500)
      let (code, _, errors) = try run(["split", example, "--out", folder])
      #expect(code == 77 && sentence(errors) == "\(folder)/guest1.dts can't be written: Permission denied")
    }
    #expect(try run(["split", example, "--out", "/proc/never"]).code == 73)
  }

  @Test(
    "A tree without domains, a link to an unknown domain, access to nothing: which node, and the remedy; nothing is written")
  func refused() throws {
    let guest = projectRoot.appendingPathComponent("Examples/vexpress-a9/guest1.dts").path
    #expect(
      try run(["split", guest, "--out", "\(folder)/out"])
        == (
          78, "",
          "dt-partition: \(guest): /domains has no child that is compatible with \"openamp,domain-v1\"; add one for each guest\n"
        ))
    let unknown = try run(["split", blob([("borrower = <&guest2>", "borrower = <&uart1>")]), "--out", "\(folder)/out"])
    #expect(
      unknown.code == 78
        && unknown.errors.contains("/domains/links/g1g2: property borrower refers to something else, or to nothing"))
    let nothing = try run(["split", blob([("access = <&uart1>", "access = <0x99>")]), "--out", "\(folder)/out"])
    #expect(
      nothing.code == 78 && nothing.errors.contains("/domains/guest2: property access refers to something else, or to nothing"))
    #expect(!FileManager.default.fileExists(atPath: "\(folder)/out"))
  }

  @Test("A note for what is shared goes to stderr")
  func notes() throws {
    let clock = """
      / { shared: clock@f0000000 { reg = <0xf0000000 0x1000>; #clock-cells = <0>; }; };
      &uart0 { clocks = <&shared>; clock-names = "uartclk"; };
      &uart1 { clocks = <&shared>; clock-names = "uartclk"; };
      / {
      \treserved-memory {
      """
    let change = [("/ {\n\treserved-memory {", clock)]
    let (code, output, errors) = try run(["split", blob(change), "--out", "\(folder)/out"])
    #expect(code == 0 && output.contains("guest1.dts: written"))
    #expect(errors.contains("/clock@f0000000 is in no domain's access, but 2 guests need it"))
  }

  @Test("Words that make no sense")
  func usage() throws {
    for (arguments, wanted) in [
      (["split"], "--out DIR is missing: where the guests' trees are to go"),
      (["split", "--out", folder], "the system's tree is missing"),
      (["split", "a", "b", "--out", folder], "one system's tree, not 'b' too"),
      (["split", "a", "--out", folder, "--hypervisor", "kvm"], "unknown hypervisor 'kvm'; there are xvisor and xen"),
      (["show"], "a device tree is missing: name one for each guest, or a system's with /domains"),
      (["show", "a", "--colour"], "unknown option --colour"),
    ] {
      let (code, _, errors) = try run(arguments)
      #expect(code == 64)
      #expect(errors.hasPrefix("dt-partition: \(wanted)\n"), "\(errors)")
    }
    #expect(try run(["split", "\(folder)/never.dtb", "--out", folder]).code == 66)
    #expect(try run(["split", "--help"]).output.hasPrefix("Usage: dt-partition split"))
    #expect(try run(["show", "--help"]).output.hasPrefix("Usage: dt-partition show"))
  }

  @Test("show: tables, objects and a picture, of guests' trees or a system's")
  func show() throws {
    let (code, output, errors) = try run(["show", example])
    #expect(code == 0 && errors == "")
    func row(_ first: String, _ text: String) -> [String] {
      text.split(separator: "\n").first { $0.hasPrefix("\(first) ") }?.split(separator: " ").map(String.init) ?? []
    }
    let lines = output.components(separatedBy: "\n\n")
    #expect(lines.count == 4)
    #expect(row("uart1", lines[1]).prefix(4) == ["uart1", "guest2", "0x1000a000", "4"])
    #expect(row("g1g2", lines[2]).prefix(3) == ["g1g2", "guest1", "guest2"])
    #expect(row("uart2", lines[3]) == ["uart2", "uart", "guest1", "guest2", "rw", "g1g2", "uart2"])
    let guests = ["guest1", "guest2"].map { projectRoot.appendingPathComponent("Examples/vexpress-a9/\($0).dts").path }
    #expect(try run(["show"] + guests).output.components(separatedBy: "\n\n").dropFirst() == lines.dropFirst())

    let picture = "\(folder)/picture.svg"
    #expect(try run(["show", example, "--svg", picture]).output == output)
    #expect(try content(picture).hasPrefix("<svg xmlns="))
    #expect(try run(["show", example, "--svg", picture]).code == 73)
    #expect(try run(["show", example, "--svg", picture, "--force"]).code == 0)
    #expect(try run(["show", example, "--svg", "-"]).output == content(picture) + "\n")
    #expect(try run(["show", example, "--svg", "\(folder)/no/such.svg"]).code == 73)

    var kinds: [String] = []
    for line in try run(["show", example, "--json"]).output.split(separator: "\n") {
      let object = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
      kinds.append(try #require(object["kind"] as? String))
    }
    #expect(
      kinds == ["guest", "memory", "peripheral", "peripheral", "guest", "memory", "peripheral", "peripheral", "link", "loan"])
  }

  @Test("show: a tree without a guest node is shown with what it lacks")
  func incomplete() throws {
    let (code, output, errors) = try run(["show", blob([("openamp,domain-v1", "other,domain")])])
    #expect(code == 0 && output.contains("uart3"))
    #expect(errors.contains("no node is compatible with \"guestbroker,guest-v1\""))
  }
}
