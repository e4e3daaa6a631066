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
