import DeviceTree

/// Which nodes of a system's tree come into a guest's, and how (Spec, system tree §4).
struct GuestNodes {
  let system: SystemTree
  let guest: Int
  /// Of each node.
  private(set) var fates: [Fate]
  private var pending: [Int] = []

  enum Fate: UInt8 {
    case removed
    /// Kept for what is below it.
    case path
    case reserved
    case kept
  }

  init(_ system: SystemTree, guest: Int, addressed: [Bool]) {
    self.system = system
    self.guest = guest
    fates = [Fate](repeating: .removed, count: system.tree.nodeCount)
    let domain = system.domains[guest]
    fates[0] = .kept
    pending.append(0)
    for node in system.tree.root.children {
      switch system.roles[node.place] {
      case .chosen, .aliases, .reservedMemory: fates[node.place] = .kept
      default: break
      }
    }
    keep(domain.cluster, addressed)
    for cpu in domain.cpus { keep(cpu, addressed) }
    for device in domain.access + domain.emulated { keep(device, addressed) }
    for region in system.tree.root.child("reserved-memory")?.children ?? [] {
      guard let ranges = region.physicalRanges, !ranges.isEmpty, isLinkRegion(region.place) == nil else { continue }
      if ranges.allSatisfy({ range in domain.memory.contains { $0.contains(range) } }) { keep(region.place, addressed) }
    }
    for link in system.links where link.owner == guest || link.borrower == guest {
      if case .region(let region, _, _) = link.memory { keep(region, addressed) }
      guard link.borrower == guest else { continue }
      for export in link.exports {
        for reference in system.references.within(system.tree.node(place: export)) { reserve(reference.target) }
      }
    }
    follow(addressed)
    keepIndependent(addressed)
  }

  func isKept(_ node: Int) -> Bool { fates[node] != .removed }

  /// Whether its `status` becomes "reserved": the topmost such node says it for all below.
  func isReserved(_ node: Int) -> Bool { fates[node] == .reserved }

  private func claim(_ node: Int) -> Int32 { system.claims[node] }
  private func isOthers(_ node: Int) -> Bool { claim(node) >= 0 && claim(node) != Int32(guest) }

  /// Which link has this node for its region.
  private func isLinkRegion(_ node: Int) -> SystemLink? {
    system.links.first {
      if case .region(node, _, _) = $0.memory { true } else { false }
    }
  }

  /// Keeps a node and what is a part of it.
  private mutating func keep(_ place: Int, _ addressed: [Bool]) {
    guard fates[place] != .kept, fates[place] != .reserved else { return }
    let node = system.tree.node(place: place)
    // What a path refers to was followed already.
    if fates[place] == .removed { pending.append(place) }
    fates[place] = .kept
    keepPath(to: node)
    let isGiven = claim(place) == Int32(guest)
    // A bus that nobody was given is kept for what is needed on it.
    if !isGiven, !addressed[place], node.property("ranges") != nil { return }
    let ownRanges = addressed[place] ? (node.physicalRanges ?? []).prefix(64) : []
    for child in node.children where system.roles[child.place] != .cpu && !isOthers(child.place) {
      // Of what nobody was given, only registers within these are a part of it.
      if !isGiven, addressed[child.place] {
        let isWithin = (child.physicalRanges ?? []).prefix(64).allSatisfy { range in ownRanges.contains { $0.contains(range) } }
        if !isWithin { continue }
      }
      keep(child.place, addressed)
    }
  }

  /// Keeps the nodes above. Another guest's are reserved, but for a bus with addresses, on which there is nothing to drive.
  private mutating func keepPath(to node: Node) {
    var above = node.parent
    while let current = above {
      let place = current.place
      guard fates[place] == .removed else { return }
      fates[place] = isOthers(place) && current.property("ranges") == nil ? .reserved : .path
      pending.append(place)
      above = current.parent
    }
  }

  private mutating func reserve(_ place: Int) {
    guard fates[place] == .removed else { return }
    fates[place] = .reserved
    keepPath(to: system.tree.node(place: place))
  }

  /// Keeps what the kept refer to, and what that refers to.
  private mutating func follow(_ addressed: [Bool]) {
    while let place = pending.popLast() {
      // What a reserved node refers to is left out, where nobody else needs it.
      if fates[place] == .reserved { continue }
      for reference in system.references.ofNode[place] {
        let target = reference.target
        guard isStrong(target) else { continue }
        if isOthers(target) { reserve(target) } else { keep(target, addressed) }
      }
    }
  }

  /// Whether to refer to this node is to need it: not so processors, memory and what isn't this guest's region.
  private func isStrong(_ target: Int) -> Bool {
    switch system.roles[target] {
    case .plain, .root: break
    case .reservedMemory, .chosen, .aliases, .cluster, .cpu, .memory, .dropped: return false
    }
    guard let link = isLinkRegion(target) else { return true }
    return link.owner == guest || link.borrower == guest
  }

  /// Nodes that nobody was given and that have no address, such as a timer, firmware or a fixed clock, are in every guest's
  /// tree, unless they need something that is not.
  private mutating func keepIndependent(_ addressed: [Bool]) {
    let tree = system.tree
    var isCandidate = [Bool](repeating: false, count: tree.nodeCount)
    var children = [Int32](repeating: 0, count: tree.nodeCount)
    for place in 1..<max(1, tree.nodeCount) where fates[place] == .removed {
      guard claim(place) < 0, !addressed[place], system.roles[place] == .plain, isLinkRegion(place) == nil else { continue }
      let node = tree.node(place: place)
      guard let parent = node.parent, node.property("ranges") == nil else { continue }
      guard isCandidate[parent.place] || fates[parent.place] == .kept || fates[parent.place] == .path else { continue }
      // A part of a processor that is another guest's, or memory at a place of its own.
      guard system.roles[parent.place] != .cpu else { continue }
      isCandidate[place] = true
      children[parent.place] += 1
    }
    var referrers = [[Int32]](repeating: [], count: tree.nodeCount)
    var dropped: [Int] = []
    for place in isCandidate.indices where isCandidate[place] {
      for reference in system.references.ofNode[place] {
        let target = reference.target
        if isCandidate[target] {
          referrers[target].append(Int32(truncatingIfNeeded: place))
        } else if isStrong(target), fates[target] != .kept, fates[target] != .path {
          dropped.append(place)
        }
      }
    }
    // Whatever refers to what is dropped is dropped, and so is a container of nothing else.
    while let place = dropped.popLast() {
      guard isCandidate[place] else { continue }
      isCandidate[place] = false
      for referrer in referrers[place] { dropped.append(Int(referrer)) }
      let node = tree.node(place: place)
      dropped += node.children.map { $0.place }
      guard let parent = node.parent, isCandidate[parent.place] else { continue }
      children[parent.place] -= 1
      if children[parent.place] == 0 { dropped.append(parent.place) }
    }
    for place in isCandidate.indices where isCandidate[place] { fates[place] = .kept }
  }
}

extension SystemTree {
  /// Whether a node has registers or memory of its own at a physical address.
  func addressedNodes() -> [Bool] {
    (0..<tree.nodeCount).map { place in
      let node = tree.node(place: place)
      guard node.property("reg") != nil, let ranges = node.physicalRanges else { return false }
      return ranges.contains { $0.size > 0 }
    }
  }
}
