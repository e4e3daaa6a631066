import DeviceTree
import Text

/// Whose side of the guests is written.
public enum Hypervisor: Sendable {
  case xvisor, xen

  public init?(_ name: String) {
    switch name {
    case "xvisor": self = .xvisor
    case "xen": self = .xen
    default: return nil
    }
  }
}

/// A device in a guest's tree that its hypervisor has to know of.
struct GuestDevice {
  var node: Node
  var label: String?
  var isEmulated: Bool
  /// Its registers or memory, as they are.
  var ranges: [AddressRange]
  /// What the board's interrupt controller calls its interrupts.
  var interrupts: [Interrupt]
}

extension SystemTree {
  private static var maximumDevices: Int { 8192 }

  /// Sources of a hypervisor's side, with the names of their files.
  public func hypervisorSources(
    _ hypervisor: Hypervisor, comment: [String]
  ) throws(SystemTreeError) -> [(name: String, content: String)] {
    let addressed = addressedNodes()
    let labels = labels()
    var devices: [[GuestDevice]] = []
    for guest in domains.indices {
      devices.append(self.devices(GuestNodes(self, guest: guest, addressed: addressed), addressed, labels))
    }
    guard devices.allSatisfy({ $0.count <= Self.maximumDevices }) else {
      throw .tooMany(what: "devices of a guest", limit: Self.maximumDevices)
    }
    var files: [(name: String, content: String)] = []
    func add(_ name: String, _ about: String, _ draft: Draft, keepsPhandles: Bool = false) throws(SystemTreeError) {
      do throws(SourceError) {
        files.append((name, try draft.source(comment: [about] + comment, keepsPhandles: keepsPhandles)))
      } catch {
        throw .source(guest: name, error)
      }
    }
    switch hypervisor {
    case .xvisor:
      for (index, domain) in domains.enumerated() {
        try add(
          "\(domain.name).xvisor.dts",
          "\(domain.name) for Xvisor. Before the guest is made: \(listed(shmemCommands(of: index)))",
          xvisorGuest(index, devices[index]))
      }
    case .xen:
      try add("xen.dts", "The board for Xen, with its dom0less domains. The boot loader adds their kernels.", xenHost(devices))
      for (index, domain) in domains.enumerated() {
        try add(
          "\(domain.name).xen.dts", "What Xen passes through to \(domain.name): a module of it, multiboot,device-tree.",
          xenPartial(devices[index]), keepsPhandles: true)
      }
    }
    return files
  }

  /// What a user should know who has got trees: a sentence each.
  public func notes() -> [String] {
    let addressed = addressedNodes()
    var notes: [String] = []
    var users = [Int](repeating: 0, count: tree.nodeCount)
    var pages: [(page: UInt64, guest: Int, node: Node)] = []
    for (index, domain) in domains.enumerated() {
      for place in domain.access where !tree.node(place: place).isReachable {
        notes.append(
          "\(tree.node(place: place).path) is given to \(domain.name), and is not okay, or a bus above it isn't; its status stays as it is"
        )
      }
      let nodes = GuestNodes(self, guest: index, addressed: addressed)
      for device in devices(nodes, addressed, []) where !device.isEmulated {
        if claims[device.node.place] < 0 { users[device.node.place] += 1 }
        for range in device.ranges.prefix(64) where range.size < 4096 || range.address % 4096 != 0 {
          pages.append((range.address / 4096, index, device.node))
        }
      }
    }
    for place in users.indices where users[place] > 1 {
      notes.append(
        "\(tree.node(place: place).path) is in no domain's access, but \(users[place]) guests need it: give it to one, or name it in guestbroker,emulated of those for which the hypervisor stands in"
      )
    }
    pages.sort { $0.page < $1.page || $0.page == $1.page && $0.guest < $1.guest }
    for (one, two) in zip(pages, pages.dropFirst()) where one.page == two.page && one.guest != two.guest {
      notes.append(
        "\(one.node.path) of \(domains[one.guest].name) and \(two.node.path) of \(domains[two.guest].name) share the page at \(hexadecimal(one.page * 4096)), so that no hypervisor can keep them apart"
      )
    }
    return notes
  }

