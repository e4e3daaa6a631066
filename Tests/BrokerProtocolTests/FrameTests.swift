import TestSupport
import Testing

@testable import BrokerProtocol

@Suite("Frames from a hostile peer, and settings from a person")
struct FrameTests {
  @Test("Spec 4 §2: any bytes are a value or nothing, never a trap")
  func anyBytes() {
    var generator = SeededGenerator("frames")
    for count in 0..<64 {
      for _ in 0..<200 {
        let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
        #expect((Request(bytes.span.bytes) != nil) == (count >= Request.size))
        if count < Response.size { #expect(Response(bytes.span.bytes) == nil) } else { _ = Response(bytes.span.bytes) }
        _ = UARTSettings(bytes.span.bytes)
        for start in [-1, 0, 1, count - 1, count, count + 1, .max - 4, .max, .min] {
          var offset = start
          _ = DirectoryEntry(bytes.span.bytes, at: &offset)
          #expect(offset == start || offset <= count)
        }
      }
    }
  }

  private func name(_ bytes: [UInt8]) -> String? { bytes.span.bytes.name(at: 0, count: bytes.count, limit: maximumName) }

  @Test("A name is 1 to 31 bytes of printable ASCII")
  func names() {
    #expect(name(Array("uart2".utf8)) == "uart2")
    #expect(name([]) == nil)
    #expect(name([UInt8](repeating: 0x61, count: 31)) != nil)
    #expect(name([UInt8](repeating: 0x61, count: 32)) == nil)
    for byte: UInt8 in [0, 0x1f, 0x20, 0x7f, 0x80, 0xff] { #expect(name([0x61, byte]) == nil) }
  }

  @Test(
    "A setting that is none changes nothing",
    arguments: [
      "", "0", "fast", "115200n", "115200,", "115200,8n", "115200,n81", "115200,8n11", "115200n812", "115200x81", "115200n91",
      "115200n83", "4294967296", "-1", "1 ",
    ])
  func notASetting(word: String) {
    var settings = UARTSettings(baud: 9600, dataBits: 7, parity: .even, rtscts: true)
    let before = settings
    #expect(settings.apply(word) == false)
    #expect(settings == before)
  }

  @Test("Words change only what they name")
  func words() {
    var settings = UARTSettings(baud: 9600, dataBits: 7, parity: .even, stopBits: 2, rtscts: true)
    #expect(settings.apply("4294967295") == true)
    #expect(settings.text == "4294967295e72 rtscts")
    #expect(settings.apply("xonxoff") == true)
    #expect(settings.text == "4294967295e72 rtscts xonxoff")
    #expect(settings.apply("noflow") == true)
    #expect(settings.apply("300N81") == true)
    #expect(settings.text == "300n81")
    for (word, text) in [("9600e7", "9600e71"), ("115200,8n1", "115200n81"), ("1200,7O2", "1200o72")] {
      #expect(settings.apply(word) == true)
      #expect(settings.text == text)
    }
  }

  @Test("A status has its errno's name, any other its number")
  func statusNames() {
    #expect(Status.access.name == "EACCES")
    #expect(Status(rawValue: 4711).name == "status 4711")
  }
}
