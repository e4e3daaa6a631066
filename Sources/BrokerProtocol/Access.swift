import Text

/// What a guest may do with a peripheral (Spec 4 §6; Spec, device tree §4).
public struct Access: OptionSet, Sendable {
  public let rawValue: UInt8

  @inlinable
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  @inlinable public static var read: Access { Access(rawValue: 1) }
  @inlinable public static var write: Access { Access(rawValue: 2) }

  /// As a device tree has it: "rw", "ro" or "wo"; nil for anything else.
  public init?(_ name: String) {
    switch name {
    case _ where sameText(name, "rw"): self = [.read, .write]
    case _ where sameText(name, "ro"): self = .read
    case _ where sameText(name, "wo"): self = .write
    default: return nil
    }
  }

  /// "rw", "ro" or "wo"; "none" for nothing that this version knows.
  public var name: String {
    switch rawValue & 3 {
    case 3: "rw"
    case 2: "wo"
    case 1: "ro"
    default: "none"
    }
  }
}
