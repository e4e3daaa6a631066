import Testing
import Text

@Suite("JSON")
struct JSONTests {
  @Test("JSON is UTF-8 all the same: the scalar that stands for a byte is escaped")
  func json() {
    var object = JSONObject()
    object.add("path", String(systemBytes: [0x2f, 0xe9, 0xff]))
    #expect(object.text == #"{"path":"/\udbff\udfe9\udbff\udfff"}"#)
  }
}
