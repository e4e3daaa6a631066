import GuestAgent
import Linux
import Partition

/// The options that every command has.
struct CommonOptions {
  let deviceTree: String?
  let guest: String
  let memory: [Assignment]
  /// How long to wait for an owner, in nanoseconds.
  let patience: UInt64
  let json: Bool

  /// Takes them out of `arguments`.
  init(_ arguments: inout Arguments) throws(Failure) {
    do throws(UsageError) {
      deviceTree = try arguments.value("--device-tree", "-t")
      guest = try arguments.value("--guest", "-g") ?? "guest2"
      var memory: [Assignment] = []
      for text in try arguments.values("--memory") {
        guard let assignment = Assignment(text) else { throw UsageError("--memory \(text) is not of the form LINK=PATH") }
        memory.append(assignment)
      }
      self.memory = memory
      let wait = try arguments.value("--wait") ?? "2s"
      guard let patience = parseDuration(wait) else { throw UsageError("--wait \(wait) is no duration; try 5s") }
      self.patience = patience
    } catch {
      throw Failure(error)
    }
    json = arguments.flag("--json")
  }
}

/// What every command needs: this guest's partition, and how to reach its links.
struct Context {
  let partition: Partition
  let isExample: Bool
  let memory: [Assignment]
  let patience: UInt64
  let json: Bool

  /// Reads the device tree: after the whole command line has turned out to make sense.
  init(_ options: CommonOptions) throws(Failure) {
    memory = options.memory
    patience = options.patience
    json = options.json
    let source: TreeSource
    do throws(LoadError) {
      (partition, source) = try Partition.load(deviceTree: options.deviceTree, builtInGuest: options.guest)
    } catch {
      throw Failure(error.text, error.exitCode)
    }
    if case .builtIn = source { isExample = true } else { isExample = false }
    for note in partition.notes { printError("guestagent: \(note)") }
    if isExample {
      printError(
        "guestagent: no guestbroker node in this machine's device tree: using the built-in example partition as \(partition.guestName)"
      )
    }
    let links = partition.links.map { $0.name }
    if let unknown = memory.first(where: { name in !links.contains { sameText($0, name.name) } }) {
      throw Failure(
        "--memory names link \(unknown.name), which this device tree doesn't have; it has \(listed(links))", .config)
    }
  }

  /// The import with this name.
  func peripheral(_ name: String) throws(Failure) -> Import {
    if let found = partition.imports.first(where: { sameText($0.name, name) }) { return found }
    let names = partition.imports.map { $0.name }
    if let own = partition.exports.first(where: { sameText($0.name, name) }) {
      throw Failure("\(own.name) is this guest's own (\(partition.guestName)); use it directly", .noHost)
    }
    var sentence = "unknown peripheral '\(name)': \(partition.guestName) imports \(listed(names))"
    if let near = nearest(name, in: names) { sentence += "; did you mean \(near)?" }
    throw Failure(sentence, .noHost)
  }

  func link(of peripheral: Import) -> Link { partition.links[peripheral.link] }

  func open(_ link: Link) throws(Failure) -> Agent {
    var configuration = AgentConfiguration(isExample: isExample, memory: memory.path(for: link.name))
    configuration.patience = patience
    do throws(AgentError) {
      return try Agent(link, configuration)
    } catch {
      throw Failure(error, link.name, link, guest: partition.guestName)
    }
  }

  func failure(_ error: AgentError, _ subject: String, _ link: Link, isRead: Bool = false) -> Failure {
    let failure = Failure(error, subject, link, guest: partition.guestName, isRead: isRead)
    guard isExample, case .noOwner = error.reason else { return failure }
    // The example's region is a file of one user's.
    return Failure("\(failure.sentence) And as the same user?", failure.exitCode)
  }
}

/// Prints a line of results. Ends the program when it can't: nobody should believe that all is well.
func emit(_ line: String) {
  if writeBytes(Array(line.utf8) + [0x0a], to: 1) { return }
  printError("guestagent: cannot write to standard output: \(Errno.last.text)")
  exitProcess(ExitCode.ioError.rawValue)
}
