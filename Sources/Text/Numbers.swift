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

/// A number as sysfs shows most: "0x0000000000100000"; nil when it is none or too large.
public func parseHexadecimal(_ text: String) -> UInt64? {
  let digits = Array(text.utf8).dropFirst(2)
  guard text.hasBytePrefix("0x"), !digits.isEmpty else { return nil }
  var value: UInt64 = 0
  for digit in digits {
    guard let digit = hexadecimalDigit(digit), value >> 60 == 0 else { return nil }
    value = value << 4 | UInt64(digit)
  }
  return value
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
