import DeviceTree
import Linux

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
  /// Of the path of each.
  let hashes: [UInt64]
  let references: References
  /// Whether interrupts can be followed to their controllers in reasonable time: each looks through the whole of the maps
  /// on its way.
  let hasFollowableInterrupts: Bool
  /// By the tree's own index.
  private let places: [Int]
  private let paths: [(hash: UInt64, node: Int)]

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
    var hashes: [UInt64] = []
    var pending: [(node: Node, parent: Int)] = [(tree.root, -1)]
    while let (node, parent) = pending.popLast() {
      let index = nodes.count
      nodes.append(node)
      parents.append(parent)
      let above = parent < 0 ? .okay : states[parent]
      states.append(above == .okay ? State(node) : above)
      hashes.append(parent < 0 ? PathHash.root : PathHash.child(of: hashes[parent], node.name.utf8))
      for child in node.children.reversed() { pending.append((child, index)) }
    }
    var ends = Array(1..<nodes.count + 1)
    for index in nodes.indices.dropFirst().reversed() { ends[parents[index]] = max(ends[parents[index]], ends[index]) }
    self.ends = ends
    self.nodes = nodes
    self.parents = parents
    self.states = states
    self.hashes = hashes
    references = References(tree)
    var places = Array(repeating: 0, count: nodes.count)
    for index in nodes.indices { places[nodes[index].index] = index }
    self.places = places
    paths = hashes.indices.map { (hashes[$0], $0) }.sorted { $0.hash < $1.hash || $0.hash == $1.hash && $0.node < $1.node }
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
    guard path.hasBytePrefix("/") else { return nil }
    var hash = PathHash.root
    for part in path.parts(separatedBy: 0x2f) where !part.utf8.isEmpty { hash = PathHash.child(of: hash, part.utf8) }
    let place = firstIndex(paths.count) { paths[$0].hash >= hash }
    return place < paths.count && paths[place].hash == hash ? paths[place].node : nil
  }

  /// A child of a node, by its name.
  func child(_ node: Int, _ name: String) -> Int? {
    let hash = PathHash.child(of: hashes[node], name.utf8)
    let place = firstIndex(paths.count) { paths[$0].hash >= hash }
    return place < paths.count && paths[place].hash == hash ? paths[place].node : nil
  }

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

extension Survey.State {
  /// By the node's own `status`.
  init(_ node: Node) {
    guard let status = node.property("status") else {
      self = .okay
      return
    }
    let text = status.string ?? ""
    self = sameText(text, "okay") || sameText(text, "ok") ? .okay : sameText(text, "reserved") ? .reserved : .disabled
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

  init(_ nodes: [Node], _ parents: [Int], _ node: Int, _ ranges: [AddressRange]) {
    self.node = node
    self.ranges = ranges
    kind = Kind(nodes, parents, node)
  }
}

extension Device.Kind {
  private static let supplying = [
    "#clock-cells", "#reset-cells", "#power-domain-cells", "gpio-controller", "#dma-cells", "#iommu-cells", "#mbox-cells",
    "#phy-cells", "#interconnect-cells", "#pwm-cells", "#hwlock-cells", "#thermal-sensor-cells", "#pinctrl-cells",
  ]
  private static let emulated = [
    "virtio,mmio", "pci-host-ecam-generic", "qemu,fw-cfg-mmio", "arm,armv7-timer-mem", "xen,xen", "riscv,clint0",
    "arm,cortex-a5-scu", "arm,cortex-a9-scu", "arm,cortex-a5-twd-timer", "arm,cortex-a9-twd-timer", "arm,cortex-a5-twd-wdt",
    "arm,cortex-a9-twd-wdt", "arm,cortex-a9-global-timer",
    "sifive,clint0",
  ]

  init(_ nodes: [Node], _ parents: [Int], _ index: Int) {
    let node = nodes[index]
    let parent = parents[index]
    if parent == 0, let type = node.property("device_type")?.string, sameText(type, "memory") {
      self = .memory
    } else if parents[parent] == 0, sameText(nodes[parent].name, "reserved-memory") {
      self = .reservedMemory
    } else {
      let names = node.propertyNames
      let compatible = node.property("compatible")?.strings ?? []
      if names.contains(where: { sameText($0, "msi-controller") })
        || names.contains(where: { sameText($0, "interrupt-controller") })
          && !names.contains(where: { sameText($0, "gpio-controller") })
        || compatible.contains(where: { name in Self.emulated.contains { sameText($0, name) } })
      {
        self = .virtual
      } else if names.contains(where: { name in Self.supplying.contains { sameText($0, name) } })
        || compatible.contains(where: { sameText($0, "syscon") || sameText($0, "simple-mfd") || sameText($0, "simple-bus") })
        || node.name.hasBytePrefix("cache-controller") || node.name.hasBytePrefix("pinctrl")
        || node.name.hasBytePrefix("pinmux")
      {
        self = .supplier
      } else {
        self = .peripheral
      }
    }
  }
}

/// What each bus makes of its children's addresses. Read once for each bus, since it may be long.
private struct Buses {
  private let nodes: [Node]
  private let parents: [Int]
  private var known: [Bus?]

  struct Bus {
    var addressCells = 2
    var sizeCells = 1
    /// Sorted by the address on the bus; nil when addresses are the same above.
    var windows: [Window]?
    /// Whether addresses mean anything above.
    var translates = false
  }

