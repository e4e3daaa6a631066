import DeviceTree

/// A tree as the rules need it: every node once, in the order of the tree, with what is asked of them again and again.
///
/// It takes time and memory in proportion to the tree, times a logarithm: no rule may look at all nodes for each node.
final class Survey {
  /// Which of the report's files this is.
  let file: Int
  let tree: DeviceTree
  let nodes: [Node]
  /// Of the node at the same place; -1 for the root.
  let parents: [Int]
  let states: [State]
  /// Those nodes that have registers or memory at physical addresses, in the order of the tree.
  let devices: [Device]
  /// The node that says what is shared.
  let guestNode: Int?

  /// The first place behind a node and all below it.
  private let ends: [Int]
  let references: References
  /// Whether interrupts can be followed to their controllers in reasonable time: each looks through the whole of the maps
  /// on its way.
  let hasFollowableInterrupts: Bool
  /// By the tree's own index.
  private let places: [Int]
  private let placesByName: [ChildName: Int]
  /// By the node's place: which of `devices` it is.
  private let deviceIndices: [Int: Int]

  enum State: Sendable {
    /// It and every bus above are okay.
    case okay
    /// `status = "reserved"`, here or above: another guest's.
    case reserved
    /// Not okay for another reason.
    case disabled
  }

  init(_ tree: DeviceTree, file: Int) {
    self.file = file
    self.tree = tree
    var nodes: [Node] = []
    var parents: [Int] = []
    var states: [State] = []
    var placesByName: [ChildName: Int] = [:]
    var pending: [(node: Node, parent: Int)] = [(tree.root, -1)]
    while let (node, parent) = pending.popLast() {
      let index = nodes.count
      nodes.append(node)
      parents.append(parent)
      let above = parent < 0 ? .okay : states[parent]
      states.append(above == .okay ? State(node) : above)
      placesByName[ChildName(parent: parent, name: node.name)] = index
      for child in node.children.reversed() { pending.append((child, index)) }
    }
    var ends = Array(1..<nodes.count + 1)
    for index in nodes.indices.dropFirst().reversed() { ends[parents[index]] = max(ends[parents[index]], ends[index]) }
    self.ends = ends
    self.nodes = nodes
    self.parents = parents
    self.states = states
    self.placesByName = placesByName
    references = References(tree)
    var places = Array(repeating: 0, count: nodes.count)
    for index in nodes.indices { places[nodes[index].index] = index }
    self.places = places
    guestNode = nodes.indices.first {
      (parents[$0] == 0) && states[$0] == .okay && nodes[$0].isCompatible(with: "guestbroker,guest-v1")
    }
    var mapSize: UInt64 = 0
    var interrupting: UInt64 = 0
    for node in nodes {
      if let map = node.property("interrupt-map") { mapSize += UInt64(map.bytes.count) }
      if node.property("interrupts") != nil || node.property("interrupts-extended") != nil { interrupting += 1 }
    }
    hasFollowableInterrupts = mapSize * interrupting < 1 << 28
    var buses = Buses(nodes, parents)
    var devices: [Device] = []
    for index in nodes.indices.dropFirst() {
      let ranges = buses.physicalRanges(of: index)
      if !ranges.isEmpty { devices.append(Device(nodes, parents, index, ranges)) }
    }
    // What has other devices below it is there for them.
    for (index, next) in devices.dropFirst().enumerated() where devices[index].kind == .peripheral {
      if next.node < ends[devices[index].node] { devices[index].kind = .supplier }
    }
    self.devices = devices
    deviceIndices = Dictionary(uniqueKeysWithValues: devices.enumerated().map { ($0.element.node, $0.offset) })
  }

  func path(_ node: Int) -> String { nodes[node].path }

  func isOkay(_ node: Int) -> Bool { states[node] == .okay }

  func place(of node: Node) -> Int { places[node.index] }

  /// The first place behind a node and all below it.
  func end(of node: Int) -> Int { ends[node] }

  /// The node with this phandle.
  func node(phandle: UInt32) -> Int? { references.phandles[phandle].map { place(of: $0) } }

  /// The node at a path from the root.
  func node(path: String) -> Int? {
    guard path.hasPrefix("/") else { return nil }
    var node = 0
    for name in path.split(separator: "/") {
      guard let child = child(node, String(name)) else { return nil }
      node = child
    }
    return node
  }

  /// A child of a node, by its name.
  func child(_ node: Int, _ name: String) -> Int? { placesByName[ChildName(parent: node, name: name)] }

  /// The node's registers or memory.
  func device(_ node: Int) -> Device? { deviceIndices[node].map { devices[$0] } }

  /// The places of a node's children.
  func children(_ node: Int) -> [Int] {
    var found: [Int] = []
    var index = node + 1
    while index < ends[node] {
      found.append(index)
      index = ends[index]
    }
    return found
  }
}

/// A node by its parent and its name: whole paths for keys would take memory in proportion to their depth, too.
struct ChildName: Hashable {
  var parent: Int
  var name: String
}

