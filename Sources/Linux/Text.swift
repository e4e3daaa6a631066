import CLinux

/// Whether two texts have the same bytes. `String`'s own `==` compares Unicode-canonically, for which Embedded Swift
/// would link 35 KB of tables into the guest's binary.
@inline(__always)
public func sameText(_ a: String, _ b: String) -> Bool { a.utf8.elementsEqual(b.utf8) }

extension String {
  /// The text from its `count`-th byte on.
  public func dropping(_ count: Int) -> String { String(decoding: Array(utf8.dropFirst(count)), as: UTF8.self) }

  public func hasBytePrefix(_ prefix: String) -> Bool { utf8.starts(with: prefix.utf8) }

  /// The parts between `separator` bytes; as `split` with empty parts kept.
  public func parts(separatedBy separator: UInt8) -> [String] {
    var parts: [String] = []
    var part: [UInt8] = []
    for byte in utf8 {
      if byte == separator {
        parts.append(String(decoding: part, as: UTF8.self))
        part = []
      } else {
        part.append(byte)
      }
    }
    parts.append(String(decoding: part, as: UTF8.self))
    return parts
  }

  /// Filled up with spaces to `width` bytes.
  public func padded(to width: Int) -> String {
    self + String(decoding: [UInt8](repeating: 0x20, count: max(0, width - utf8.count)), as: UTF8.self)
  }
}

/// What a digit of a hexadecimal number counts.
public func hexadecimalDigit(_ byte: UInt8) -> UInt8? {
  switch byte {
  case 0x30...0x39: byte - 0x30
  case 0x41...0x46: byte - 0x41 + 10
  case 0x61...0x66: byte - 0x61 + 10
  default: nil
  }
}

/// "uart1, uart2 and uart3", or "none".
public func listed(_ names: [String]) -> String {
  guard let last = names.last else { return "none" }
  if names.count == 1 { return last }
  return names.dropLast().reduce("") { $0.utf8.isEmpty ? $1 : "\($0), \($1)" } + " and \(last)"
}

/// Prints a line on stdout, whole or not at all as far as the kernel allows.
public func printLine(_ text: String) { writeLine(text, to: 1) }

/// Prints a line on stderr.
public func printError(_ text: String) { writeLine(text, to: 2) }

private func writeLine(_ text: String, to number: Int32) {
  writeBytes(Array(text.utf8) + [0x0a], to: number)
}

/// Writes to an inherited descriptor. Returns false when it can't (a closed pipe).
@discardableResult
public func writeBytes(_ bytes: [UInt8], to number: Int32) -> Bool {
  var done = 0
  while done < bytes.count {
    let count = unsafe bytes.withUnsafeBytes { unsafe write(number, $0.baseAddress! + done, $0.count - done) }
    if count > 0 { done += count } else if lx_errno() != EINTR { return false }
  }
  return true
}

// Out of line: what the library's own ones would put at each of some hundred places makes a tenth of a program for a guest.
extension DefaultStringInterpolation {
  @inline(never)
  public mutating func appendLiteral(_ literal: String) { write(literal) }

  @inline(never)
  public mutating func appendInterpolation(_ text: String) { write(text) }
}
