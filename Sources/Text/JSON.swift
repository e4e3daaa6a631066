/// A JSON object, written in the order its members are added.
public struct JSONObject: Sendable {
  private var members: [String] = []

  public init() {}

  public mutating func add(_ name: String, _ text: String) { members.append("\"\(name)\":\(quoted(text))") }
  public mutating func add(_ name: String, _ number: UInt64) { members.append("\"\(name)\":\(number)") }
  public mutating func add(_ name: String, _ number: Int) { members.append("\"\(name)\":\(number)") }
  public mutating func add(_ name: String, _ flag: Bool) { members.append("\"\(name)\":\(flag ? "true" : "false")") }

  public var text: String { "{\(members.joined(separator: ","))}" }
}

private func quoted(_ text: String) -> String {
  var bytes: [UInt8] = [0x22]
  let content = Array(text.utf8)
  var index = 0
  while index < content.count {
    let byte = content[index]
    index += 1
    if byte < 0x20 {
      bytes += Array("\\u00\(hexadecimal([byte]))".utf8)
      continue
    }
    // JSON is UTF-8 whatever a path is: a byte that isn't stays the scalar that stands for it (U+10FF80 to U+10FFFF).
    if byte == 0xf4, index + 2 < content.count, content[index] == 0x8f, content[index + 1] >= 0xbe {
      bytes += Array("\\udbff\\udf\(hexadecimal([content[index + 1] << 6 | content[index + 2] & 0x3f]))".utf8)
      index += 3
      continue
    }
    if byte == 0x22 || byte == 0x5c { bytes.append(0x5c) }
    bytes.append(byte)
  }
  bytes.append(0x22)
  return String(decoding: bytes, as: UTF8.self)
}
