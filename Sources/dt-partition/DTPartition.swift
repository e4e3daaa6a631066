import Linux

@main
struct DTPartition {
  static func main() {
    claimStandardDescriptors()
    var arguments = Arguments(Array(processArguments().dropFirst()))
    let json = arguments.has("--json")
    let manual = manual(for: arguments)
    do throws(Failure) {
      exitProcess(try run(&arguments))
    } catch {
      if json {
        var object = JSONObject()
        object.add("error", error.sentence)
        object.add("exit_code", Int(error.exitCode.rawValue))
        emit(object.text)
      }
      printError("dt-partition: \(error.sentence)")
      if error.exitCode == .usage { printError("Try '\(manual) --help'.") }
      exitProcess(error.exitCode.rawValue)
    }
  }

  private static let commands = ["check", "split", "show"]

  /// The command whose --help is about these arguments.
  private static func manual(for arguments: Arguments) -> String {
    var arguments = arguments
    guard let word = arguments.command(), commands.contains(where: { sameText($0, word) }) else { return "dt-partition" }
    return "dt-partition \(word)"
  }

  /// Runs a command, and returns the exit code.
  private static func run(_ arguments: inout Arguments) throws(Failure) -> Int32 {
    if arguments.flag("--version", "-V") {
      emit("dt-partition \(releaseVersion)")
      return 0
    }
    let command = arguments.command()
    let wantsHelp = arguments.flag("--help", "-h")
    guard let command else {
      guard wantsHelp else { throw Failure("a command is missing: \(listed(commands)); options come behind it", .usage) }
      emit(helpText)
      return 0
    }
    if sameText(command, "check") {
      if !wantsHelp { return try check(&arguments) }
      emit(checkHelp)
    } else if sameText(command, "split") {
      if !wantsHelp { return try split(&arguments) }
      emit(splitHelp)
    } else if sameText(command, "show") {
      if !wantsHelp { return try show(&arguments) }
      emit(showHelp)
    } else if sameText(command, "help") {
      emit(helpText)
    } else {
      throw Failure("unknown command '\(command)'; there is \(listed(commands))", .usage)
    }
    return 0
  }
}

func emit(_ line: String) { printResult(line, of: "dt-partition") }
