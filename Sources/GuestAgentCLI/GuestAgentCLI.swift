import BrokerProtocol
import Linux
import RingBuffer

@main
struct GuestAgentCLI {
  static func main() {
    claimStandardDescriptors()
    var arguments = Arguments(Array(processArguments().dropFirst()))
    let json = arguments.has("--json")
    do throws(Failure) {
      try run(&arguments)
    } catch {
      if json {
        var object = error.facts
        object.add("error", error.sentence)
        object.add("exit_code", Int(error.exitCode.rawValue))
        printLine(object.text)
      }
      printError("guestagent: \(error.sentence)")
      if error.exitCode == .usage { printError("Try 'guestagent --help'.") }
      exitProcess(error.exitCode.rawValue)
    }
  }

  private static func run(_ arguments: inout Arguments) throws(Failure) {
    if arguments.flag("--version", "-V") {
      return printLine("guestagent \(releaseVersion) (protocol \(protocolVersion), layout \(LinkLayout.version))")
    }
    let command = arguments.command()
    let wantsHelp = arguments.flag("--help", "-h")
    guard let command else {
      if wantsHelp { return printLine(helpText) }
      throw Failure("a command is missing: list, ping or uart", .usage)
    }
    if sameText(command, "list") {
      wantsHelp ? printLine(listHelp) : try list(&arguments)
    } else if sameText(command, "ping") {
      wantsHelp ? printLine(pingHelp) : try ping(&arguments)
    } else if sameText(command, "uart") {
      try uart(&arguments, wantsHelp: wantsHelp)
    } else if sameText(command, "help") {
      printLine(helpText)
    } else {
      throw Failure("unknown command '\(command)'; there are list, ping and uart", .usage)
    }
  }
}