  /// What a guest's hypervisor stands in for; none when there is no such guest.
  func emulatedRanges(ofGuest name: String) -> [AddressRange] {
    guard let domain = domains.first(where: { $0.name == name }) else { return [] }
    return domain.emulated.prefix(256).flatMap { (tree.node(place: $0).physicalRanges ?? []).prefix(64) }
  }

  /// A guest's okay devices with addresses, in the order of the tree.
  func devices(_ nodes: GuestNodes, _ addressed: [Bool], _ labels: [[String]]) -> [GuestDevice] {
    var devices: [GuestDevice] = []
    var isEmulated = [Bool](repeating: false, count: tree.nodeCount)
    for place in domains[nodes.guest].emulated { isEmulated[place] = true }
    for place in 1..<max(1, tree.nodeCount) {
      let node = tree.node(place: place)
      if let parent = node.parent, isEmulated[parent.place], claims[place] < 0 { isEmulated[place] = true }
      guard addressed[place], roles[place] == .plain, nodes.fates[place] == .kept, node.isReachable else { continue }
      if let parent = node.parent, roles[parent.place] == .reservedMemory { continue }
      if claims[place] < 0, node.isInterruptController { isEmulated[place] = true }
      let interrupts = (try? node.interrupts(references.phandles)) ?? []
      devices.append(
        GuestDevice(
          node: node, label: labels.indices.contains(place) ? labels[place].first : nil, isEmulated: isEmulated[place],
          ranges: (node.physicalRanges ?? []).filter { $0.size > 0 }, interrupts: interrupts))
    }
    return devices
  }
}

extension AddressRange {
  /// With all of the first and the last page; nil beyond the end of the address space.
  var wholePages: AddressRange? {
    let start = address & ~4095
    let (last, overflow) = address.addingReportingOverflow(size - 1)
    guard !overflow, last | 4095 != .max else { return nil }
    return AddressRange(address: start, size: (last | 4095) - start + 1)
  }
}

extension Interrupt {
  /// The number that a GIC has for a shared interrupt (Linux's and 32), another controller for any; with the type's cell.
  var hardwareLine: (line: UInt32, type: UInt32)? {
    guard let first = cells.first else { return nil }
    guard cells.count >= 3 else { return (first, cells.count > 1 ? cells[1] : 4) }
    // Those of one processor are the hypervisor's to make.
    guard first == 0, cells[1] < 1 << 16 else { return nil }
    return (cells[1] + 32, cells[2] & 15)
  }
}

// MARK: Xvisor

extension SystemTree {
  private func shmemCommands(of guest: Int) -> [String] {
    links.compactMap { link in
      guard link.owner == guest || link.borrower == guest, case .region(_, let id, let range) = link.memory else { return nil }
      return "shmem create \(id) \(hexadecimal(range.size)) \(alignment(of: range))"
    }
  }

  /// The binary logarithm of what a region has to be aligned to: a large one is mapped in blocks of 2 MiB.
  private func alignment(of range: AddressRange) -> UInt32 { range.size >= 2 << 20 ? 21 : 12 }

  private func xvisorGuest(_ guest: Int, _ devices: [GuestDevice]) -> Draft {
    let domain = domains[guest]
    var space = XvisorSpace()
    for (index, range) in domain.memory.enumerated() {
      space.add("mem\(index)", .real, range, "ram", host: range.address)
    }
    for link in links where link.owner == guest || link.borrower == guest {
      guard case .region(_, let id, let range) = link.memory else { continue }
      space.add(
        "shmem_\(id)", .real, range, "shared_ram",
        [DraftProperty("shared_mem", id), DraftProperty("align_order", cells: [alignment(of: range)])])
    }
    /// What has a region already.
    var covered: [AddressRange] = []
    for device in devices {
      for (index, exact) in device.ranges.prefix(64).enumerated() {
        guard let range = exact.wholePages, !covered.contains(where: { $0.contains(range) }) else { continue }
        covered.append(range)
        add(range, index, of: device, to: &space)
      }
    }
    var root = Draft(
      "",
      [
        DraftProperty("model", tree.root.property("model")?.string ?? domain.name), DraftProperty("device_type", "guest"),
        DraftProperty("guest-name", domain.name), DraftProperty("psci_version", cells: [2]),
      ])
    if space.draft.child("gic_dist") != nil {
      root.properties.append(DraftProperty("interrupt-parent", cells: [1], references: [0]))
    }
    let type = vcpuType(domain)
    var vcpu = Draft("vcpu_template", [DraftProperty("device_type", "vcpu"), DraftProperty("compatible", type)])
    vcpu.properties.append(DraftProperty("start_pc", cells: addressCells(domain.memory.first?.address ?? 0)))
    if !type.hasPrefix("riscv") {
      vcpu.properties += [DraftProperty("gentimer_virt_irq", cells: [27]), DraftProperty("gentimer_phys_irq", cells: [30])]
    }
    root.children = [vcpu, space.draft]
    return root
  }

