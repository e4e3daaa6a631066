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

/// `NAME=PATH`, as an option takes it.
public struct Assignment: Sendable {
  public var name: String
  public var path: String

  public init(name: String, path: String) {
    self.name = name
    self.path = path
  }

  /// - Returns: Nil unless there is something on both sides of the first '='.
  public init?(_ text: String) {
    let bytes = Array(text.utf8)
    guard let equals = bytes.firstIndex(of: 0x3d), equals > 0, equals + 1 < bytes.count else { return nil }
    name = String(decoding: bytes[..<equals], as: UTF8.self)
    path = String(decoding: bytes[(equals + 1)...], as: UTF8.self)
  }
}

extension [Assignment] {
  /// The last one counts.
  public func path(for name: String) -> String? { last { sameText($0.name, name) }?.path }
}

/// A decimal number; nil when it is none or too large.
public func parseNumber(_ text: String) -> UInt64? {
  var value: UInt64 = 0
  guard !text.utf8.isEmpty else { return nil }
  for byte in Array(text.utf8) {
    guard byte >= 0x30, byte <= 0x39 else { return nil }
    let (product, overflow) = value.multipliedReportingOverflow(by: 10)
    let (sum, carry) = product.addingReportingOverflow(UInt64(byte - 0x30))
    if overflow || carry { return nil }
    value = sum
  }
  return value
}

/// "500ms", "2s", "1.5s", "250us", "3min", "1h"; a bare number is seconds. In nanoseconds; at most a day.
public func parseDuration(_ text: String) -> UInt64? {
  let day: UInt64 = 86_400_000_000_000
  var number: UInt64 = 0
  /// What the number is to be divided by: a power of ten, by the digits behind its point.
  var divisor: UInt64 = 1
  var hasPoint = false
  /// How many in a row.
  var digits = 0
  /// Its letters, the last one lowest.
  var unit: UInt32 = 0
  for byte in Array(text.utf8) {
    if unit == 0, byte >= 0x30, byte <= 0x39 {
      guard number <= day, divisor < 1_000_000 else { return nil }
      number = number * 10 + UInt64(byte - 0x30)
      if hasPoint { divisor *= 10 }
      digits += 1
    } else if unit == 0, byte == 0x2e, digits > 0, !hasPoint {
      hasPoint = true
      digits = 0
    } else {
      guard byte > 0x20, unit <= 0xffff else { return nil }
      unit = unit << 8 | UInt32(byte)
    }
  }
  let scale: UInt64
  switch unit {
  case 0, 0x73: scale = 1_000_000_000  // "", "s"
  case 0x6d73: scale = 1_000_000  // "ms"
  case 0x7573: scale = 1000  // "us"
  case 0x6e73: scale = 1  // "ns"
  case 0x6d69_6e: scale = 60_000_000_000  // "min"
  case 0x68: scale = 3_600_000_000_000  // "h"
  default: return nil
  }
  let whole = number / divisor
  guard digits > 0, whole <= day / scale else { return nil }
  let nanoseconds = whole * scale + number % divisor * scale / divisor
  return nanoseconds <= day ? nanoseconds : nil
}
