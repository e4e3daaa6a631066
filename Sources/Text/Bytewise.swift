/// Whether two texts have the same bytes. `String`'s own `==` compares Unicode-canonically, for which Embedded Swift
/// would link 35 KB of tables into the guest's binary.
@inline(never)
public func sameText(_ a: String, _ b: String) -> Bool {
  unsafe a.utf8.withContiguousStorageIfAvailable { a in
    unsafe b.utf8.withContiguousStorageIfAvailable { b in unsafe a.count == b.count && a.elementsEqual(b) }
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
    Text.parts(of: Array(utf8), separatedBy: separator).map { String(decoding: $0, as: UTF8.self) }
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