  /// Adds a region for the pages of a device's registers, the `index`-th of it. Its interrupts are with the first one.
  private func add(_ range: AddressRange, _ index: Int, of device: GuestDevice, to space: inout XvisorSpace) {
    if device.isEmulated, device.node.isInterruptController, isGIC(device.node) {
      space.addGIC(index, range)
      return
    }
    let base = device.label ?? device.node.name.before("@")
    let name = index == 0 ? base : "\(base)_\(index)"
    let lines = index == 0 ? device.interrupts.compactMap { $0.hardwareLine } : []
    let interrupts = lines.isEmpty ? [] : [DraftProperty("interrupts", cells: lines.map { $0.line })]
    if device.isEmulated {
      let emulator = Self.emulator(for: device.node)
      space.add(name, .virtual, range, emulator.type, [DraftProperty("compatible", emulator.name)] + interrupts)
      return
    }
    var properties = [DraftProperty("compatible", "platform")]
    if !lines.isEmpty {
      properties.append(DraftProperty("host-interrupts", cells: lines.flatMap { [$0.line, $0.type, .max] }))
    }
    space.add(name, .real, range, "pt", properties + interrupts, host: range.address)
  }

  private func isGIC(_ node: Node) -> Bool {
    ["arm,gic-400", "arm,cortex-a15-gic", "arm,cortex-a9-gic", "arm,cortex-a7-gic", "arm,eb11mp-gic"].contains {
      node.isCompatible(with: $0)
    }
  }

  /// Xvisor's emulator of a device: one that reads as 0 where it has none.
  private static func emulator(for node: Node) -> (type: String, name: String) {
    let known: [(device: String, type: String, name: String)] = [
      ("arm,pl011", "serial", "primecell,arm,pl011"), ("arm,sp804", "timer", "primecell,sp804"),
      ("arm,sp810", "sys", "primecell,sp810"), ("arm,pl031", "rtc", "primecell,pl031"),
      ("arm,sp805", "watchdog", "primecell,sp805"), ("arm,pl111", "display", "primecell,pl111"),
      ("arm,vexpress-sysreg", "sys", "vexpress,a15"),
    ]
    for entry in known where node.isCompatible(with: entry.device) { return (entry.type, entry.name) }
    return ("misc", "zero")
  }

  private func vcpuType(_ domain: Domain) -> String {
    let cpu = domain.cpus.first.map { tree.node(place: $0) }
    let name = cpu?.property("compatible")?.strings?.first ?? ""
    for core in ["cortex-a7", "cortex-a8", "cortex-a9", "cortex-a15"] where name == "arm,\(core)" {
      return "armv7a,\(core)"
    }
    return cpu?.property("riscv,isa") != nil || cpu?.property("riscv,isa-base") != nil ? "riscv,generic" : "armv8,generic"
  }
}

/// The `aspace` of an Xvisor guest.
private struct XvisorSpace {
  private(set) var draft = Draft("aspace", [DraftProperty("guest_irq_count", cells: [2048])])
  private var names: Set<String> = []

  enum Manifest: String { case real, virtual }

  /// - Parameter host: The board's address, where the hypervisor doesn't choose one.
  mutating func add(
    _ name: String, _ manifest: Manifest, _ range: AddressRange, _ type: String, _ more: [DraftProperty] = [],
    host: UInt64? = nil
  ) {
    var unique = String(name.map { isNameCharacter($0) ? $0 : "_" })
    if names.contains(unique) { unique = "\(unique)_\(String(range.address, radix: 16))" }
    names.insert(unique)
    var properties = [
      DraftProperty("manifest_type", manifest.rawValue), DraftProperty("address_type", "memory"),
      DraftProperty("guest_physical_addr", cells: addressCells(range.address)),
    ]
    if let host { properties.append(DraftProperty("host_physical_addr", cells: addressCells(host))) }
    properties += [DraftProperty("physical_size", cells: addressCells(range.size)), DraftProperty("device_type", type)]
    draft.children.append(Draft(unique, properties + more))
  }

