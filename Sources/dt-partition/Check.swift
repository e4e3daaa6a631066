import Linux
import Program
import Text
import TreeTools

/// `dt-partition check`: what is wrong with trees, alone and together.
func check(_ arguments: inout Arguments) throws(Failure) -> Int32 {
  let json = arguments.flag("--json")
  let isLive = arguments.flag("--live")
  let hasSeparateBoards = arguments.flag("--separate-boards")
  var guests: [NamedTree] = []
  var hypervisor: [NamedTree] = []
  var ignored: [Rule] = []
  let system = arguments.value("--system", "-s")
  let hypervisorTrees = arguments.values("--hypervisor")
  for id in arguments.values("--ignore") {
    guard let rule = Rule(id) else {
      let near = nearest(id, in: Rule.allCases.map { $0.id })
      arguments.fail("unknown rule '\(id)'\(near.map { "; did you mean \($0)?" } ?? "; dt-partition(1) lists them")")
    }
    ignored.append(rule)
  }
  let sysfs = arguments.value("--sysfs")
  let operands = arguments.operands()
  if isLive {
    if operands.count > 1 { arguments.fail("--live takes one tree, this machine's, not '\(operands[1])' too") }
    if system != nil || !hypervisorTrees.isEmpty {
      arguments.fail("--live takes neither --system nor --hypervisor: it looks at this machine's own devices")
    }
  } else if sysfs != nil {
    arguments.fail("--sysfs is for --live")
  } else if hasSeparateBoards, system != nil {
    arguments.fail("--separate-boards says that there is no one board, and --system names its tree")
  } else if operands.isEmpty {
    arguments.fail("a device tree is missing: name one for each guest")
  }
  if operands.count > 64 { arguments.fail("more than 64 guests' trees") }
  func isWanted(_ finding: Finding) -> Bool { !ignored.contains(finding.rule) }
  if isLive {
    let tree = NamedTree(
      file: operands.first ?? "/proc/device-tree", tree: try TreeArgument(operands.first ?? "/proc/device-tree").tree)
    do throws(Errno) {
      return show(try TreeCheck.live(tree, sysfs: sysfs ?? "/sys").filter { isWanted($0) }, json)
    } catch {
      throw Failure(
        "\(sysfs ?? "/sys") shows no devices of a device tree: \(error.text); was this kernel booted with one?",
        error.isPermission ? .noPermission : .noInput)
    }
  }
  for operand in operands { guests.append(try NamedTree(operand)) }
  for operand in hypervisorTrees { hypervisor.append(try NamedTree(operand)) }
  var check = TreeCheck(
    guests: guests, system: try system.map { path throws(Failure) in try NamedTree(path) }, hypervisor: hypervisor)
  check.hasSeparateBoards = hasSeparateBoards
  return show(check.findings().filter { isWanted($0) }, json)
}

/// Prints findings, and says how bad it is: 0 nothing, 1 warnings, 2 errors.
private func show(_ findings: [Finding], _ json: Bool) -> Int32 {
  for finding in findings {
    if json {
      var object = JSONObject()
      object.add("file", finding.file)
      object.add("node", finding.node)
      object.add("severity", finding.severity.text)
      object.add("rule", finding.rule.id)
      object.add("message", finding.what)
      object.add("why", finding.rule.why)
      object.add("fix", finding.remedy)
      emit(object.text)
    } else {
      emit("\(finding.file): \(finding.node): \(finding.severity.text): \(finding.what)  [\(finding.rule.id)]")
      emit("    why: \(finding.rule.why)")
      emit("    fix: \(finding.remedy)")
    }
  }
  let errors = findings.filter { $0.severity == .error }.count
  let warnings = findings.count - errors
  if !json, !findings.isEmpty {
    emit("\(errors) \(errors == 1 ? "error" : "errors"), \(warnings) \(warnings == 1 ? "warning" : "warnings")")
  }
  return errors > 0 ? 2 : warnings > 0 ? 1 : 0
}

extension NamedTree {
  /// `TREE` or `GUEST=TREE`.
  fileprivate init(_ operand: String) throws(Failure) {
    if fileKind(operand) == .none, let named = Assignment(operand) {
      self.init(file: named.path, guest: named.name, tree: try TreeArgument(named.path).tree)
    } else {
      self.init(file: operand, tree: try TreeArgument(operand).tree)
    }
  }
}