extension Survey.State {
  /// By the node's own `status`.
  init(_ node: Node) {
    guard let status = node.property("status") else {
      self = .okay
      return
    }
    switch status.string {
    case "okay", "ok": self = .okay
    case "reserved": self = .reserved
    default: self = .disabled
    }
  }
}

/// A node with registers or memory.
struct Device {
  let node: Int
  fileprivate(set) var kind: Kind
  /// Physical, none of them empty.
  let ranges: [AddressRange]

  enum Kind: Sendable {
    /// RAM, or a region of it that is set aside.
    case memory, reservedMemory
    /// What every guest has of its own: interrupt controllers, virtio devices, what belongs to a processor.
    case virtual
    /// What others need to work: clocks, regulators, pins, GPIO lines, DMA channels, power domains.
    case supplier
    case peripheral
  }

  /// Whether it is a device of the board, which one kernel can drive.
  var hasRegisters: Bool { kind == .peripheral || kind == .supplier }

  init(_ nodes: [Node], _ parents: [Int], _ node: Int, _ ranges: [AddressRange]) {
    self.node = node
    self.ranges = ranges
    kind = Kind(nodes, parents, node)
  }
}

extension Device.Kind {
  private static let supplying: Set = [
    "#clock-cells", "#reset-cells", "#power-domain-cells", "gpio-controller", "#dma-cells", "#iommu-cells", "#mbox-cells",
    "#phy-cells", "#interconnect-cells", "#pwm-cells", "#hwlock-cells", "#thermal-sensor-cells", "#pinctrl-cells",
  ]
  private static let supplyingByCompatible: Set = ["syscon", "simple-mfd", "simple-bus"]
  private static let supplyingByName = ["cache-controller", "pinctrl", "pinmux"]
  private static let emulated: Set = [
    "virtio,mmio", "pci-host-ecam-generic", "qemu,fw-cfg-mmio", "arm,armv7-timer-mem", "xen,xen", "riscv,clint0",
    "arm,cortex-a5-scu", "arm,cortex-a9-scu", "arm,cortex-a5-twd-timer", "arm,cortex-a9-twd-timer", "arm,cortex-a5-twd-wdt",
    "arm,cortex-a9-twd-wdt", "arm,cortex-a9-global-timer", "sifive,clint0",
  ]

  init(_ nodes: [Node], _ parents: [Int], _ index: Int) {
    let node = nodes[index]
    let parent = parents[index]
    if parent == 0, node.property("device_type")?.string == "memory" {
      self = .memory
      return
    }
    if parents[parent] == 0, nodes[parent].name == "reserved-memory" {
      self = .reservedMemory
      return
    }
    let properties = Set(node.propertyNames)
    let compatible = node.property("compatible")?.strings ?? []
    let name = node.name
    // A GPIO controller that handles its lines' interrupts is a supplier.
    let handlesInterrupts = properties.contains("interrupt-controller") && !properties.contains("gpio-controller")
    if handlesInterrupts || properties.contains("msi-controller") || !Self.emulated.isDisjoint(with: compatible) {
      self = .virtual
    } else if !Self.supplying.isDisjoint(with: properties) || !Self.supplyingByCompatible.isDisjoint(with: compatible)
      || Self.supplyingByName.contains(where: { name.hasPrefix($0) })
    {
      self = .supplier
    } else {
      self = .peripheral
    }
  }
}

/// What each bus makes of its children's addresses. Read once for each bus, since it may be long.
private struct Buses {
  private let nodes: [Node]
  private let parents: [Int]
  private var known: [AddressMap?]

  init(_ nodes: [Node], _ parents: [Int]) {
    self.nodes = nodes
    self.parents = parents
    known = Array(repeating: nil, count: nodes.count)
  }

  /// Empty when there are none, or none that the processor can reach.
  mutating func physicalRanges(of node: Int) -> [AddressRange] {
    var found: [AddressRange] = []
    for range in nodes[node].localRanges ?? [] where range.size > 0 {
      if let physical = translate(range, from: parents[node]) { found.append(physical) }
    }
    return found
  }

  private mutating func translate(_ range: AddressRange, from bus: Int) -> AddressRange? {
    var range = range
    var bus = bus
    // The root's addresses are the processor's.
    while bus > 0 {
      switch addressMap(bus) {
      case .none: return nil
      case .identity: break
      case .windows(let windows):
        let next = windows.partitioningIndex { $0.child > range.address }
        guard next > 0, let address = windows[next - 1].translate(range) else { return nil }
        range.address = address
      }
      bus = parents[bus]
    }
    return range
  }

  /// Its windows are sorted by their address on the bus, and none is empty.
  private mutating func addressMap(_ bus: Int) -> AddressMap {
    if let map = known[bus] { return map }
    var map = nodes[bus].addressMap
    if case .windows(let windows) = map {
      map = .windows(windows.filter { $0.size > 0 }.sorted { $0.child < $1.child })
    }
    known[bus] = map
    return map
  }
}
