import Program
import Testing
import Text

@Suite("Command lines")
struct ArgumentsTests {
  @Test("Options are taken wherever they stand, operands are what is left")
  func options() {
    var arguments = Arguments(["write", "--timeout", "5s", "uart2", "--json", "--memory=a=b", "-"], of: "test")
    #expect(arguments.command(["read", "write"], wantsHelp: false) == 1)
    #expect(arguments.value("--timeout") == "5s")
    #expect(arguments.flag("--json") == true)
    #expect(arguments.flag("--json") == false)
    #expect(arguments.values("--memory") == ["a=b"])
    #expect(arguments.operands() == ["uart2", "-"])
  }

  @Test("Behind -- everything is an operand")
  func literal() {
    var arguments = Arguments(["uart2", "--", "--json", "-x"], of: "test")
    #expect(arguments.flag("--json") == false)
    #expect(arguments.operands() == ["uart2", "--json", "-x"])
  }

  @Test("The last of several values counts")
  func last() {
    var arguments = Arguments(["--wait", "1", "-w", "2"], of: "test")
    #expect(arguments.value("--wait", "-w") == "2")
  }

  @Test(
    "A missing value, a wrong one, an unknown option and an operand too many end the program with what is wrong and where to read"
  )
  func errors() async {
    func complaint(_ result: ExitTest.Result?) -> String { String(decoding: result?.standardErrorContent ?? [], as: UTF8.self) }
    var result = await #expect(processExitsWith: .exitCode(64), observing: [\.standardErrorContent]) {
      var arguments = Arguments(["--wait"], of: "test")
      _ = arguments.value("--wait")
    }
    #expect(complaint(result) == "test: --wait needs a value\nTry 'test --help'.\n")
    result = await #expect(processExitsWith: .exitCode(64), observing: [\.standardErrorContent]) {
      var arguments = Arguments(["--wait", "long"], of: "test")
      _ = arguments.duration("--wait", example: "5s")
    }
    #expect(complaint(result) == "test: --wait long is no duration; try 5s\nTry 'test --help'.\n")
    result = await #expect(processExitsWith: .exitCode(64), observing: [\.standardErrorContent]) {
      var arguments = Arguments(["--memory", "a"], of: "test")
      _ = arguments.assignments("--memory", "LINK=PATH")
    }
    #expect(complaint(result) == "test: --memory a is not of the form LINK=PATH\nTry 'test --help'.\n")
    result = await #expect(processExitsWith: .exitCode(64), observing: [\.standardErrorContent]) {
      _ = Arguments(["--what"], of: "test").operands()
    }
    #expect(complaint(result) == "test: unknown option --what\nTry 'test --help'.\n")
    result = await #expect(processExitsWith: .exitCode(64), observing: [\.standardErrorContent]) {
      _ = Arguments(["a", "--", "-b"], of: "test").operands(atMost: 1, "do: ")
    }
    #expect(complaint(result) == "test: do: unexpected argument '-b'\nTry 'test --help'.\n")
  }

  @Test("A command or an option that is nearly right names the one that was probably meant")
  func nearlyRight() async {
    func complaint(_ result: ExitTest.Result?) -> String { String(decoding: result?.standardErrorContent ?? [], as: UTF8.self) }
    var result = await #expect(processExitsWith: .exitCode(64), observing: [\.standardErrorContent]) {
      var arguments = Arguments(["--tmeout=5s"], of: "test")
      _ = arguments.flag("--json")
      _ = arguments.value("--timeout", "-t")
      _ = arguments.operands()
    }
    #expect(complaint(result) == "test: unknown option --tmeout=5s; did you mean --timeout?\nTry 'test --help'.\n")
    result = await #expect(processExitsWith: .exitCode(64), observing: [\.standardErrorContent]) {
      var arguments = Arguments(["wirte"], of: "test")
      _ = arguments.command(["read", "write"], wantsHelp: false)
    }
    #expect(
      complaint(result) == "test: unknown command 'wirte'; there are read and write; did you mean write?\nTry 'test --help'.\n")
    // Else it would be the short option with a value.
    result = await #expect(processExitsWith: .exitCode(64), observing: [\.standardErrorContent]) {
      _ = Arguments(["-timeout", "5s"], of: "test", options: ["--tree", "--timeout"])
    }
    #expect(complaint(result) == "test: unknown option -timeout; did you mean --timeout?\nTry 'test --help'.\n")
    result = await #expect(processExitsWith: .exitCode(64), observing: [\.standardErrorContent]) {
      _ = Arguments(["-json=1", "x"], of: "test", options: ["--json"])
    }
    #expect(complaint(result) == "test: unknown option -json=1; did you mean --json?\nTry 'test --help'.\n")
  }

  @Test("What a short option's value says is its own, and so is everything behind --")
  func noMistake() {
    var arguments = Arguments(["-ttime", "--", "-timeout"], of: "test", options: ["--timeout"])
    #expect(arguments.value("--tree", "-t") == "time")
    #expect(arguments.operands() == ["-timeout"])
  }

  @Test("With --json a failure is an object on standard output, too", arguments: [true, false])
  func json(isAsked: Bool) async {
    let result =
      isAsked
      ? await #expect(
        processExitsWith: .exitCode(75), observing: [\.standardOutputContent]
      ) {
        var facts = JSONObject()
        facts.add("bytes", 3)
        Arguments(["--json"], of: "test", withJSON: true).fail("busy", .tempFail, facts)
      }
      : await #expect(processExitsWith: .exitCode(75), observing: [\.standardOutputContent]) {
        Arguments(["--json"], of: "test").fail("busy", .tempFail)
      }
    let text = String(decoding: result?.standardOutputContent ?? [], as: UTF8.self)
    #expect(text.contains(#"{"bytes":3,"error":"busy","exit_code":75}"#) == isAsked)
  }
}
