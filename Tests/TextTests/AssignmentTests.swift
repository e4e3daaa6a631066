import Testing
import Text

@Suite("NAME=PATH")
struct AssignmentTests {
  @Test("NAME=PATH has both")
  func assignments() {
    #expect(Assignment("a=b=c")?.path == "b=c")
    for text in ["", "a", "=", "a=", "=b"] { #expect(Assignment(text) == nil) }
    #expect([Assignment(name: "a", path: "1"), Assignment(name: "a", path: "2")].path(for: "a") == "2")
  }
}
