import DeviceTree

/// What a hypervisor gives one guest: the `aspace` of an Xvisor guest's tree, or what Xen's dom0less nodes and a partial tree
/// for pass-through say.
struct Manifest {
  /// The guest's name, where the tree says it.
  var guest: String?
  var maker: Maker
  /// The tree to which a region that is missing would be added.
  var survey: Survey
  /// Sorted by the address in the guest.
  var regions: [Region] = []
  /// Whether what is in no region is not there.
  var isComplete: Bool

  enum Maker: Sendable { case xvisor, xen }

  struct Region {
    var survey: Survey
    var node: Int
    var kind: Kind
    var range: AddressRange
    /// The board's address; nil when the hypervisor chooses one.
    var host: UInt64?
    /// By the guest's interrupt controller, and by the board's.
    var interrupts: [UInt32] = []
    var hostInterrupts: [UInt32] = []
    /// The binary logarithm of what the host's memory is aligned to; nil when the tree doesn't say.
    var alignment: UInt32?
  }

  enum Kind: Sendable, Equatable {
    /// Nobody else's memory.
    case memory
    /// What the hypervisor calls it.
    case shared(String, isWritable: Bool)
    case passThrough
    case emulated
    /// Another place of the guest's own address space.
    case alias
  }

  /// The region at an address of the guest.
  func region(at address: UInt64) -> Region? {
    index(at: address).map { regions[$0] }
  }

  /// Which of `regions` it is.
  func index(at address: UInt64) -> Int? {
    let next = regions.partitioningIndex { $0.range.address > address }
    return next > 0 && address < regions[next - 1].range.end ? next - 1 : nil
  }
}

extension Guest {
  /// Where registers are on the board; nil when they are not on the board, but made up by the hypervisor.
  func hostRange(_ range: AddressRange) -> AddressRange? {
    if emulated.contains(where: { $0.contains(range) }) { return nil }
    guard let manifest else { return range }
    guard let region = manifest.region(at: range.address) else { return manifest.isComplete ? nil : range }
    guard region.kind == .passThrough, let host = region.host else { return nil }
    let (address, overflow) = host.addingReportingOverflow(range.address - region.range.address)
    return overflow ? nil : AddressRange(address: address, size: range.size)
  }
}

// MARK: Xvisor

extension Manifest {
  /// The longest name of a node, in bytes: Xvisor cuts off what is behind.
  static var maximumXvisorName: Int { 63 }

  /// Whether this is a guest of Xvisor's: the root is one, as in its own examples, or nodes below /guests are.
  static func xvisorGuests(in survey: Survey) -> [Int] {
    func isGuest(_ node: Int) -> Bool {
      survey.nodes[node].property("device_type")?.string == "guest" && survey.child(node, "aspace") != nil
    }
    if isGuest(0) { return [0] }
    guard let guests = survey.child(0, "guests") else { return [] }
    return survey.children(guests).filter { isGuest($0) }
  }

  /// Reads a guest's `aspace`, and reports what Xvisor would refuse without saying why.
  init(xvisor root: Int, _ survey: Survey, _ report: Report) {
    self.survey = survey
    maker = .xvisor
    isComplete = true
    let node = survey.nodes[root]
    guest = node.property("guest-name")?.string ?? (root == 0 ? nil : node.name)
    guard let aspace = survey.child(root, "aspace") else { return }
    for child in survey.children(aspace) where survey.nodes[child].isOkay {
      if let region = region(xvisor: child, report) { regions.append(region) }
    }
    sort()
  }

  private mutating func sort() {
    regions.sort { ($0.range.address, $0.node) < ($1.range.address, $1.node) }
  }

