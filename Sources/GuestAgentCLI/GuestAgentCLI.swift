import BrokerProtocol
import Linux
import RingBuffer

@main
struct GuestAgentCLI {
  static func main() {
    claimStandardDescriptors()
    var arguments = Arguments(Array(processArguments().dropFirst()))
    let json = arguments.has("--json")
    let manual = manual(for: arguments)
    do throws(Failure) {
      try run(&arguments)
    } catch {
      if json {
        var object = error.facts
        object.add("error", error.sentence)
        object.add("exit_code", Int(error.exitCode.rawValue))
        emit(object.text)
      }
      complain("\(error.sentence)")
      if error.exitCode == .usage { printError("Try '\(manual) --help'.") }
      exitProcess(error.exitCode.rawValue)
    }
  }

  /// The command whose --help is about these arguments.
  private static func manual(for arguments: Arguments) -> String {
    var arguments = arguments
    let command = arguments.command() ?? ""
    if sameText(command, "list") || sameText(command, "ping") { return "guestagent \(command)" }
    guard sameText(command, "uart") else { return "guestagent" }
    let word = arguments.command() ?? ""
    let isKnown = ["write", "read", "config", "flush"].contains { sameText($0, word) }
    return isKnown ? "guestagent uart \(word)" : "guestagent uart"
  }

  private static func run(_ arguments: inout Arguments) throws(Failure) {
    if arguments.flag("--version", "-V") {
      return emit("guestagent \(releaseVersion) (protocol \(protocolVersion), layout \(LinkLayout.version))")
    }
    let command = arguments.command()
    let wantsHelp = arguments.flag("--help", "-h")
    guard let command else {
      if wantsHelp { return emit(helpText) }
      throw Failure("a command is missing: list, ping or uart; options come behind it", .usage)
    }
    if sameText(command, "list") {
      wantsHelp ? emit(listHelp) : try list(&arguments)
    } else if sameText(command, "ping") {
      wantsHelp ? emit(pingHelp) : try ping(&arguments)
    } else if sameText(command, "uart") {
      try uart(&arguments, wantsHelp: wantsHelp)
    } else if sameText(command, "help") {
      emit(helpText)
    } else {
      throw Failure("unknown command '\(command)'; there are list, ping and uart", .usage)
    }
  }
}
