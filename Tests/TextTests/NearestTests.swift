import Testing
import Text

@Suite("The name that was probably meant")
struct NearestTests {
  @Test("The near name is the one that was probably meant")
  func near() {
    #expect(nearest("uart3", in: ["i2c1", "uart2"]) == "uart2")
    #expect(nearest("uatr2", in: ["uart1", "uart2"]) == "uart2")
    #expect(nearest("spi0", in: ["uart2"]) == nil)
    #expect(nearest("uart2", in: ["uart1", "uart2", "uart3"]) == "uart2")
    #expect(nearest("uart9", in: ["uart1", "uart2"]) == "uart1", "of equals, the first")
    #expect(nearest("art2", in: ["uart2"]) == "uart2")
    #expect(nearest("uart22", in: ["uart2"]) == "uart2")
    #expect(nearest("a", in: ["", "bc"]) == "")
    #expect(nearest("", in: ["uart2"]) == nil)
    #expect(nearest("uart2", in: []) == nil)
    #expect(nearest(String(repeating: "x", count: 100_000), in: ["uart2"]) == nil)
  }
}
