import BrokerProtocol
import GuestAgent
import Linux
import Partition

/// `guestagent list`: what this guest can reach.
func list(_ arguments: inout Arguments) throws(Failure) {
  let context = try Context(&arguments)
  do throws(UsageError) {
    if let operand = try arguments.operands().first { throw UsageError("unexpected argument '\(operand)'") }
  } catch {
    throw Failure(error)
  }
  var rows: [[String]] = []
  var firstFailure: ExitCode?
  for (index, link) in context.partition.links.enumerated() {
    let imports = context.partition.imports.filter { $0.link == index }
    if imports.isEmpty { continue }
    let (state, entries, failure) = look(at: link, context)
    if let failure {
      printError("guestagent: \(failure.sentence)")
      firstFailure = firstFailure ?? failure.exitCode
    }
    for peripheral in imports {
      let entry = entries.first { sameText($0.name, peripheral.remoteName) }
      let access = entry.map { accessName($0.access) } ?? (sameText(state, "up") ? "not granted" : "unknown")
      rows.append([peripheral.name, peripheral.peripheralClass.name, link.peerName, access, link.name, state])
    }
  }
  let titles = ["NAME", "CLASS", "OWNER", "ACCESS", "LINK", "STATE"]
  if context.json {
    for row in rows {
      var object = JSONObject()
      for (title, value) in zip(["name", "class", "owner", "access", "link", "state"], row) { object.add(title, value) }
      printLine(object.text)
    }
  } else {
    printTable(titles, rows)
  }
  if let firstFailure { exitProcess(firstFailure.rawValue) }
}

/// Columns as wide as their widest cell.
private func printTable(_ titles: [String], _ rows: [[String]]) {
  let widths = titles.indices.map { column in ([titles] + rows).reduce(0) { max($0, $1[column].utf8.count) } }
  for row in [titles] + rows {
    let cells = row.indices.map { $0 == row.count - 1 ? row[$0] : row[$0].padded(to: widths[$0] + 2) }
    printLine(cells.reduce("") { $0 + $1 })
  }
}

/// Whether the owner answers, and what it grants.
private func look(at link: Link, _ context: Context) -> (state: String, entries: [DirectoryEntry], Failure?) {
  do throws(Failure) {
    var agent = try context.open(link)
    do throws(AgentError) {
      return ("up", try agent.directory(), nil)
    } catch {
      if case .noOwner = error.reason { return ("no owner", [], nil) }
      throw context.failure(error, link.name, link)
    }
  } catch {
    return ("error", [], error)
  }
}

/// "rw", "ro", "wo".
private func accessName(_ access: UInt8) -> String { access & 3 == 3 ? "rw" : access & 1 != 0 ? "ro" : "wo" }