  /// A GIC's registers are its distributor, its processor interface, and what a guest finds as zeros.
  mutating func addGIC(_ index: Int, _ range: AddressRange) {
    switch index {
    case 0:
      add(
        "gic_dist", .virtual, range, "pic",
        [
          DraftProperty("compatible", "arm,vgic,dist"), DraftProperty("parent_irq", cells: [6]),
          DraftProperty("num_irq", cells: [160]), DraftProperty("interrupt-controller"),
          DraftProperty("#interrupt-cells", cells: [1]), DraftProperty("#address-cells", cells: [0]),
          DraftProperty("phandle", cells: [1]),
        ])
    case 1: add("gic_cpu", .real, range, "pic", [DraftProperty("compatible", "arm,vgic,cpu")], host: 0)
    default: add("gic_\(index)", .virtual, range, "pic", [DraftProperty("compatible", "zero")])
    }
  }

  private func isNameCharacter(_ character: Character) -> Bool { String(character).hasOnlyLettersDigits(and: ",._+-") }
}

/// One cell where it fits, as Xvisor's own trees have it.
private func addressCells(_ value: UInt64) -> [UInt32] { cells(of: value, count: value >> 32 == 0 ? 1 : 2) }

// MARK: Xen

extension SystemTree {
  /// The board's tree without /domains, as Xen boots with it.
  private func xenHost(_ devices: [[GuestDevice]]) -> Draft {
    let labels = labels()
    var isPassed = [Bool](repeating: false, count: tree.nodeCount)
    for device in devices.flatMap({ $0 }) where !device.isEmulated { isPassed[device.node.place] = true }
    func copy(_ place: Int) -> Draft {
      let node = tree.node(place: place)
      var draft = Draft(node.name)
      draft.labels = labels[place]
      draft.properties = node.propertyNames.map { DraftProperty($0, value: node.property($0)?.bytes ?? []) }
      for reference in references.ofNode[place] where roles[reference.target] != .dropped { draft.mark(reference) }
      if isPassed[place] { draft.properties.append(DraftProperty("xen,passthrough")) }
      draft.children = node.children.filter { roles[$0.place] != .dropped }.map { copy($0.place) }
      return draft
    }
    var root = copy(0)
    var chosen = root.child("chosen") ?? Draft("chosen")
    // An empty ranges says that addresses there are the board's.
    for property in boardCells { chosen.set(property) }
    for (index, domain) in domains.enumerated() { chosen.children.append(xenDomain(index, domain)) }
    if let index = root.childIndex("chosen") { root.children[index] = chosen } else { root.children.append(chosen) }
    return root
  }

  private var boardCells: [DraftProperty] {
    [
      DraftProperty("#address-cells", cells: [UInt32(clamping: tree.root.addressCells)]),
      DraftProperty("#size-cells", cells: [UInt32(clamping: tree.root.sizeCells)]), DraftProperty("ranges"),
    ]
  }

  /// In the root's cells: memory was found to fit them.
  private func boardAddress(_ address: UInt64) -> [UInt32] { cells(of: address, count: tree.root.addressCells) }
  private func boardSize(_ size: UInt64) -> [UInt32] { cells(of: size, count: tree.root.sizeCells) }

  private func xenDomain(_ guest: Int, _ domain: Domain) -> Draft {
    let kilobytes = domain.memory.reduce(UInt64(0)) { $0 &+ $1.size / 1024 }
    var node = Draft(
      domain.name,
      [
        DraftProperty("compatible", "xen,domain")
      ] + boardCells + [
        DraftProperty("cpus", cells: [UInt32(clamping: domain.cpus.count)]),
        DraftProperty("memory", cells: cells(of: kilobytes, count: 2)),
        DraftProperty("direct-map"),
        DraftProperty(
          "xen,static-mem", cells: domain.memory.flatMap { boardAddress($0.address) + boardSize($0.size) }
        ),
      ])
    for link in links where link.owner == guest || link.borrower == guest {
      guard case .region(_, let id, let range) = link.memory else { continue }
      let (address, size) = (boardAddress(range.address), boardSize(range.size))
      node.children.append(
        Draft(
          "shared-memory-\(id)",
          [
            DraftProperty("compatible", "xen,domain-shared-memory-v1"),
            DraftProperty("role", link.owner == guest ? "owner" : "borrower"),
            DraftProperty("xen,shm-id", id), DraftProperty("xen,shared-mem", cells: address + address + size),
          ]))
    }
    return node
  }

