import Foundation

/// A directory that looks like sysfs as far as somebody makes it.
public final class FakeSysfs {
  private let root = FileManager.default.temporaryDirectory.appendingPathComponent("sysfs-\(UUID().uuidString)")
  public var path: String { root.path }

  public init() throws { try directory("") }

  deinit { try? FileManager.default.removeItem(at: root) }

  public func directory(_ path: String) throws {
    try FileManager.default.createDirectory(at: root.appendingPathComponent(path), withIntermediateDirectories: true)
  }

  /// A link at `path` to another place in here.
  public func link(_ path: String, to target: String) throws {
    try directory((path as NSString).deletingLastPathComponent)
    try FileManager.default.createSymbolicLink(
      atPath: root.appendingPathComponent(path).path, withDestinationPath: root.appendingPathComponent(target).path)
  }

  public func file(_ path: String, _ content: Data) throws {
    try directory((path as NSString).deletingLastPathComponent)
    try content.write(to: root.appendingPathComponent(path))
  }

  public func attribute(_ path: String, _ text: String) throws { try file(path, Data("\(text)\n".utf8)) }

  /// A device of a class, bound to a device-tree node; `below` it are as many devices as the names say.
  public func device(_ name: String, class type: String, ofNode node: String, below: [String] = []) throws {
    try directory("firmware/devicetree/base\(node)")
    let owner = "devices/\((node as NSString).lastPathComponent)"
    let device = ([owner] + below).joined(separator: "/")
    try directory("\(device)/\(type)/\(name)")
    try link("\(owner)/of_node", to: "firmware/devicetree/base\(node)")
    try link("\(device)/\(type)/\(name)/device", to: device)
    try link("class/\(type)/\(name)", to: "\(device)/\(type)/\(name)")
  }
}
