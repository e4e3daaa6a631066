import TestSupport
import Testing
import Text

@Suite("System text: bytes that need not be UTF-8")
struct SystemTextTests {
  @Test(
    "Text that is UTF-8 stays as it is", arguments: ["", "a", "é", "\u{7ff}", "\u{800}", "\u{d7ff}\u{e000}", "😀", "\u{10ff7f}"])
  func valid(text: String) {
    #expect(String(systemBytes: Array(text.utf8)) == text)
    #expect(text.systemBytes == Array(text.utf8))
  }

  @Test(
    "A byte that is no part of UTF-8 becomes a scalar of its own, also one of a scalar that stands for a byte",
    arguments: [
      ([0xff], "\u{10ffff}"), ([0x61, 0x80, 0x62], "a\u{10ff80}b"), ([0xc3], "\u{10ffc3}"),
      ([0xc0, 0x80], "\u{10ffc0}\u{10ff80}"),
      ([0xed, 0xa0, 0x80], "\u{10ffed}\u{10ffa0}\u{10ff80}"),
      ([0xf4, 0x90, 0x80, 0x80], "\u{10fff4}\u{10ff90}\u{10ff80}\u{10ff80}"),
      (Array("\u{10ff80}".utf8), "\u{10fff4}\u{10ff8f}\u{10ffbe}\u{10ff80}"),
      (Array("\u{10ffff}".utf8), "\u{10fff4}\u{10ff8f}\u{10ffbf}\u{10ffbf}"),
    ] as [([UInt8], String)])
  func invalid(bytes: [UInt8], text: String) {
    #expect(String(systemBytes: bytes).unicodeScalars.elementsEqual(text.unicodeScalars))
    #expect(String(systemBytes: bytes).systemBytes == bytes)
  }

  @Test("Any bytes come back as they were")
  func anyBytes() {
    var generator = SeededGenerator("anyBytes")
    // What matters are the bytes at which UTF-8 has its borders.
    let borders: [UInt8] = [
      0x2f, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbd, 0xbe, 0xbf, 0xc1, 0xc2, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5,
    ]
    for _ in 0..<20_000 {
      let bytes = (0..<Int.random(in: 0...9, using: &generator)).map { _ in
        Bool.random(using: &generator)
          ? borders.randomElement(using: &generator)! : UInt8.random(in: 1...255, using: &generator)
      }
      #expect(String(systemBytes: bytes).systemBytes == bytes)
      #expect(String(systemBytes: bytes).systemPath == bytes.map { CChar(bitPattern: $0) } + [0])
    }
  }

}
