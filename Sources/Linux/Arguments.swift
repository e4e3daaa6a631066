/// A command line, taken apart: each option is asked for by name and removed, what is left are operands.
///
/// Long options take a value as `--name value` or `--name=value`, short ones as `-n value` or `-nvalue`; `--` ends the options; `-` is an operand.
public struct Arguments {
  private var words: [String]
  /// Operands behind `--`.
  private var literal: [String] = []

  public init(_ words: [String]) {
    self.words = words
    if let end = words.firstIndex(where: { sameText($0, "--") }) {
      self.words = Array(words[..<end])
      literal = Array(words[(end + 1)...])
    }
  }

  /// Whether `name` is among the options. It stays there.
  public func has(_ name: String) -> Bool { words.contains { sameText($0, name) } }

  /// Whether an option is there; takes it.
  public mutating func flag(_ name: String, _ short: String? = nil) -> Bool {
    let count = words.count
    words.removeAll { sameText($0, name) || sameText($0, short ?? name) }
    return words.count != count
  }

  /// The value of the last option with this name.
  public mutating func value(_ name: String, _ short: String? = nil) throws(UsageError) -> String? {
    try values(name, short).last
  }

  /// The values of all options with this name, in order.
  public mutating func values(_ name: String, _ short: String? = nil) throws(UsageError) -> [String] {
    let short = short ?? name
    var found: [String] = []
    var index = 0
    while index < words.count {
      let word = words[index]
      if sameText(word, name) || sameText(word, short) {
        guard index + 1 < words.count else { throw UsageError("\(word) needs a value") }
        found.append(words[index + 1])
        words.removeSubrange(index...(index + 1))
      } else if word.hasBytePrefix("\(name)=") {
        found.append(word.dropping(name.utf8.count + 1))
        words.remove(at: index)
      } else if short.utf8.count == 2, word.hasBytePrefix(short) {
        found.append(word.dropping(2))
        words.remove(at: index)
      } else {
        index += 1
      }
    }
    return found
  }

  /// The operands: what is left once every option has been asked for.
  ///
  /// - Throws: When an option is left: nobody knows it.
  public func operands() throws(UsageError) -> [String] {
    if let unknown = words.first(where: { $0.utf8.count > 1 && $0.hasBytePrefix("-") }) {
      throw UsageError("unknown option \(unknown)")
    }
    return words + literal
  }

  /// Takes the first word as a command, unless it is an option.
  public mutating func command() -> String? {
    guard let first = words.first, !first.hasBytePrefix("-") else { return nil }
    return words.removeFirst()
  }
}

/// What is wrong with a command line: a sentence without its full stop.
public struct UsageError: Error {
  public let text: String
  public init(_ text: String) { self.text = text }
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
  let bytes = Array(text.utf8)
  let number = bytes.prefix { $0 >= 0x30 && $0 <= 0x39 || $0 == 0x2e }
  let unit = String(decoding: bytes[number.count...], as: UTF8.self)
  let scales: [(String, UInt64)] = [
    ("", 1_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1000), ("ns", 1), ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
  ]
  let parts = String(decoding: number, as: UTF8.self).parts(separatedBy: 0x2e)
  guard
    let scale = scales.first(where: { sameText($0.0, unit) })?.1, parts.count <= 2, let whole = parseNumber(parts[0]),
    whole <= 86_400_000_000_000 / scale
  else { return nil }
  var nanoseconds = whole * scale
  if parts.count == 2 {
    guard parts[1].utf8.count <= 6, let fraction = parseNumber(parts[1]) else { return nil }
    var divisor: UInt64 = 1
    for _ in 0..<parts[1].utf8.count { divisor *= 10 }
    nanoseconds += fraction * scale / divisor
  }
  return nanoseconds <= 86_400_000_000_000 ? nanoseconds : nil
}
