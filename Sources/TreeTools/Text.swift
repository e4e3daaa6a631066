// Names and texts of a tree are printable ASCII: `DeviceTree` takes no others. `==`, `hasPrefix`, Set and Dictionary, which compare
// texts as Unicode does, compare the bytes of these. Only a text that is no tree's, such as a file's name, may have other bytes.

/// The text with '?' for what isn't printable ASCII: it can't spoil a terminal.
public func printable(_ text: String) -> String {
  String(decoding: text.utf8.map { isPrintable($0) ? $0 : UInt8(ascii: "?") }, as: UTF8.self)
}

func isPrintable(_ byte: UInt8) -> Bool { byte >= 0x20 && byte < 0x7f }

func isLetterOrDigit(_ byte: UInt8) -> Bool {
  switch byte {
  case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"): true
  default: false
  }
}

extension String {
  /// Whether it is made of letters, digits and `others`, and of one at least.
  func hasOnlyLettersDigits(and others: String) -> Bool {
    !isEmpty && utf8.allSatisfy { isLetterOrDigit($0) || others.utf8.contains($0) }
  }

  /// What is before the first `separator`: of a node's name the part without its unit address, of a console's path the part without
  /// its options.
  func before(_ separator: Character) -> String { String(prefix { $0 != separator }) }
}
