import Testing
import Text

@Suite("Text as bytes")
struct BytewiseTests {
  @Test("Text is cut and filled by bytes")
  func text() {
    #expect("a,,b".parts(separatedBy: 0x2c) == ["a", "", "b"])
    #expect("".parts(separatedBy: 0x2c) == [""])
    #expect([[], ["a"], ["a", "b"], ["a", "b", "c"]].map(listed) == ["none", "a", "a and b", "a, b and c"])
    #expect("ab".padded(to: 4) == "ab  ")
    #expect("abcdef".padded(to: 4) == "abcdef")
    #expect("--name=x".dropping(7) == "x")
    #expect(sameText("é", "é") && !sameText("e\u{301}", "é"))
  }
}
