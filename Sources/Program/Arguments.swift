import Linux
import Text

/// A command line, taken apart: each option is asked for by name and removed, what is left are operands. What makes no sense ends the
/// program.
///
/// Long options take a value as `--name value` or `--name=value`, short ones as `-n value` or `-nvalue`; `--` ends the options; `-` is an operand.
public struct Arguments {
  private let program: String
  private var words: [String]
  /// Operands behind `--`.
  private var literal: [String] = []
  /// Whether failures are told as JSON, too.
  private var json = false
  /// The command whose `--help` is about this line: "guestagent uart write".
  private var manual: String
  /// The options that were asked for.
  private var known: [String] = []

  /// - Parameters:
  ///   - options: The program's long options. One of them behind a single '-' is a mistake, and not a short option with a value.
  ///   - manual: What says all about the program with `--help`, where that isn't the program's name.
  ///   - withJSON: `--json` asks for failures as JSON, too.
  public init(
    _ words: [String], of program: String, options: [String] = [], manual: String? = nil, withJSON: Bool = false
  ) {
    self.program = program
    self.words = words
    self.manual = manual ?? program
    if let end = words.firstIndex(where: { sameText($0, "--") }) {
      self.words = Array(words[..<end])
      literal = Array(words[(end + 1)...])
    }
    json = withJSON && has("--json")
    for word in self.words where word.hasBytePrefix("-") && !word.hasBytePrefix("--") {
      if let meant = options.first(where: { sameText($0, "-\(word.parts(separatedBy: 0x3d)[0])") }) {
        fail("unknown option \(word); did you mean \(meant)?")
      }
    }
  }

  /// Ends the program: says why on standard error, and where the manual is when it was for its arguments.
  ///
  /// - Parameter facts: What a JSON object on standard output says besides, where `--json` asks for one.
  public func fail(_ sentence: String, _ exitCode: ExitCode = .usage, _ facts: JSONObject = JSONObject()) -> Never {
    if json {
      var object = facts
      object.add("error", sentence)
      object.add("exit_code", Int(exitCode.rawValue))
      _ = unprinted(object.text, of: program)
    }
    printError("\(program): \(sentence)")
    if exitCode == .usage { printError("Try '\(manual) --help'.") }
    exitProcess(exitCode.rawValue)
  }

  /// Whether `name` is among the options. It stays there.
  public func has(_ name: String) -> Bool { words.contains { sameText($0, name) } }

  /// Whether an option is there; takes it.
  @inline(never)
  public mutating func flag(_ name: String, _ short: String? = nil) -> Bool {
    known.append(name)
    let rest = words.filter { !sameText($0, name) && !sameText($0, short ?? name) }
    defer { words = rest }
    return rest.count != words.count
  }

  /// The value of the last option with this name.
  public mutating func value(_ name: String, _ short: String? = nil) -> String? { values(name, short).last }

  /// The values of all options with this name, in order.
  public mutating func values(_ name: String, _ short: String? = nil) -> [String] {
    known.append(name)
    let short = short ?? name
    var found: [String] = []
    var rest: [String] = []
    var index = 0
    while index < words.count {
      let word = words[index]
      index += 1
      if sameText(word, name) || sameText(word, short) {
        guard index < words.count else { fail("\(word) needs a value") }
        found.append(words[index])
        index += 1
      } else if word.hasBytePrefix("\(name)=") {
        found.append(word.dropping(name.utf8.count + 1))
      } else if short.utf8.count == 2, word.hasBytePrefix(short) {
        found.append(word.dropping(2))
      } else {
        rest.append(word)
      }
    }
    words = rest
    return found
  }

  /// The duration that an option says, in nanoseconds.
  public mutating func duration(_ name: String, _ short: String? = nil, example: String) -> UInt64? {
    guard let text = value(name, short) else { return nil }
    guard let duration = parseDuration(text) else { fail("\(short ?? name) \(text) is no duration; try \(example)") }
    return duration
  }

  /// The `NAME=PATH` of all options with this name.
  ///
  /// - Parameter form: What that is here: "LINK=PATH".
  public mutating func assignments(_ name: String, _ form: String) -> [Assignment] {
    values(name).map { text in
      guard let assignment = Assignment(text) else { fail("\(name) \(text) is not of the form \(form)") }
      return assignment
    }
  }

  /// The operands: what is left once every option has been asked for. An option that is left is one that nobody knows.
  ///
  /// - Parameter prefix: What a complaint begins with: "uart read: ".
  public func operands(atMost count: Int = .max, _ prefix: String = "") -> [String] {
    if let unknown = words.first(where: { $0.utf8.count > 1 && $0.hasBytePrefix("-") }) {
      let near = nearest(unknown.parts(separatedBy: 0x3d)[0], in: known)
      fail("unknown option \(unknown)\(near.map { "; did you mean \($0)?" } ?? "")")
    }
    let all = words + literal
    if all.count > count { fail("\(prefix)unexpected argument '\(all[count])'") }
    return all
  }

  /// Takes the first word, which names a command. From then on the manual is that command's.
  ///
  /// - Parameters:
  ///   - wantsHelp: `--help` was among the options: then a command may be missing.
  ///   - prefix: What a complaint begins with: "uart: ".
  /// - Returns: Its place among `commands`; nil when it is missing, or "help".
  @inline(never)
  public mutating func command(_ commands: [String], wantsHelp: Bool, _ prefix: String = "") -> Int? {
    guard let first = words.first, !first.hasBytePrefix("-") else {
      if wantsHelp { return nil }
      fail("\(prefix)a command is missing: there are \(listed(commands)); options come behind it")
    }
    words.remove(at: 0)
    if sameText(first, "help") { return nil }
    guard let place = commands.firstIndex(where: { sameText($0, first) }) else {
      let near = nearest(first, in: commands)
      fail("\(prefix)unknown command '\(first)'; there are \(listed(commands))\(near.map { "; did you mean \($0)?" } ?? "")")
    }
    manual += " \(first)"
    return place
  }
}
