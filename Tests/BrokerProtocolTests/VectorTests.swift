import Foundation
import TestSupport
import Testing

@testable import BrokerProtocol

@Suite("Spec/vectors/frames.txt")
struct VectorTests {
  /// A line of the file: the words before the colon, and the bytes behind it.
  struct Vector: CustomTestStringConvertible, Sendable {
    var words: [String]
    var bytes: [UInt8]
    var testDescription: String { words.joined(separator: " ") }

    func number<T: FixedWidthInteger>(_ index: Int) throws -> T { try #require(T(words[index], radix: 16)) }
  }

  static let vectors: [Vector] = ((try? TestSupport.vectors("frames.txt")) ?? []).compactMap { _, words in
    let halves = words.split(separator: ":", maxSplits: 1)
    guard halves.count == 2, let bytes = bytes(hex: halves[1]) else { return nil }
    return Vector(words: Array(halves[0]), bytes: bytes)
  }

  @Test("The file is there and has every kind")
  func kinds() {
    #expect(Set(Self.vectors.map { $0.words[0] }) == ["request", "response", "entry", "settings", "bad"])
  }

  @Test("Each line is encoded to its bytes and decoded from them", arguments: vectors.filter { $0.words[0] != "bad" })
  func good(vector: Vector) throws {
    let bytes = vector.bytes
    switch vector.words[0] {
    case "request":
      var request = Request(
        id: try vector.number(1), peripheralClass: .broker, operation: try vector.number(3), peripheral: try vector.number(4),
        timeout: try vector.number(5), argument0: try vector.number(6), argument1: try vector.number(7))
      request.peripheralClass = try vector.number(2)
      #expect(Request(bytes.span.bytes) == request)
      #expect(encoded(Request.size) { request.encode(into: &$0) } == bytes)
    case "response":
      let response = Response(
        id: try vector.number(1), status: Status(rawValue: try vector.number(2)),
        executed: try #require(Executed(rawValue: try vector.number(3))), count: try vector.number(4),
        failedIndex: try vector.number(5), value: try vector.number(6))
      #expect(Response(bytes.span.bytes) == response)
      #expect(encoded(Response.size) { response.encode(into: &$0) } == bytes)
    case "entry":
      var offset = 0
      let entry = try #require(DirectoryEntry(bytes.span.bytes, at: &offset))
      #expect(offset == bytes.count)
      #expect(try entry.number == vector.number(1))
      #expect(try entry.peripheralClass == vector.number(2))
      #expect(try entry.access.rawValue == vector.number(3))
      #expect(entry.name == vector.words[4])
      #expect(encoded(entry.size) { entry.encode(into: &$0, at: 0) } == bytes)
    case "settings":
      var settings = UARTSettings(baud: 1)
      for word in vector.words.dropFirst() { #expect(settings.apply(word) == true) }
      #expect(UARTSettings(bytes.span.bytes) == settings)
      #expect(settings.text == vector.words.dropFirst().joined(separator: " "))
      #expect(encoded(UARTSettings.size) { settings.encode(into: &$0, at: 0) } == bytes)
    default: Issue.record("unknown kind \(vector.words[0])")
    }
  }

  @Test("Each bad line is refused", arguments: vectors.filter { $0.words[0] == "bad" })
  func bad(vector: Vector) {
    let bytes = vector.bytes
    var offset = 0
    switch vector.words[1] {
    case "request": #expect(Request(bytes.span.bytes) == nil)
    case "response": #expect(Response(bytes.span.bytes) == nil)
    case "entry":
      #expect(DirectoryEntry(bytes.span.bytes, at: &offset) == nil)
      #expect(offset == 0)
    case "settings": #expect(UARTSettings(bytes.span.bytes) == nil)
    default: Issue.record("unknown kind \(vector.words[1])")
    }
  }

  private func encoded(_ size: Int, _ encode: (inout MutableRawSpan) -> Void) -> [UInt8] {
    var bytes = [UInt8](repeating: 0xee, count: size)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    encode(&raw)
    return bytes
  }
}
