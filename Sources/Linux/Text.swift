import CLinux

/// Whether two texts have the same bytes. `String`'s own `==` compares Unicode-canonically, for which Embedded Swift
/// would link 35 KB of tables into the guest's binary.
@inline(never)
public func sameText(_ a: String, _ b: String) -> Bool {
  unsafe a.utf8.withContiguousStorageIfAvailable { a in
    unsafe b.utf8.withContiguousStorageIfAvailable { b in
      // SAFETY: both have that many bytes.
      unsafe a.count == b.count && (a.isEmpty || memcmp(a.baseAddress!, b.baseAddress!, a.count) == 0)
    }
  } == true
}

extension String {
  /// The text from its `count`-th byte on.
  public func dropping(_ count: Int) -> String { String(decoding: Array(utf8).dropFirst(count), as: UTF8.self) }

  public func hasBytePrefix(_ prefix: String) -> Bool {
    Array(utf8).starts(with: Array(prefix.utf8))
  }

  /// The parts between `separator` bytes; as `split` with empty parts kept.
  public func parts(separatedBy separator: UInt8) -> [String] {
    Linux.parts(of: Array(utf8), separatedBy: separator).map { String(decoding: $0, as: UTF8.self) }
  }

  /// Filled up with spaces to `width` bytes.
  public func padded(to width: Int) -> String {
    self + String(decoding: [UInt8](repeating: 0x20, count: max(0, width - utf8.count)), as: UTF8.self)
  }
}

// ---- System text: what comes from the kernel and goes to it, arguments and paths, is bytes, and need not be UTF-8 ----------------

extension String {
  /// System text, which has any bytes and loses none. A byte that is not UTF-8 becomes one of the scalars U+10FF80 to U+10FFFF, which
  /// nobody has a use for; where these are in the bytes themselves, each of their bytes becomes one.
  public init(systemBytes bytes: [UInt8]) {
    var text: [UInt8] = []
    var index = 0
    while index < bytes.count {
      let length = scalarLength(bytes, at: index)
      if length > 0 {
        for _ in 0..<length {
          text.append(bytes[index])
          index += 1
        }
      } else {
        // U+10FF00 and the byte, which is 0x80 at least.
        text += [0xf4, 0x8f, 0xbc | bytes[index] >> 6, 0x80 | bytes[index] & 0x3f]
        index += 1
      }
    }
    self.init(decoding: text, as: UTF8.self)
  }

  /// The same of a text that ends with a 0.
  public init(systemText text: UnsafePointer<CChar>) {
    self.init(systemBytes: unsafe Array(UnsafeRawBufferPointer(start: text, count: strlen(text))))
  }

  /// The bytes of a system text, as the kernel had them.
  public var systemBytes: [UInt8] {
    let text = Array(utf8)
    // Almost every text is ASCII.
    guard let first = text.firstIndex(of: 0xf4) else { return text }
    var bytes = Array(text[..<first])
    var index = first
    while index < text.count {
      // A Swift text is UTF-8: two bytes follow.
      if text[index] == 0xf4, index + 3 < text.count, text[index + 1] == 0x8f, text[index + 2] >= 0xbe {
        bytes.append(text[index + 2] << 6 | text[index + 3] & 0x3f)
        index += 4
      } else {
        bytes.append(text[index])
        index += 1
      }
    }
    return bytes
  }

  /// The bytes and a 0, as a C function takes a path.
  public var systemPath: [CChar] { (systemBytes + [0]).map { CChar(bitPattern: $0) } }
}

/// How many bytes the scalar at `index` has in UTF-8; 0 when there is none, or one that stands for a byte.
private func scalarLength(_ bytes: [UInt8], at index: Int) -> Int {
  let first = bytes[index]
  if first < 0x80 { return 1 }
  guard first >= 0xc2, first <= 0xf4 else { return 0 }
  let length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2
  guard length <= bytes.count - index else { return 0 }
  for offset in 1..<length where bytes[index + offset] & 0xc0 != 0x80 { return 0 }
  let second = bytes[index + 1]
  switch first {
  case 0xe0 where second < 0xa0: return 0  // could be shorter
  case 0xed where second > 0x9f: return 0  // a surrogate
  case 0xf0 where second < 0x90: return 0  // could be shorter
  case 0xf4 where second > 0x8f: return 0  // beyond U+10FFFF
  case 0xf4 where second == 0x8f && bytes[index + 2] >= 0xbe: return 0
  default: return length
  }
}

