import GuestAgent
import Linux
import Program
import Text
import Partition

/// The options that every command has.
struct CommonOptions {
  let deviceTree: String?
  /// The built-in example, whatever this machine's tree has.
  let example: Bool
  let memory: [Assignment]
  /// How long to wait for an owner, in nanoseconds.
  let patience: UInt64
  let json: Bool

  /// Takes them out of `arguments`.
  init(_ arguments: inout Arguments) {
    deviceTree = arguments.value("--device-tree", "-t")
    example = arguments.flag("--example")
    if example, deviceTree != nil { arguments.fail("--example is in the way of --device-tree: one of them") }
    memory = arguments.assignments("--memory", "LINK=PATH")
    patience = arguments.duration("--wait", example: "5s") ?? 2_000_000_000
    json = arguments.flag("--json")
  }
}

/// What every command needs: this guest's partition, and how to reach its links.
final class Context {
  let partition: Partition
  let isExample: Bool
  let memory: [Assignment]
  let patience: UInt64
  let json: Bool

  /// Reads the device tree: after the whole command line has turned out to make sense. From here on a signal to end is noted, not obeyed.
  init(_ options: CommonOptions) throws(Failure) {
    catchTermination()
    let partition: Partition
    let source: TreeSource
    do throws(LoadError) {
      (partition, source) = try Partition.load(
        deviceTree: options.deviceTree, builtInGuest: "guest2", use: options.example ? .always : .fallback,
        example: { _ in builtInBorrower }, withExports: false)
    } catch {
      throw Failure(error.text, error.exitCode)
    }
    let isExample = if case .builtIn = source { true } else { false }
    for note in partition.notes { complain("\(note)") }
    if isExample {
      let reason = options.example ? "" : "no guestbroker node in this machine's device tree: "
      complain("\(reason)using the built-in example partition as \(partition.guestName)")
    }
    let links = partition.links.map { $0.name }
    if let unknown = options.memory.first(where: { name in !links.contains { sameText($0, name.name) } }) {
      throw Failure(
        "--memory names link \(unknown.name), which this device tree doesn't have; it has \(listed(links))", .config)
    }
    self.partition = partition
    self.isExample = isExample
    memory = options.memory
    patience = options.patience
    json = options.json
  }

  /// The import with this name.
  func peripheral(_ name: String) throws(Failure) -> Import {
    if let found = partition.imports.first(where: { sameText($0.name, name) }) { return found }
    let names = partition.imports.map { $0.name }
    if let own = partition.exportNames.first(where: { sameText($0, name) }) {
      throw Failure("\(own) is this guest's own (\(partition.guestName)); use it directly", .noHost)
    }
    var sentence = "unknown peripheral '\(name)': \(partition.guestName) imports \(listed(names))"
    if let near = nearest(name, in: names) { sentence += "; did you mean \(near)?" }
    throw Failure(sentence, .noHost)
  }

  func link(of peripheral: Import) -> Link { partition.links[peripheral.link] }

  func configuration(_ link: Link) -> AgentConfiguration {
    var configuration = AgentConfiguration(isExample: isExample, memory: memory.path(for: link.name))
    configuration.patience = patience
    return configuration
  }

  func open(_ link: Link) throws(Failure) -> Agent {
    do throws(AgentError) {
      return try Agent(link, configuration(link))
    } catch {
      throw Failure(error, about: Subject(name: link.name, link: link, guest: partition.guestName))
    }
  }

  /// Says what makes requests slow, once `agent` is connected.
  func noteDoorbell(_ agent: borrowing Agent) {
    guard let difference = agent.doorbellDisagreement else { return }
    complain(
      "link \(agent.link.name): \(difference); requests can be slow until both device trees agree")
  }

  /// - Parameters:
  ///   - name: What was asked for: the peripheral's name, or the link's.
  ///   - isRead: It was a read, of which `error.done` bytes came.
  func failure(_ error: AgentError, about name: String, on link: Link, isRead: Bool = false) -> Failure {
    let failure = Failure(error, about: Subject(name: name, link: link, guest: partition.guestName), isRead: isRead)
    guard case .noOwner = error.reason else { return failure }
    var sentence = failure.sentence
    // The example's region is a file of one user's.
    if isExample { sentence += " And as the same user?" }
    if let file = error.unusedFile {
      sentence += " If so, its file was removed: no brokerd has used \(file) yet; start it again"
    }
    return Failure(sentence, failure.exitCode)
  }
}

/// Prints a sentence on stderr, after the program's name.
@inline(never)
func complain(_ sentence: String) { printError("guestagent: \(sentence)") }

func emit(_ line: String) { printResult(line, of: "guestagent") }
