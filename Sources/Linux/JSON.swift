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
  for byte in Array(text.utf8) {
    if byte < 0x20 {
      bytes += Array("\\u00\(hexadecimal([byte]))".utf8)
      continue
    }
    if byte == 0x22 || byte == 0x5c { bytes.append(0x5c) }
    bytes.append(byte)
  }
  bytes.append(0x22)
  return String(decoding: bytes, as: UTF8.self)
}
