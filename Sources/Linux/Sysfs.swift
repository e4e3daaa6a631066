import Text

/// The device of a class whose driver is bound to a device-tree node: "ttyAMA2" of class "tty".
///
/// Linux shows each device's node as a link `of_node` below /sys/firmware/devicetree/base. A terminal's own `device` may
/// be a port below the device that has the node (kernels from 6.5 on), so its parents are asked too.
///
/// Of several the first in the order of their names.
///
/// - Parameters:
///   - node: The node's path, as "/soc/serial@7e201000".
///   - sysfs: Where sysfs is mounted.
public func findDevice(ofNode node: String, class name: String, sysfs: String) -> String? {
  guard let devices = try? listDirectory("\(sysfs)/class/\(name)", limit: 4096) else { return nil }
  var first: String?
  for found in devices {
    if let first, Array(first.utf8).lexicographicallyPrecedes(Array(found.utf8)) { continue }
    var device = "\(sysfs)/class/\(name)/\(found)/device"
    for _ in 0..<3 {
      let itsNode = "\(device)/of_node"
      if fileKind(itsNode) != .none {
        if isSameFile(itsNode, "\(sysfs)/firmware/devicetree/base\(node)") { first = found }
        break
      }
      device += "/.."
    }
  }
  return first
}

/// What a file of sysfs says, without the end of its line; nil when it isn't there.
public func readAttribute(_ path: String) -> String? {
  guard let bytes = try? readFile(path, limit: 4096) else { return nil }
  return String(decoding: bytes, as: UTF8.self).parts(separatedBy: 0x0a).first
}
