import DeviceTree
import Text

/// What nodes refer to: that it is there, that it is this guest's, and that no other guest has it.
func checkReferences(_ guests: [Guest], _ report: Report) {
  var lines: [Claim] = []
  var channels: [Claim] = []
  var interrupts: [Claim] = []
  var supplies: [Claim] = []
  let paths = pathNumbers(guests)
  for (index, guest) in guests.enumerated() {
    let survey = guest.survey
    // These two name things as they like.
    let names = ["aliases", "__symbols__"].compactMap { survey.child(0, $0) }
    for node in survey.nodes.indices where survey.isOkay(node) && !names.contains(node) {
      var isReported = false
      for reference in survey.references.of(survey.nodes[node]) {
        guard let target = reference.target.map({ survey.place(of: $0) }) else {
          report.add(
            .danglingPhandle, survey, node,
            "\(reference.property) refers to phandle \(hexadecimal(reference.phandle)), which no node of this tree has",
            "drop the reference, or keep its target with status = \"reserved\"")
          continue
        }
        guard let supply = Supply(reference.property) else { continue }
        if survey.states[target] == .reserved, !isReported {
          isReported = true
          report.add(
            .supplierElsewhere, survey, node,
            "\(reference.property) refers to \(survey.path(target)), which is another guest's: \(statusText(survey, target))",
            "drop the reference, or let a fixed-clock or regulator-fixed node stand for what the other guest keeps on")
        }
        guard let identity = guest.identity(of: target, paths[index]) else { continue }
        func claim(_ numbers: [UInt32]) -> Claim {
          Claim(resource: Resource(identity: identity, numbers: numbers), guest: index, node: node, target: target)
        }
        switch supply {
        case .line: if let line = reference.arguments.first { lines.append(claim([line])) }
        case .channel: channels.append(claim(reference.arguments))
        case .switched:
          if survey.isOkay(target), guest.isSwitchable(target) { supplies.append(claim([])) }
        case .other: break
        }
      }
      // Bao injects the interrupt of its shared memory into each guest by itself.
      if guest.manifest == nil, !survey.nodes[node].isCompatible(with: "bao,ipcshmem") {
        interrupts += guest.interruptClaims(node, index, paths[index])
      }
    }
  }
  for (one, two) in clashes(lines, guests) {
    report.add(
      .gpioTwice, guests[two.guest].survey, two.node,
      "it uses line \(two.resource.numbers.last ?? 0) of \(guests[two.guest].survey.path(two.target)), which \(user(one, two, guests, report)) uses too",
      "leave the line to one of them; a guest can export it to the other")
  }
  for (one, two) in clashes(channels, guests) {
    report.add(
      .dmaTwice, guests[two.guest].survey, two.node,
      "it uses a DMA channel of \(guests[two.guest].survey.path(two.target)) that \(user(one, two, guests, report)) uses too",
      "drop dmas and dma-names in one of the trees: most drivers do without")
  }
  for (one, two) in clashes(interrupts, guests) {
    report.add(
      .interruptTwice, guests[two.guest].survey, two.node,
      "its interrupt \(two.resource.numbers.last ?? 0) is that of \(user(one, two, guests, report)) too",
      "correct interrupts in one of the trees, or set status = \"reserved\" for the device there")
  }
  var before: Resource?
  for (one, two) in clashes(supplies, guests) where two.resource != before {
    before = two.resource
    report.add(
      .sharedSupplier, guests[two.guest].survey, two.target,
      "it supplies \(guests[two.guest].survey.path(two.node)) here, and \(user(one, two, guests, report))",
      "leave it to one guest or to the hypervisor; a fixed-clock or regulator-fixed node can stand for it in the other tree")
  }
}

/// What a property's target is to its node.
private enum Supply {
  /// A GPIO line; a DMA channel; what is switched on and off for its users.
  case line, channel, switched
  /// Something else that the driver doesn't start without.
  case other

  private static let others: Set = [
    "interrupt-parent", "interrupts-extended", "resets", "iommus", "mboxes", "phys", "pwms",
  ]

  init?(_ property: String) {
    if property.hasSuffix("gpios") || property.hasSuffix("gpio") {
      self = .line
    } else if property == "dmas" {
      self = .channel
    } else if property.hasSuffix("-supply") || property == "clocks" || property == "power-domains" {
      self = .switched
    } else if property.hasPrefix("pinctrl-") || Self.others.contains(property) {
      self = .other
    } else {
      return nil
    }
  }
}

/// What a node is, on the board.
private enum Identity: Hashable {
  /// Where its registers are.
  case address(UInt64)
  /// What it is called, where it has none: a number of `pathNumbers`.
  case path(Int)
}

/// A number for the path of each node of each guest, the same for the same path.
private func pathNumbers(_ guests: [Guest]) -> [[Int]] {
  /// Parents by their numbers; the root's is 0.
  var known: [ChildName: Int] = [:]
  return guests.map { guest in
    var numbers = [0]
    for node in guest.survey.nodes.indices.dropFirst() {
      let name = ChildName(parent: numbers[guest.survey.parents[node]], name: guest.survey.nodes[node].name)
      let number = known[name] ?? known.count + 1
      known[name] = number
      numbers.append(number)
    }
    return numbers
  }
}