  private func region(xvisor index: Int, _ report: Report) -> Region? {
    let node = survey.nodes[index]
    func text(_ name: String) -> String { node.property(name)?.string ?? "" }
    func number(_ name: String) -> UInt64? { node.property(name)?.number }
    func wrong(_ what: String, _ remedy: String) -> Region? {
      report.add(.manifest, survey, index, what, remedy)
      return nil
    }
    let manifestType = text("manifest_type")
    let isReal = manifestType == "real"
    guard isReal || manifestType == "virtual" || manifestType == "alias" else {
      return wrong("manifest_type is \"\(manifestType)\"", "set it to \"real\", \"virtual\" or \"alias\"")
    }
    let addressType = text("address_type")
    guard addressType == "memory" || addressType == "io" else {
      return wrong("address_type is \"\(addressType)\"", "set it to \"memory\" (or \"io\", for the ports of an x86 guest)")
    }
    guard let address = number("guest_physical_addr") else {
      return wrong("guest_physical_addr is missing, or is no address", "set it to where the guest shall see this region")
    }
    let sizeProperty = node.property("physical_size")
    guard let size = sizeProperty?.number else {
      return wrong("physical_size is missing, or is no size", "set it to the number of bytes")
    }
    if addressType == "io" { return nil }
    let type = text("device_type")
    var kind = Kind.emulated
    var isAllocated = false
    if manifestType == "alias" {
      kind = .alias
    } else if type == "shared_ram" || type == "shared_rom" {
      guard let name = node.property("shared_mem")?.string else {
        return wrong(
          "a region of shared memory doesn't say which: shared_mem is missing", "set it to the name given to 'shmem create'")
      }
      kind = .shared(name, isWritable: type == "shared_ram")
    } else if ["ram", "rom", "alloced_ram", "alloced_rom", "colored_ram", "colored_rom"].contains(type) {
      kind = .memory
      isAllocated = type != "ram" && type != "rom"
    } else if isReal, type == "pt" {
      kind = .passThrough
    } else if type.isEmpty {
      return wrong("device_type is missing", "set it to \"alloced_ram\", \"shared_ram\", \"pt\" or an emulator's")
    }
    var host: UInt64?
    if isReal, kind == .passThrough || kind == .memory && !isAllocated {
      host = number("host_physical_addr")
      if host == nil {
        return wrong("host_physical_addr is missing: device_type \"\(type)\" needs one", "set it to the board's address")
      }
    }
    guard size > 0 else {
      // Xvisor's own samples leave it to the command line.
      if kind != .memory || !isAllocated { return wrong("physical_size is 0", "set it to the number of bytes") }
      return Region(survey: survey, node: index, kind: kind, range: AddressRange(address: address, size: 0))
    }
    if address.addingReportingOverflow(size - 1).overflow
      || host.map({ $0.addingReportingOverflow(size - 1).overflow }) ?? false
    {
      report.add(.regionBounds, survey, index, "the region wraps around the end of the address space", "correct physical_size")
    }
    if address % 4096 != 0 || size % 4096 != 0 || (host ?? 0) % 4096 != 0, kind != .emulated {
      report.add(
        .regionBounds, survey, index, "the region is not whole pages of 4096 bytes",
        "make its addresses and physical_size multiples of 0x1000")
    }
    let hostInterrupts = (node.property("host-interrupts")?.cells ?? []).enumerated().filter { $0.offset % 3 == 0 }
    return Region(
      survey: survey, node: index, kind: kind, range: AddressRange(address: address, size: size), host: host,
      interrupts: node.property("interrupts")?.cells ?? [], hostInterrupts: hostInterrupts.map { $0.element },
      alignment: node.property("align_order")?.cell ?? (isAllocated ? 12 : nil))
  }
}

// MARK: Xen

extension Manifest {
  /// The dom0less domains of a host's tree: children of /chosen.
  static func xenDomains(in survey: Survey) -> [Int] {
    guard let chosen = survey.child(0, "chosen") else { return [] }
    return survey.children(chosen).filter { survey.nodes[$0].isCompatible(with: "xen,domain") }
  }

