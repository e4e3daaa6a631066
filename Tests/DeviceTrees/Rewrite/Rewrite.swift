import DeviceTree
import Linux
import Program
import Text
import TreeTools

/// Reads each blob that a line of stdin names, "IN OUT VERSION", and writes it again; says what its references lack. With "source" for
/// a version, writes a source, and to OUT.dtb what it should become: the tree without its labels.
@main
struct Rewrite {
  static func main() {
    var failures = 0
    while let line = readLine() {
      let words = line.parts(separatedBy: 0x20)
      if words.count == 3, sameText(words[2], "source") {
        if !writeSource(words[0], words[1]) { failures += 1 }
        continue
      }
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

  private static func writeSource(_ path: String, _ out: String) -> Bool {
    do {
      let tree = try DeviceTree(path: path)
      var draft = Draft(tree)
      try writeFile(out, Array(try draft.source(reservations: tree.reservations, keepsPhandles: true).utf8))
      dropLabels(&draft)
      try writeFile("\(out).dtb", try DeviceTree(draft).blob(version: .v17))
      return true
    } catch {
      printError("\(path) \((error as? SourceError)?.text ?? (error as? DeviceTreeError)?.text ?? "\(error)")")
      return false
    }
  }

  private static func dropLabels(_ draft: inout Draft) {
    draft.labels = []
    for index in draft.children.indices { dropLabels(&draft.children[index]) }
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
