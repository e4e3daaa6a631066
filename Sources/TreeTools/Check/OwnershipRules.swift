import DeviceTree

/// Who has which peripheral: each at most one guest, and each of the board's somebody.
func checkOwnership(_ guests: [Guest], _ system: Survey?, _ report: Report) {
  let board = system.map { Board($0) }
  checkRegisters(guests, board, report)
  if let board { for guest in guests { checkAgainst(board, guest, report) } }
  if guests.count > 1 || system != nil { checkUnassigned(guests, board, report) }
}

/// The system tree, by registers.
private struct Board {
  let survey: Survey
  let registers: RangeIndex<Int>

  init(_ survey: Survey) {
    self.survey = survey
    registers = RangeIndex(
      survey.devices.filter { $0.hasRegisters }.flatMap { device in device.ranges.map { ($0, device.node) } })
  }
}

/// A guest's registers at the board's addresses.
private struct Registers {
  var range: AddressRange
  var guest: Int
  var node: Int
  var kind: Device.Kind
}

/// No two guests have the same registers, or ones that overlap.
private func checkRegisters(_ guests: [Guest], _ board: Board?, _ report: Report) {
  var isReported: Set<[Int]> = []
  for (one, two) in clashes(claims(guests, board), guests.count) {
    // A device with many registers is one finding.
    guard isReported.insert([one.guest, one.node, two.guest, two.node]).inserted else { continue }
    reportClash(one, two, guests, board, report)
  }
}

/// The registers that guests drive on the board, sorted.
private func claims(_ guests: [Guest], _ board: Board?) -> [Registers] {
  var claims: [Registers] = []
  for (index, guest) in guests.enumerated() {
    for device in guest.survey.devices where device.hasRegisters && guest.survey.isOkay(device.node) {
      for range in device.ranges.compactMap({ guest.hostRange($0) }) {
        // What the board doesn't have is the hypervisor's own making.
        if guest.manifest == nil, let board, board.registers.overlapping(range) == nil { continue }
        claims.append(Registers(range: range, guest: index, node: device.node, kind: device.kind))
      }
    }
  }
  return claims.sorted { a, b in
    (a.range.address, a.range.size, a.guest, a.node) < (b.range.address, b.range.size, b.guest, b.node)
  }
}

/// The claims of two guests each that overlap, the earlier guest's first, in the order of the later guest's nodes.
private func clashes(_ claims: [Registers], _ guestCount: Int) -> [(Registers, Registers)] {
  /// Which guests have just these registers.
  var holders: [AddressRange: Set<Int>] = [:]
  for claim in claims { holders[claim.range, default: []].insert(claim.guest) }
  /// What overlaps a device's registers otherwise is within that device, and no news, when both guests have these.
  func areTwins(_ claim: Registers, _ guest: Int) -> Bool { holders[claim.range]?.contains(guest) ?? false }

  var found: [(Registers, Registers)] = []
  /// The first claim of the same registers.
  var first: Registers?
  /// The claim of each guest that ends last so far.
  var last: [Registers?] = Array(repeating: nil, count: guestCount)
  for claim in claims {
    if let same = first, same.range == claim.range {
      if same.guest != claim.guest { found.append((same, claim)) }
    } else {
      first = claim
    }
    for other in last.compactMap({ $0 }) where other.guest != claim.guest {
      guard other.range != claim.range, other.range.overlaps(claim.range) else { continue }
      if areTwins(other, claim.guest) || areTwins(claim, other.guest) { continue }
      found.append(other.guest < claim.guest ? (other, claim) : (claim, other))
    }
    if let before = last[claim.guest], before.range.end >= claim.range.end { continue }
    last[claim.guest] = claim
  }
  return found.sorted { a, b in
    (a.1.guest, a.1.node, a.0.guest, a.0.node) < (b.1.guest, b.1.node, b.0.guest, b.0.node)
  }
}

