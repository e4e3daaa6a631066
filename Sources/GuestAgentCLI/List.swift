import BrokerProtocol
import GuestAgent
import Program
import Text
import Partition

/// `guestagent list`: what this guest can reach.
func list(_ arguments: inout Arguments) throws(Failure) {
  let options = CommonOptions(&arguments)
  _ = arguments.operands(atMost: 0)
  let context = try Context(options)
  if context.partition.imports.isEmpty {
    complain("\(context.partition.guestName) imports nothing; what it exports others can list")
  }
  var rows: [[String]] = []
  var failures: [Failure] = []
  for (index, link) in context.partition.links.enumerated() {
    let imports = context.partition.imports.filter { $0.link == index }
    if imports.isEmpty { continue }
    let (state, accesses, failure) = look(at: link, imports, context)
    if let failure { failures.append(failure) }
    for (peripheral, access) in zip(imports, accesses) {
      rows.append([peripheral.name, peripheral.peripheralClass.name, link.peerName, access, link.name, state])
    }
  }
  if context.json {
    for row in rows {
      var object = JSONObject()
      for (title, value) in zip(["name", "class", "owner", "access", "link", "state"], row) { object.add(title, value) }
      emit(object.text)
    }
  } else {
    for line in tableLines([["NAME", "CLASS", "OWNER", "ACCESS", "LINK", "STATE"]] + rows) { emit(line) }
  }
  for failure in failures.dropFirst() { complain("\(failure.sentence)") }
  if let first = failures.first { throw first }
}

/// Whether the owner answers, and what it grants of each import.
private func look(at link: Link, _ imports: [Import], _ context: Context) -> (state: String, accesses: [String], Failure?) {
  var accesses: [String] = []
  let unknown = imports.map { _ in "unknown" }
  do throws(AgentError) {
    var agent = try Agent(link, context.configuration(link))
    for peripheral in imports { accesses.append(try access(to: peripheral, via: &agent)) }
    return ("up", accesses, nil)
  } catch {
    let failure = context.failure(error, about: link.name, on: link)
    switch error.reason {
    case .noOwner: return ("no owner", unknown, nil)
    case .channelsBusy: return (Agent.isOwnerUp(link, context.configuration(link)) ? "busy" : "no owner", unknown, failure)
    default: return ("error", unknown, failure)
    }
  }
}

/// "rw", "ro", "wo", "not granted", "not exported".
private func access(to peripheral: Import, via agent: inout Agent) throws(AgentError) -> String {
  do throws(AgentError) {
    return try agent.find(peripheral.remoteName).access.name
  } catch {
    switch error.reason {
    case .refused(.access): return "not granted"
    case .refused(.noDevice): return "not exported"
    default: throw error
    }
  }
}
