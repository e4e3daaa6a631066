import BrokerProtocol
import Linux
import Program
import RingBuffer

@main
struct GuestAgentCLI {
  static func main() {
    claimStandardDescriptors()
    ignoreWriteSignals()
    var arguments = Arguments(Array(processArguments().dropFirst()), of: "guestagent", options: longOptions, withJSON: true)
    do throws(Failure) {
      try run(&arguments)
    } catch {
      arguments.fail(error.sentence, error.exitCode, error.facts)
    }
  }

  private static func run(_ arguments: inout Arguments) throws(Failure) {
    if arguments.flag("--version", "-V") {
      return emit("guestagent \(releaseVersion) (protocol \(protocolVersion), layout \(LinkLayout.version))")
    }
    let wantsHelp = arguments.flag("--help", "-h")
    switch arguments.command(["list", "ping", "uart"], wantsHelp: wantsHelp) {
    case 0: wantsHelp ? emit(listHelp) : try list(&arguments)
    case 1: wantsHelp ? emit(pingHelp) : try ping(&arguments)
    case 2: try uart(&arguments, wantsHelp: wantsHelp)
    default: emit(helpText)
    }
  }
}