  struct Window {
    var child: UInt64
    var parent: UInt64
    var size: UInt64
  }

  init(_ nodes: [Node], _ parents: [Int]) {
    self.nodes = nodes
    self.parents = parents
    known = Array(repeating: nil, count: nodes.count)
  }

  /// Empty when there are none, or none that the processor can reach.
  mutating func physicalRanges(of node: Int) -> [AddressRange] {
    guard let reg = nodes[node].property("reg"), let cells = reg.cells else { return [] }
    let parent = parents[node]
    let bus = bus(parent)
    var found: [AddressRange] = []
    for (address, size) in pairs(cells, bus.addressCells, bus.sizeCells) where size > 0 {
      guard let physical = translate(address, size, from: parent) else { continue }
      found.append(AddressRange(address: physical, size: size))
    }
    return found
  }

  private mutating func translate(_ address: UInt64, _ size: UInt64, from bus: Int) -> UInt64? {
    var (address, at) = (address, bus)
    while at > 0 {
      let bus = self.bus(at)
      guard bus.translates else { return nil }
      if let windows = bus.windows {
        let next = firstIndex(windows.count) { windows[$0].child > address }
        guard next > 0 else { return nil }
        let window = windows[next - 1]
        let offset = address - window.child
        guard offset < window.size, size <= window.size - offset else { return nil }
        let (sum, overflow) = window.parent.addingReportingOverflow(offset)
        if overflow { return nil }
        address = sum
      }
      at = parents[at]
    }
    return address
  }

  private mutating func bus(_ node: Int) -> Bus {
    if let bus = known[node] { return bus }
    var bus = Bus()
    let here = nodes[node]
    if let cells = here.property("#address-cells")?.cell { bus.addressCells = Int(clamping: cells) }
    if let cells = here.property("#size-cells")?.cell { bus.sizeCells = Int(clamping: cells) }
    if node == 0 {
      bus.translates = true
    } else if let ranges = here.property("ranges") {
      bus.translates = true
      if !ranges.bytes.isEmpty {
        let above = self.bus(parents[node])
        bus.windows = windows(ranges.cells ?? [], bus.addressCells, above.addressCells, bus.sizeCells)
      }
    }
    known[node] = bus
    return bus
  }

  private func windows(_ cells: [UInt32], _ child: Int, _ parent: Int, _ size: Int) -> [Window] {
    guard child <= 2, parent <= 2, size <= 2, child + parent + size > 0 else { return [] }
    var windows: [Window] = []
    var place = 0
    while place + child + parent + size <= cells.count {
      let window = Window(
        child: number(cells, place, child), parent: number(cells, place + child, parent),
        size: number(cells, place + child + parent, size))
      if window.size > 0 { windows.append(window) }
      place += child + parent + size
    }
    return windows.sorted { $0.child < $1.child }
  }

  private func pairs(_ cells: [UInt32], _ address: Int, _ size: Int) -> [(UInt64, UInt64)] {
    guard address <= 2, size <= 2, address + size > 0, cells.count % (address + size) == 0 else { return [] }
    return stride(from: 0, to: cells.count, by: address + size).map {
      (number(cells, $0, address), number(cells, $0 + address, size))
    }
  }
}

/// One or two cells as a number.
func number(_ cells: [UInt32], _ place: Int, _ count: Int) -> UInt64 {
  cells[place..<place + count].reduce(0) { $0 << 32 | UInt64($1) }
}

/// FNV-1a over the names of a path.
private enum PathHash {
  static var root: UInt64 { 0xcbf2_9ce4_8422_2325 }

  static func child(of parent: UInt64, _ name: some Sequence<UInt8>) -> UInt64 {
    var hash = (parent ^ 0x2f) &* 0x100_0000_01b3
    for byte in name { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return hash
  }
}

/// The first index for which `condition` holds, if it holds for all behind; else `count`.
func firstIndex(_ count: Int, where condition: (Int) -> Bool) -> Int {
  var (low, high) = (0, count)
  while low < high {
    let middle = low + (high - low) / 2
    if condition(middle) { high = middle } else { low = middle + 1 }
  }
  return low
}

extension AddressRange {
  /// The first address behind it, or the largest there is.
  var end: UInt64 {
    let (end, overflow) = address.addingReportingOverflow(size)
    return overflow ? .max : end
  }

  func overlaps(_ other: AddressRange) -> Bool { address < other.end && other.address < end }

  var text: String { "\(hexadecimal(address))-\(hexadecimal(size == 0 ? address : end - 1))" }
}

/// Ranges that can be asked for one that overlaps another, in logarithmic time.
struct RangeIndex<Value> {
  private let items: [(range: AddressRange, value: Value)]
  /// For each item the one among it and those before it that ends last.
  private let last: [Int]

  init(_ items: [(range: AddressRange, value: Value)]) {
    let sorted = items.sorted { $0.range.address < $1.range.address }
    var last: [Int] = []
    for index in sorted.indices {
      if let before = last.last, sorted[before].range.end >= sorted[index].range.end {
        last.append(before)
      } else {
        last.append(index)
      }
    }
    self.items = sorted
    self.last = last
  }

  func overlapping(_ range: AddressRange) -> (range: AddressRange, value: Value)? {
    let behind = firstIndex(items.count) { items[$0].range.address >= range.end }
    guard behind > 0 else { return nil }
    let item = items[last[behind - 1]]
    return item.range.end > range.address ? item : nil
  }
}
