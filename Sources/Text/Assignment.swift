/// `NAME=PATH`, as an option takes it.
public struct Assignment: Sendable {
  public var name: String
  public var path: String

  public init(name: String, path: String) {
    self.name = name
    self.path = path
  }

  /// - Returns: Nil unless there is something on both sides of the first '='.
  public init?(_ text: String) {
    let bytes = Array(text.utf8)
    guard let equals = bytes.firstIndex(of: 0x3d), equals > 0, equals + 1 < bytes.count else { return nil }
    name = String(decoding: bytes[..<equals], as: UTF8.self)
    path = String(decoding: bytes[(equals + 1)...], as: UTF8.self)
  }
}

extension [Assignment] {
  /// The last one counts.
  public func path(for name: String) -> String? { last { sameText($0.name, name) }?.path }
}
