import Testing

@testable import Linux

@Suite("Command lines and text")
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

  @Test("The near name is the one that was probably meant")
  func near() {
    #expect(nearest("uart3", in: ["i2c1", "uart2"]) == "uart2")
    #expect(nearest("uatr2", in: ["uart1", "uart2"]) == "uart2")
    #expect(nearest("spi0", in: ["uart2"]) == nil)
    #expect(nearest("uart2", in: ["uart1", "uart2", "uart3"]) == "uart2")
    #expect(nearest("uart9", in: ["uart1", "uart2"]) == "uart1", "of equals, the first")
    #expect(nearest("art2", in: ["uart2"]) == "uart2")
    #expect(nearest("uart22", in: ["uart2"]) == "uart2")
    #expect(nearest("a", in: ["", "bc"]) == "")
    #expect(nearest("", in: ["uart2"]) == nil)
    #expect(nearest("uart2", in: []) == nil)
    #expect(nearest(String(repeating: "x", count: 100_000), in: ["uart2"]) == nil)
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

  @Test("NAME=PATH has both")
  func assignments() {
    #expect(Assignment("a=b=c")?.path == "b=c")
    for text in ["", "a", "=", "a=", "=b"] { #expect(Assignment(text) == nil) }
    #expect([Assignment(name: "a", path: "1"), Assignment(name: "a", path: "2")].path(for: "a") == "2")
  }

  @Test("Numbers are decimal and fit")
  func numbers() {
    #expect(parseNumber("18446744073709551615") == .max)
    for text in ["", "18446744073709551616", "-1", "+1", "1 ", "0x10", "९"] { #expect(parseNumber(text) == nil) }
  }

  @Test(
    "Durations have units; a bare number is seconds",
    arguments: [
      ("2", 2_000_000_000), ("1.5s", 1_500_000_000), ("250us", 250_000), ("0.25ms", 250_000), ("7ns", 7),
      ("3min", 180_000_000_000),
      ("0", 0), ("1440min", 86_400_000_000_000),
    ])
  func durations(text: String, nanoseconds: UInt64) {
    #expect(parseDuration(text) == nanoseconds)
  }

  @Test(
    "What is no duration, or longer than a day, is refused",
    arguments: ["", "s", "1.2.3s", "1week", "-1s", "1441min", "18446744073709551615", ".5s", "1.1234567s"])
  func badDurations(text: String) {
    #expect(parseDuration(text) == nil)
  }

  @Test("Text is cut and filled by bytes")
  func text() {
    #expect("a,,b".parts(separatedBy: 0x2c) == ["a", "", "b"])
    #expect("".parts(separatedBy: 0x2c) == [""])
    #expect([[], ["a"], ["a", "b"], ["a", "b", "c"]].map(listed) == ["none", "a", "a and b", "a, b and c"])
    #expect("ab".padded(to: 4) == "ab  ")
    #expect("abcdef".padded(to: 4) == "abcdef")
    #expect("--name=x".dropping(7) == "x")
    #expect(sameText("é", "é") && !sameText("e\u{301}", "é"))
  }

  @Test("A file over its limit is refused, one without a size is read to its end")
  func files() throws {
    #expect(throws: Errno.fileTooBig) { try readFile("/proc/self/maps", limit: 10) }
    #expect(try readFile("/proc/self/cmdline", limit: 1 << 20).count > 0)
    #expect(throws: Errno(2)) { try readFile("/nonexistent", limit: 10) }
  }

  @Test("An array of things that can't be copied destroys each of them once, also when making one fails")
  func fixedArray() throws {
    final class Counter { var alive = 0 }
    struct Thing: ~Copyable {
      let counter: Counter
      init(_ counter: Counter) {
        self.counter = counter
        counter.alive += 1
      }
      deinit { counter.alive -= 1 }
    }
    let counter = Counter()
    do {
      let things = FixedArray(count: 5) { _ in Thing(counter) }
      #expect(things.count == 5)
      #expect(counter.alive == 5)
    }
    #expect(counter.alive == 0)
    struct Failure: Error {}
    do {
      _ = try FixedArray(count: 5) { index in
        if index == 3 { throw Failure() }
        return Thing(counter)
      }
      Issue.record("nothing was thrown")
    } catch {}
    #expect(counter.alive == 0)
  }
}