private func reportClash(_ one: Registers, _ two: Registers, _ guests: [Guest], _ board: Board?, _ report: Report) {
  let (a, b) = (guests[one.guest], guests[two.guest])
  let there = report.place(a.survey, one.node)
  // Without the board's tree and the hypervisor's side it isn't known what is real.
  var hint = ""
  if board == nil, a.manifest == nil || b.manifest == nil {
    hint =
      ". If each guest has one that the hypervisor makes up, name the hypervisor's side or the board's tree too, or say --separate-boards"
  }
  if one.kind == .supplier, two.kind == .supplier {
    report.add(
      .sharedSupplier, b.survey, two.node, "\(a.name) has it too (\(there)), and it supplies the devices of both",
      "leave it to one guest or to the hypervisor; in the other tree, fixed-clock or regulator-fixed nodes can stand for what it gives"
    )
  } else if one.range == two.range {
    report.add(
      .okayTwice, b.survey, two.node, "it is okay here, for \(b.name), and in the tree of \(a.name) (\(there))",
      "set status = \"reserved\" in the tree of the guest that doesn't own it; that one can import it from the other\(hint)")
  } else {
    report.add(
      .registerOverlap, b.survey, two.node,
      "its registers at \(two.range.text) overlap those of \(a.name)'s \(one.range.text) (\(there))",
      "correct reg, or set status = \"reserved\" in one of the trees\(hint)")
  }
}

/// A guest's node must have the registers of the board's node with the same path.
private func checkAgainst(_ board: Board, _ guest: Guest, _ report: Report) {
  for device in guest.survey.devices where device.hasRegisters {
    guard guest.survey.isOkay(device.node), let range = guest.hostRange(device.ranges[0]),
      let theirs = board.survey.node(path: guest.survey.path(device.node)), let twin = board.survey.device(theirs)
    else { continue }
    let there = report.place(board.survey, theirs)
    if range != twin.ranges[0] {
      report.add(
        .registerMismatch, guest.survey, device.node,
        "its registers are at \(range.text), and on the board at \(twin.ranges[0].text) (\(there))",
        "correct its reg, or the ranges of a bus above it")
    }
    guard guest.manifest == nil else { continue }
    for (own, wanted) in zip(guest.survey.interrupts(device.node), board.survey.interrupts(theirs)) {
      let (high, low) = (max(own.line, wanted.line), min(own.line, wanted.line))
      guard own.cells.count == wanted.cells.count, high - low == 32 || high - low == 16 else { continue }
      report.add(
        .interruptOffset, guest.survey, device.node,
        "its interrupt is \(own.line), and on the board \(wanted.line) (\(there)): \(high - low) off",
        "set it to \(wanted.line): a Linux tree counts a GIC's shared interrupts from 0, the GIC's own numbers from 32")
    }
  }
}

/// Peripherals that no guest drives, nor its hypervisor in its place: of the board's tree, or those that every tree which has
/// them leaves to others.
private func checkUnassigned(_ guests: [Guest], _ board: Board?, _ report: Report) {
  let driven = drivenRanges(guests)
  func isDriven(_ device: Device) -> Bool { device.ranges.contains { driven.overlapping($0) != nil } }
  if let board {
    for device in board.survey.devices where device.kind == .peripheral && board.survey.isOkay(device.node) {
      guard board.survey.nodes[device.node].property("compatible") != nil, !isDriven(device) else { continue }
      report.add(
        .unassigned, board.survey, device.node, "no guest has it",
        "set status = \"okay\" in the tree of one guest; or say in this one that it is the hypervisor's: status = \"reserved\"")
    }
    return
  }
  /// What was reported for the guests before.
  var reported: [(range: AddressRange, value: Int)] = []
  for guest in guests {
    let known = RangeIndex(reported)
    for device in guest.survey.devices where device.kind == .peripheral && guest.survey.states[device.node] == .reserved {
      guard let range = device.ranges.first, !isDriven(device), known.overlapping(range) == nil else { continue }
      reported.append((range, device.node))
      report.add(
        .unassigned, guest.survey, device.node, "it is reserved here, and okay in no guest's tree",
        "set status = \"okay\" in the tree of the guest that owns it, or \"disabled\" if nobody does")
    }
  }
}

/// What guests drive on the board, and what their hypervisor stands in for.
private func drivenRanges(_ guests: [Guest]) -> RangeIndex<Int> {
  var ranges: [(range: AddressRange, value: Int)] = []
  for guest in guests {
    ranges += guest.emulated.map { ($0, 0) }
    for device in guest.survey.devices where guest.survey.isOkay(device.node) {
      for range in device.ranges {
        if let host = guest.hostRange(range) {
          ranges.append((host, device.node))
        } else if guest.manifest?.region(at: range.address) == nil {
          // What the hypervisor withholds is a finding of its own.
          ranges.append((range, device.node))
        }
      }
    }
  }
  return RangeIndex(ranges)
}