  /// A domain's static shared memory.
  init(xenDomain domain: Int, _ survey: Survey, _ report: Report) {
    self.survey = survey
    maker = .xen
    isComplete = false
    guest = survey.nodes[domain].name
    let addressCells = survey.nodes[domain].addressCells
    let sizeCells = survey.nodes[domain].sizeCells
    for index in survey.children(domain) where survey.nodes[index].isCompatible(with: "xen,domain-shared-memory-v1") {
      let node = survey.nodes[index]
      guard let name = node.property("xen,shm-id")?.string, (1...15).contains(name.utf8.count) else {
        report.add(
          .manifest, survey, index, "xen,shm-id is missing, or is no name of 1 to 15 characters",
          "set it to the same name in each domain that shares this memory")
        continue
      }
      let cells = node.property("xen,shared-mem")?.cells ?? []
      guard (1...2).contains(addressCells), (1...2).contains(sizeCells),
        cells.count == 2 * addressCells + sizeCells || cells.count == addressCells + sizeCells
      else {
        report.add(
          .manifest, survey, index,
          "xen,shared-mem is missing, or is not <host address, guest address, size> by the domain's cells",
          "write it with \(addressCells) cells for an address and \(sizeCells) for a size, or correct the domain's #address-cells and #size-cells"
        )
        continue
      }
      let hasHost = cells.count == 2 * addressCells + sizeCells
      let guestPlace = hasHost ? addressCells : 0
      let region = Region(
        survey: survey, node: index, kind: .shared(name, isWritable: true),
        range: AddressRange(
          address: cells[guestPlace...].prefix(addressCells).number,
          size: cells[(guestPlace + addressCells)...].prefix(sizeCells).number),
        host: hasHost ? cells.prefix(addressCells).number : nil)
      if region.range.size == 0 || region.range.size % 4096 != 0 || region.range.address % 4096 != 0
        || (region.host ?? 0) % 4096 != 0
      {
        report.add(
          .regionBounds, survey, index, "the region is not whole pages of 4096 bytes",
          "make its addresses and its size multiples of 0x1000")
      }
      regions.append(region)
    }
    sort()
  }

  /// Whether this is a partial tree of devices that Xen passes through.
  static func isXenPartial(_ survey: Survey) -> Bool { survey.child(0, "passthrough") != nil }

  /// Adds the devices of a partial tree.
  mutating func add(xenPartial partial: Survey, _ report: Report) {
    guard let root = partial.child(0, "passthrough") else { return }
    survey = partial
    isComplete = true
    for index in root..<partial.end(of: root) {
      let node = partial.nodes[index]
      guard let cells = node.property("xen,reg")?.cells else { continue }
      let parent = partial.nodes[partial.parents[index]]
      let addressCells = parent.addressCells
      let sizeCells = parent.sizeCells
      guard (1...2).contains(addressCells), (1...2).contains(sizeCells), cells.count % (2 * addressCells + sizeCells) == 0
      else {
        report.add(
          .manifest, partial, index, "xen,reg is not made of <host address, size, guest address> by its bus's cells",
          "correct it, or the bus's #address-cells and #size-cells")
        continue
      }
      for place in stride(from: 0, to: cells.count, by: 2 * addressCells + sizeCells) {
        regions.append(
          Region(
            survey: partial, node: index, kind: .passThrough,
            range: AddressRange(
              address: cells[(place + addressCells + sizeCells)...].prefix(addressCells).number,
              size: cells[(place + addressCells)...].prefix(sizeCells).number),
            host: cells[place...].prefix(addressCells).number)
        )
      }
    }
    // What Xen makes for each of its guests, from its public headers: interrupt controllers and virtio, a PL011.
    for range in [AddressRange(address: 0, size: 0x0800_0000), AddressRange(address: 0x2200_0000, size: 0x1000)] {
      regions.append(Region(survey: partial, node: root, kind: .emulated, range: range))
    }
    sort()
  }
}
