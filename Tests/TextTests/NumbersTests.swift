import Testing
import Text

@Suite("Numbers in text")
struct NumbersTests {
  @Test("Numbers are decimal and fit")
  func numbers() {
    #expect(parseNumber("18446744073709551615") == .max)
    for text in ["", "18446744073709551616", "-1", "+1", "1 ", "0x10", "९"] { #expect(parseNumber(text) == nil) }
  }

  @Test(
    "Numbers are hexadecimal",
    arguments: [
      ("0x0", 0), ("0x0000000000100000", 0x10_0000), ("0xffffffffffffffff", UInt64.max), ("0xAf", 0xaf), ("", nil), ("0x", nil),
      ("12", nil), ("0x1ffffffffffffffff", nil), ("0xg", nil),
    ] as [(String, UInt64?)])
  func hexadecimals(text: String, value: UInt64?) { #expect(parseHexadecimal(text) == value) }
}