/// The parts between `separator` bytes, empty ones too.
func parts(of bytes: [UInt8], separatedBy separator: UInt8) -> [[UInt8]] {
  var parts: [[UInt8]] = [[]]
  for byte in bytes {
    if byte == separator { parts.append([]) } else { parts[parts.count - 1].append(byte) }
  }
  return parts
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
  return "\(Array(names.dropLast()).joined(separator: ", ")) and \(last)"
}

/// "0x8f000000"
public func hexadecimal(_ number: some BinaryInteger) -> String { "0x\(String(UInt64(truncatingIfNeeded: number), radix: 16))" }

/// Two digits for each byte: "48656c6c6f".
public func hexadecimal(_ bytes: [UInt8]) -> String {
  var text: [UInt8] = []
  for byte in bytes {
    for digit in [byte >> 4, byte & 15] { text.append(digit < 10 ? 0x30 + digit : 0x57 + digit) }
  }
  return String(decoding: text, as: UTF8.self)
}

/// A line for each row, with columns as wide as their widest cell and two spaces between them.
@inline(never)
public func tableLines(_ rows: [[String]]) -> [String] {
  var widths: [Int] = []
  for row in rows {
    for (column, cell) in row.enumerated() {
      if column == widths.count { widths.append(0) }
      widths[column] = max(widths[column], cell.utf8.count)
    }
  }
  var lines: [String] = []
  for row in rows {
    var cells: [String] = []
    for cell in row { cells.append(cells.count == row.count - 1 ? cell : cell.padded(to: widths[cells.count] + 2)) }
    lines.append(cells.joined())
  }
  return lines
}

/// Prints a line on stdout, whole or not at all as far as the kernel allows.
public func printLine(_ text: String) { writeLine(text, to: 1) }

/// Prints a line on stderr.
public func printError(_ text: String) { writeLine(text, to: 2) }

/// Prints a line of results. Ends the program when it can't: nobody should believe that all is well. What the line says is then told on
/// standard error, since it was done.
public func printResult(_ line: String, of program: String) {
  if let error = unprinted(line, of: program) { exitProcess((error.isInterruption ? ExitCode.ofSignal : .ioError).rawValue) }
}

/// Prints a line of results, or says on standard error which one couldn't be printed. Returns why.
func unprinted(_ line: String, of program: String) -> Errno? {
  guard let error = writeAll(line.systemBytes + [0x0a], to: 1).error else { return nil }
  // A page of help is no result.
  let result = line.utf8.contains(0x0a) ? "" : "; it was: \(line)"
  printError("\(program): cannot write the result to standard output (\(error.text))\(result)")
  return error
}

private func writeLine(_ text: String, to number: Int32) {
  // A service doesn't stand still because nobody reads its messages from a pipe.
  _ = writeAll(text.systemBytes + [0x0a], to: number, patience: number == 2 ? 100_000_000 : .max)
}

/// Writes to an inherited descriptor. Returns false when it can't (a closed pipe).
@discardableResult
public func writeBytes(_ bytes: [UInt8], to number: Int32) -> Bool { writeAll(bytes, to: number).error == nil }

/// Writes to an inherited descriptor. Where another process made that non-blocking, and it is full, this waits.
///
/// - Parameter patience: How long to wait each time, in nanoseconds.
/// - Returns: How many bytes were written, and why that isn't all: EINTR when `wasInterrupted` became true meanwhile.
public func writeAll(_ bytes: [UInt8], to number: Int32, patience: UInt64 = .max) -> (done: Int, error: Errno?) {
  var done = 0
  let wasInterruptedBefore = wasInterrupted
  while done < bytes.count {
    let count = unsafe bytes.withUnsafeBytes { unsafe write(number, $0.baseAddress! + done, $0.count - done) }
    if count > 0 {
      done += count
      continue
    }
    let error = count == 0 ? Errno.io : Errno.last
    if error.isInterruption, !wasInterrupted || wasInterruptedBefore { continue }
    guard error.code == EAGAIN else { return (done, error) }
    if lx_wait_writable(number, patience) != 0 { continue }
    if wasInterrupted, !wasInterruptedBefore { return (done, .interrupted) }
    if patience != .max { return (done, error) }
  }
  return (done, nil)
}
