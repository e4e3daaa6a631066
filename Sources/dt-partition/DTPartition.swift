import Linux
import Program

@main
struct DTPartition {
  static func main() {
    claimStandardDescriptors()
    var arguments = Arguments(Array(processArguments().dropFirst()), of: "dt-partition", options: longOptions, withJSON: true)
    do throws(Failure) {
      exitProcess(try run(&arguments))
    } catch {
      arguments.fail(error.sentence, error.exitCode)
    }
  }

  /// Runs a command, and returns the exit code.
  private static func run(_ arguments: inout Arguments) throws(Failure) -> Int32 {
    if arguments.flag("--version", "-V") {
      emit("dt-partition \(releaseVersion)")
      return 0
    }
    let wantsHelp = arguments.flag("--help", "-h")
    let command = arguments.command(["check", "split", "show"], wantsHelp: wantsHelp)
    if wantsHelp || command == nil {
      emit(command.map { [checkHelp, splitHelp, showHelp][$0] } ?? helpText)
      return 0
    }
    switch command {
    case 0: return try check(&arguments)
    case 1: return try split(&arguments)
    default: return try show(&arguments)
    }
  }
}

func emit(_ line: String) { printResult(line, of: "dt-partition") }
