import DeviceTree
import Linux

/// Reads each blob that a line of stdin names, "IN OUT VERSION", and writes it again; says what its references lack.
@main
struct Rewrite {
  static func main() {
    var failures = 0
    while let line = readLine() {
      let words = line.parts(separatedBy: 0x20)
      guard words.count == 3, let number = parseNumber(words[2]),
        let version = FlattenedVersion(rawValue: UInt32(clamping: number))
      else {
        printError("rewrite: not IN OUT VERSION: \(line)")
        exitProcess(ExitCode.usage.rawValue)
      }
      do {
        let tree = try DeviceTree(path: words[0])
        let blob = try tree.blob(version: version)
        let file = try FileDescriptor(opening: words[1], .createReadWrite, flags: 0x200)
        guard writeBytes(blob, to: file.number) else { throw Errno.last }
        look(tree, words[0])
      } catch {
        failures += 1
        let text = (error as? DeviceTreeError)?.text ?? (error as? Errno)?.text ?? "\(error)"
        printError("\(words[0]) \(text)")
      }
    }
    exitProcess(failures == 0 ? 0 : ExitCode.dataError.rawValue)
  }

  /// Prints every reference that leads nowhere, every interrupt that can't be told, every phandle that two nodes have, and every
  /// alias and label without a node.
  private static func look(_ tree: DeviceTree, _ file: String) {
    let references = References(tree)
    func say(_ text: String) { printLine("\(file): \(text)") }
    for node in references.phandles.duplicates { say("duplicate phandle: \(node.path)") }
    for label in tree.aliases + tree.symbols where label.node == nil { say("label without a node: \(label.name)") }
    func visit(_ node: Node) {
      for reference in references.of(node) {
        switch reference.flaw {
        case nil: continue
        case .dangling: say("reference: \(node.path) \(reference.property)[\(reference.cell)] dangles: \(reference.phandle)")
        case .noCells(let name): say("reference: \(node.path) \(reference.property)[\(reference.cell)]: no \(name)")
        case .tooShort: say("reference: \(node.path) \(reference.property)[\(reference.cell)] is too short")
        }
      }
      do {
        _ = try node.interrupts(references.phandles)
      } catch {
        say("interrupts: \(error.text)")
      }
      for child in node.children { visit(child) }
    }
    visit(tree.root)
  }
}