  /// The partial tree of a guest's devices.
  private func xenPartial(_ devices: [GuestDevice]) -> Draft {
    /// What Xen's own tree for a guest has for the interrupt controller.
    let controller: UInt32 = 0xfde8
    let passed = devices.filter { !$0.isEmulated }
    var included = [Bool](repeating: false, count: tree.nodeCount)
    for device in passed { included[device.node.place] = true }
    var bus = Draft(
      "passthrough",
      [
        DraftProperty("compatible", "simple-bus"), DraftProperty("ranges"), DraftProperty("#address-cells", cells: [2]),
        DraftProperty("#size-cells", cells: [2]),
      ])
    // A clock that is nothing but a frequency comes along below the first device that has it: Linux finds it there too.
    var clocks: [(place: Int, holder: Int)] = []
    for device in passed {
      for reference in references.ofNode[device.node.place] where !included[reference.target] {
        let target = tree.node(place: reference.target)
        guard target.isCompatible(with: "fixed-clock"), references.ofNode[reference.target].isEmpty else { continue }
        included[reference.target] = true
        clocks.append((reference.target, device.node.place))
      }
    }
    let labels = labels()
    func copy(_ place: Int, _ name: String) -> Draft {
      let node = tree.node(place: place)
      var draft = Draft(name)
      draft.labels = labels[place]
      let left: Set = ["interrupts", "interrupts-extended", "interrupt-parent", "ranges", "dma-ranges"]
      for property in node.propertyNames where !left.contains(property) {
        draft.properties.append(DraftProperty(property, value: node.property(property)?.bytes ?? []))
      }
      for reference in references.ofNode[place] {
        if included[reference.target] { draft.mark(reference) } else { draft.removeReference(reference.property) }
      }
      for child in node.children where !included[child.place] { draft.children.append(copy(child.place, child.name)) }
      return draft
    }
    for device in passed {
      guard let first = device.ranges.first else { continue }
      var draft = copy(device.node.place, "\(device.node.name.before("@"))@\(String(first.address, radix: 16))")
      for clock in clocks where clock.holder == device.node.place {
        let name = tree.node(place: clock.place).name.before("@")
        if draft.childIndex(name) == nil { draft.children.append(copy(clock.place, name)) }
      }
      draft.set(
        DraftProperty("reg", cells: device.ranges.flatMap { cells(of: $0.address, count: 2) + cells(of: $0.size, count: 2) }))
      let interrupts = device.interrupts.filter { $0.cells.count == 3 }
      if !interrupts.isEmpty {
        draft.properties.append(DraftProperty("interrupt-parent", cells: [controller], references: [0]))
        draft.properties.append(DraftProperty("interrupts", cells: interrupts.flatMap { $0.cells }))
      }
      var pages: [AddressRange] = []
      for range in device.ranges.compactMap({ $0.wholePages }) where !pages.contains(where: { $0.contains(range) }) {
        pages.append(range)
      }
      draft.properties += [
        DraftProperty(
          "xen,reg",
          cells: pages.flatMap {
            cells(of: $0.address, count: 2) + cells(of: $0.size, count: 2) + cells(of: $0.address, count: 2)
          }),
        DraftProperty("xen,path", device.node.path), DraftProperty("xen,force-assign-without-iommu"),
      ]
      bus.children.append(draft)
    }
    let gic = Draft(
      "gic",
      [
        DraftProperty("interrupt-controller"), DraftProperty("#interrupt-cells", cells: [3]),
        DraftProperty("#address-cells", cells: [0]),
        DraftProperty("phandle", cells: [controller]),
      ])
    return Draft("", [DraftProperty("#address-cells", cells: [2]), DraftProperty("#size-cells", cells: [2])], [gic, bus])
  }
}
