import Linux

/// The terminal whose driver is bound to a device-tree node: "/dev/ttyAMA2".
///
/// Linux shows each device's node as a link `of_node` below /sys/firmware/devicetree/base. A terminal's own `device` may
/// be a port below the device that has the node (kernels from 6.5 on), so its parents are asked too.
///
/// A device with several terminals has the first of them in the order of their names.
///
/// - Parameters:
///   - node: The node's path, as "/soc/serial@7e201000".
///   - sysfs: Where sysfs is mounted.
func findTerminal(ofNode node: String, sysfs: String) -> String? {
  guard
    let wanted = realPath("\(sysfs)/firmware/devicetree/base\(node)"),
    let names = try? listDirectory("\(sysfs)/class/tty", limit: 4096)
  else { return nil }
  for name in names.sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) {
    var device = "\(sysfs)/class/tty/\(name)/device"
    for _ in 0..<3 {
      if let found = realPath("\(device)/of_node") {
        if sameText(found, wanted) { return "/dev/\(name)" }
        break
      }
      device += "/.."
    }
  }
  return nil
}
