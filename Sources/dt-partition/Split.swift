import DeviceTree
import Linux
import Program
import TreeTools

/// `dt-partition split`: each guest's tree, out of the whole board's.
func split(_ arguments: inout Arguments) throws(Failure) -> Int32 {
  let force = arguments.flag("--force", "-f")
  var makers: [Hypervisor] = []
  guard let folder = arguments.value("--out", "-o"), !folder.isEmpty else {
    arguments.fail("--out DIR is missing: where the guests' trees are to go")
  }
  for name in arguments.values("--hypervisor") {
    guard let maker = Hypervisor(name) else { arguments.fail("unknown hypervisor '\(name)'; there are xvisor and xen") }
    if !makers.contains(maker) { makers.append(maker) }
  }
  let operands = arguments.operands()
  guard operands.count == 1 else {
    arguments.fail(operands.isEmpty ? "the system's tree is missing" : "one system's tree, not '\(operands[1])' too")
  }
  let path = operands[0]

  let system = try readSystem(path)
  var files: [(name: String, content: String)] = []
  do throws(SystemTreeError) {
    let name = path.split(separator: "/").last ?? path[...]
    let made = "Made from \(name) by dt-partition split: change that, not this."
    for guest in try system.guestTrees() {
      files.append(("\(guest.guestName).dts", try guest.source(comment: ["The device tree of \(guest.guestName).", made])))
    }
    for maker in makers { files += try system.hypervisorSources(maker, comment: [made]) }
  } catch {
    throw Failure("\(path): \(error.text)", .config)
  }
  for note in system.notes() { printError("dt-partition: \(path): \(note)") }

  do throws(Errno) {
    try makeDirectory(folder)
  } catch {
    throw Failure("\(folder) can't be made: \(error.text)", error.isPermission ? .noPermission : .cantCreate)
  }
  // Before anything is written.
  for file in files {
    let target = "\(folder)/\(file.name)"
    let kind = fileKind(target)
    if kind == .none || kind == .regular && (force || isThere(file.content, target)) { continue }
    throw Failure(
      kind == .regular
        ? "\(target) is there and says something else; --force replaces it" : "\(target) is there, and is no file",
      .cantCreate)
  }
  for file in files { try write(file.content, "\(folder)/\(file.name)") }
  return 0
}

/// Reads a system's tree.
func readSystem(_ path: String) throws(Failure) -> SystemTree {
  let tree = try TreeArgument(path, withLabels: true).tree
  do throws(SystemTreeError) {
    return try SystemTree(tree)
  } catch {
    throw Failure("\(path): \(error.text)", .config)
  }
}

/// Writes a file, unless it is there already, and says so.
func write(_ content: String, _ path: String) throws(Failure) {
  if isThere(content, path) {
    emit("\(path): as it was")
    return
  }
  do throws(Errno) {
    try writeFile(path, Array(content.utf8))
  } catch {
    throw Failure("\(path) can't be written: \(error.text)", error.isPermission ? .noPermission : .cantCreate)
  }
  emit("\(path): written")
}

private func isThere(_ content: String, _ path: String) -> Bool {
  guard let bytes = try? readFile(path, limit: content.utf8.count) else { return false }
  return bytes.elementsEqual(content.utf8)
}
