// System text: what comes from the kernel and goes to it, arguments and paths, is bytes, and need not be UTF-8.

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
