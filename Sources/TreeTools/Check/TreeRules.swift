import DeviceTree
import Partition

/// What one tree gets wrong by itself.
func checkTree(_ survey: Survey, _ report: Report) {
  checkNames(survey, limit: .max, report)
  checkAliases(survey, report)
  checkConsole(survey, report)
}

/// Names that no tool can be told, or that are longer than whoever reads them takes.
func checkNames(_ survey: Survey, limit: Int, _ report: Report) {
  for (index, node) in survey.nodes.enumerated() {
    let name = node.name
    if index > 0, !name.hasOnlyLettersDigits(and: ",._+-@") {
      report.add(
        .badName, survey, index, "its name has a character that no node's may have",
        "use letters, digits and ,._+- and one @ before the unit address")
    }
    if name.utf8.count > limit {
      report.add(
        .badName, survey, index, "its name has \(name.utf8.count) characters, and the hypervisor takes \(limit)", "shorten it")
    }
    if let property = node.propertyNames.first(where: { !$0.hasOnlyLettersDigits(and: ",._+?#-") }) {
      report.add(
        .badName, survey, index,
        "the name of property \"\(property)\" has a character that no property's may have, or none at all",
        "use letters, digits and ,._+?#-")
    }
  }
}

private func checkAliases(_ survey: Survey, _ report: Report) {
  guard let aliases = survey.child(0, "aliases") else { return }
  for (name, value) in survey.nodes[aliases].properties where name != "phandle" && name != "linux,phandle" {
    guard let target = value.string, target.hasPrefix("/"), survey.node(path: target) == nil else {
      continue
    }
    report.add(
      .danglingAlias, survey, aliases, "alias \(name) leads to \(target), which is not in this tree",
      "drop the alias, or keep its target with status = \"reserved\"")
  }
}

/// Where the kernel's messages go.
private func checkConsole(_ survey: Survey, _ report: Report) {
  guard let chosen = survey.child(0, "chosen") else { return }
  for name in ["stdout-path", "linux,stdout-path"] {
    guard let text = survey.nodes[chosen].property(name)?.string else { continue }
    // What is behind the colon is the speed.
    guard let target = survey.resolve(text.before(":")) else {
      report.add(
        .danglingStdout, survey, chosen, "\(name) is \"\(text)\", which leads to no node of this tree",
        "name the console that this guest has")
      continue
    }
    if !survey.isOkay(target) {
      report.add(
        .danglingStdout, survey, chosen,
        "\(name) leads to \(survey.path(target)), which is not this guest's: \(statusText(survey, target))",
        "name the console that this guest has")
    }
  }
}

extension Survey {
  /// The node at a path, or behind an alias and a path below it.
  func resolve(_ path: String) -> Int? {
    if path.hasPrefix("/") { return node(path: path) }
    let alias = path.before("/")
    guard let aliases = child(0, "aliases"), let target = nodes[aliases].property(alias)?.string else { return nil }
    return node(path: target + path.dropFirst(alias.count))
  }
}
