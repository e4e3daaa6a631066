import DeviceTree
import Linux

extension TreeCheck {
  /// What the running kernel made of a tree: okay nodes that it has no device for, devices of nodes that are not this guest's,
  /// and exported devices without a driver.
  ///
  /// - Parameters:
  ///   - tree: The tree that it was booted with.
  ///   - sysfs: Where sysfs is mounted.
  /// - Throws: When sysfs shows no device tree, or no buses.
  public static func live(_ named: NamedTree, sysfs: String) throws(Errno) -> [Finding] {
    let report = Report(files: [named.file])
    let survey = Survey(named.tree, file: 0)
    let devices = try enumeratedDevices(sysfs)

    /// By the node's place: whether there is a device, and whether one has a driver.
    var isThere = Array(repeating: false, count: survey.nodes.count)
    var isDriven = isThere
    for device in devices {
      guard let node = survey.node(path: device.node) else { continue }
      if !isThere[node], !survey.isOkay(node) {
        report.add(
          .liveForeignDevice, survey, node,
          "this kernel has device \(device.name) for it, but \(statusText(survey, node)) in this tree",
          "boot with the tree that says so, or unbind the driver")
      }
      isThere[node] = true
      if device.hasDriver { isDriven[node] = true }
    }
    for device in survey.devices where survey.isOkay(device.node) && !isThere[device.node] && makesDevice(survey, device) {
      report.add(
        .liveNoDevice, survey, device.node, "it is okay in this tree, but this kernel has no device for it",
        "see dmesg for its driver and its bus's; set status = \"reserved\" if it is another guest's")
    }
    for export in Guest(survey, called: "").exports {
      guard let device = export.device, survey.isOkay(device), !isDriven[device] else { continue }
      report.add(
        .liveNoDriver, survey, export.node,
        isThere[device]
          ? "no driver is bound to \(survey.path(device)), which it exports"
          : "this kernel has no device for \(survey.path(device)), which it exports",
        "load the driver for \(survey.nodes[device].property("compatible")?.strings?.first ?? "it"), or see dmesg for why it gave up"
      )
    }
    return report.sorted
  }

  private struct EnumeratedDevice {
    var name: String
    /// The node's path in the tree.
    var node: String
    var hasDriver: Bool
  }

  /// The devices of all buses that have a node.
  private static func enumeratedDevices(_ sysfs: String) throws(Errno) -> [EnumeratedDevice] {
    let base = "\(sysfs)/firmware/devicetree/base"
    guard let root = realPath(base) else { throw .last }
    var found: [EnumeratedDevice] = []
    for bus in try listDirectory("\(sysfs)/bus", limit: 4096).sorted() {
      let folder = "\(sysfs)/bus/\(bus)/devices"
      guard fileKind(folder) == .directory else { continue }
      for name in try listDirectory(folder, limit: 1 << 16).sorted() {
        guard let node = realPath("\(folder)/\(name)/of_node"), node.hasPrefix("\(root)/") else { continue }
        found.append(
          EnumeratedDevice(
            name: name, node: String(node.dropFirst(root.count)), hasDriver: fileKind("\(folder)/\(name)/driver") == .directory)
        )
      }
    }
    return found
  }

  /// Whether Linux makes a device of this node by itself: it has registers and a compatible, all buses above are such that
  /// their drivers do nothing else, and no early code takes it, as it does timers, clocks and interrupt controllers.
  private static func makesDevice(_ survey: Survey, _ device: Device) -> Bool {
    guard device.hasRegisters else { return false }
    let node = survey.nodes[device.node]
    guard let compatible = node.property("compatible")?.strings, node.property("#clock-cells") == nil else { return false }
    // "arm,sp804", "arm,armv7-timer-mem", "ti,am335x-timer"
    if node.name.hasPrefix("timer") || compatible.contains("arm,sp804") { return false }
    var bus = survey.parents[device.node]
    while bus > 0 {
      let names = ["simple-bus", "simple-mfd", "isa", "arm,amba-bus"]
      guard names.contains(where: { survey.nodes[bus].isCompatible(with: $0) }) else { return false }
      bus = survey.parents[bus]
    }
    return true
  }
}
