import CLinux
import Linux
import Program
import Text
import OwnerService
import Partition
import SharedMemory

@main
struct Brokerd {
  static func main() {
    claimStandardDescriptors()
    ignoreWriteSignals()
    var arguments = Arguments(Array(processArguments().dropFirst()), of: "brokerd", options: longOptions)
    do throws(Failure) {
      try run(&arguments)
    } catch {
      arguments.fail(error.sentence, error.exitCode)
    }
  }

  private static func run(_ arguments: inout Arguments) throws(Failure) {
    if arguments.flag("--help", "-h") { return printLine(helpText) }
    if arguments.flag("--version", "-V") { return printLine(versionText) }
    let options = Options(&arguments)

    // Before there are threads: they inherit what is blocked.
    let signals = FileDescriptor(owning: lx_signal_fd())
    guard signals.number >= 0 else { throw Failure("cannot wait for signals: \(Errno.last.text)", .osError) }
    let messages: MessageSink
    do throws(Errno) {
      messages = try MessageSink()
    } catch {
      throw Failure("cannot make the pipe that messages go through: \(error.text)", .osError)
    }
    defer { messages.finish() }
    do throws(Failure) {
      try serve(options, until: signals.number, messages)
    } catch {
      // It is said by the program's end, for which whoever starts this can wait, and which a signal ends.
      messages.finish()
      lx_release_signals()
      throw error
    }
  }

  private static func serve(_ options: Options, until signals: Int32, _ messages: MessageSink) throws(Failure) {
    let partition: Partition
    let source: TreeSource
    do throws(LoadError) {
      // Nobody sees that a service serves a simulation.
      (partition, source) = try Partition.load(
        deviceTree: options.deviceTree, builtInGuest: options.owner ?? "guest1",
        use: options.example ?? (isService ? .never : .fallback))
    } catch {
      throw Failure(error.text, error.exitCode)
    }
    for note in partition.notes { messages.error("brokerd: \(note)") }
    if let owner = options.owner, !sameText(owner, partition.guestName) {
      throw Failure(
        "--owner \(owner), but this device tree (\(source.text)) is \(partition.guestName)'s; run this on \(owner), or name its tree with --device-tree",
        .config)
    }
    var isExample = false
    if case .builtIn = source {
      isExample = true
      let reason = options.example == .always ? "" : "no guestbroker node in this machine's device tree: "
      // A device that --bind names is a real one.
      let isSimulated = partition.exports.contains {
        options.bindings.path(for: $0.name).map { sameText($0, "pty") || sameText($0, "null") } ?? true
      }
      messages.error("brokerd: \(reason)using the built-in example partition\(isSimulated ? ", simulated" : "")")
    }

    var configuration = ServiceConfiguration(partition: partition, isExample: isExample)
    configuration.memory = options.memory
    configuration.bindings = options.bindings
    configuration.simulate = options.simulate
    if let spin = options.spin { configuration.spinNanoseconds = spin }

    let service: Service
    do throws(ServiceError) {
      service = try Service(configuration) { messages.error("brokerd: \($0)") }
    } catch {
      throw Failure(error.text, error.exitCode)
    }
    // Whoever reads that a peripheral is served finds an owner.
    service.start()
    for line in service.served { messages.line("brokerd: \(partition.guestName) serves \(line)") }
    unsafe lx_notify("READY=1")
    do throws(ServiceError) {
      try service.run(until: signals)
    } catch {
      // As every message since it serves: whatever becomes of standard error, it ends.
      messages.error("brokerd: \(error.text)")
      messages.finish()
      exitProcess(error.exitCode.rawValue)
    }
  }
}

extension ServiceError {
  var exitCode: ExitCode {
    switch self {
    case .ownsNoLink, .unknownName: .config
    case .memory(_, .badLayout), .memory(_, .tooSmall): .config
    case .memory(_, let error): error.isPermission ? .noPermission : .cantCreate
    case .linkBusy: .tempFail
    case .regionLost: .ioError
    case .noDevice: .osFile
    case .noTerminal(_, let errno): errno.isPermission ? .noPermission : .osFile
    case .device(_, _, let errno): errno.isPermission ? .noPermission : .osFile
    case .cannotLock, .system: .osError
    }
  }
}
