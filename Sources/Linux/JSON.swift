/// A JSON object, written in the order its members are added.
public struct JSONObject: Sendable {
  private var members: [String] = []

  public init() {}

  public mutating func add(_ name: String, _ text: String) { members.append("\"\(name)\":\(quoted(text))") }
  public mutating func add(_ name: String, _ number: UInt64) { members.append("\"\(name)\":\(number)") }
  public mutating func add(_ name: String, _ number: Int) { members.append("\"\(name)\":\(number)") }
  public mutating func add(_ name: String, _ flag: Bool) { members.append("\"\(name)\":\(flag ? "true" : "false")") }

  public var text: String { "{\(members.joined(by: ","))}" }
}

private func quoted(_ text: String) -> String {
  var bytes: [UInt8] = [0x22]
  for byte in text.utf8 {
    switch byte {
    case 0x22, 0x5c: bytes += [0x5c, byte]
    case 0..<0x20:
      let hex = Array("0123456789abcdef".utf8)
      bytes += Array("\\u00".utf8) + [hex[Int(byte >> 4)], hex[Int(byte & 15)]]
    default: bytes.append(byte)
    }
  }
  return String(decoding: bytes + [0x22], as: UTF8.self)
}