/// What there is once on the board: a node, or with `numbers` a part of it, such as a line.
private struct Resource: Hashable, Comparable {
  var identity: Identity
  var numbers: [UInt32]

  static func < (a: Resource, b: Resource) -> Bool {
    switch (a.identity, b.identity) {
    case (.address, .path): true
    case (.path, .address): false
    case (.address(let x), .address(let y)) where x != y: x < y
    case (.path(let x), .path(let y)) where x != y: x < y
    default: a.numbers.lexicographicallyPrecedes(b.numbers)
    }
  }
}

/// A use of something that there is once on the board.
private struct Claim {
  var resource: Resource
  var guest: Int
  var node: Int
  /// The node of which it is a part.
  var target: Int
}

/// Uses of one thing by two guests, or by a guest's own device and its export.
private func clashes(_ claims: [Claim], _ guests: [Guest]) -> [(Claim, Claim)] {
  let sorted = claims.sorted { a, b in
    a.resource != b.resource ? a.resource < b.resource : (a.guest, a.node) < (b.guest, b.node)
  }
  let found = zip(sorted, sorted.dropFirst()).filter { one, two in
    guard one.resource == two.resource else { return false }
    if one.guest == two.guest {
      return one.node != two.node && guests[one.guest].isShared(one.node) != guests[two.guest].isShared(two.node)
    }
    // One device in two guests is a finding of its own.
    let place = guests[one.guest].place(of: one.node)
    return place == nil || place != guests[two.guest].place(of: two.node)
  }
  return found.sorted { a, b in
    (a.1.guest, a.1.node, a.0.guest, a.0.node) < (b.1.guest, b.1.node, b.0.guest, b.0.node)
  }
}

private func user(_ one: Claim, _ two: Claim, _ guests: [Guest], _ report: Report) -> String {
  let survey = guests[one.guest].survey
  return one.guest == two.guest ? survey.path(one.node) : "\(guests[one.guest].name)'s \(report.place(survey, one.node))"
}

private let fixedSuppliers: Set = [
  "fixed-clock", "fixed-factor-clock", "regulator-fixed", "regulator-fixed-clock", "regulator-fixed-domain",
]

extension Guest {
  /// What a node is, on the board: where its registers are, or else its path. Nil for what the hypervisor makes up.
  fileprivate func identity(of node: Int, _ paths: [Int]) -> Identity? {
    guard let device = survey.device(node) else { return .path(paths[node]) }
    return hostRange(device.ranges[0]).map { .address($0.address) }
  }

  /// Where its registers are on the board.
  fileprivate func place(of node: Int) -> UInt64? { survey.device(node).flatMap { hostRange($0.ranges[0])?.address } }

  /// Whether it is below the guestbroker node: an export's lines.
  fileprivate func isShared(_ node: Int) -> Bool {
    guard let guest = survey.guestNode else { return false }
    return node >= guest && node < survey.end(of: guest)
  }

  /// Whether somebody can switch off what it supplies, and no registers above it say that it is two guests'.
  fileprivate func isSwitchable(_ node: Int) -> Bool {
    if survey.nodes[node].property("regulator-always-on") != nil { return false }
    if let names = survey.nodes[node].property("compatible")?.strings, !fixedSuppliers.isDisjoint(with: names) { return false }
    var at = node
    while at > 0 {
      if survey.device(at) != nil { return false }
      at = survey.parents[at]
    }
    return true
  }

  /// The shared peripheral interrupts of a node with registers on the board.
  fileprivate func interruptClaims(_ node: Int, _ guest: Int, _ paths: [Int]) -> [Claim] {
    guard let device = survey.device(node), device.hasRegisters else { return [] }
    var claims: [Claim] = []
    for interrupt in survey.interrupts(node) where !interrupt.isPrivate {
      let controller = survey.place(of: interrupt.controller)
      guard survey.device(controller)?.kind == .virtual, let identity = identity(of: controller, paths) else { continue }
      let resource = Resource(identity: identity, numbers: [interrupt.line])
      claims.append(Claim(resource: resource, guest: guest, node: node, target: controller))
    }
    return claims
  }
}

extension Survey {
  /// A node's interrupts; none when the tree doesn't make sense of them.
  func interrupts(_ node: Int) -> [Interrupt] {
    guard hasFollowableInterrupts else { return [] }
    return (try? nodes[node].interrupts(references.phandles)) ?? []
  }
}

extension Interrupt {
  /// Whether its cells are those of an ARM GIC: the kind, the number within the kind, flags.
  private var isGIC: Bool { cells.count >= 3 && cells[0] <= 1 }
  /// A processor's own.
  fileprivate var isPrivate: Bool { isGIC && cells[0] == 1 }
  /// As the tree has it.
  var line: UInt32 { isGIC ? cells[1] : cells.first ?? 0 }
  /// As the controller counts: a GIC's shared peripheral interrupts begin at 32, a processor's own at 16.
  var number: UInt32 { isGIC ? cells[1] &+ (cells[0] == 0 ? 32 : 16) : line }
}
