import DeviceTree
import Linux

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
      survey.devices.filter { $0.kind == .peripheral || $0.kind == .supplier }
        .flatMap { device in device.ranges.map { ($0, device.node) } })
  }
}

/// A guest's registers at the board's addresses.
private struct Registers {
  var range: AddressRange
  var guest: Int
  var node: Int
  var kind: Device.Kind
}

private func checkRegisters(_ guests: [Guest], _ board: Board?, _ report: Report) {
  var claims: [Registers] = []
  for (index, guest) in guests.enumerated() {
    for device in guest.survey.devices where device.kind == .peripheral || device.kind == .supplier {
      guard guest.survey.isOkay(device.node) else { continue }
      for range in device.ranges {
        guard let range = guest.hostRange(range) else { continue }
        // What the board doesn't have is the hypervisor's own making.
        if guest.manifest == nil, let board, board.registers.overlapping(range) == nil { continue }
        claims.append(Registers(range: range, guest: index, node: device.node, kind: device.kind))
      }
    }
  }
  func isBefore(_ a: Registers, _ b: Registers) -> Bool {
    if a.range.address != b.range.address { return a.range.address < b.range.address }
    if a.range.size != b.range.size { return a.range.size < b.range.size }
    return a.guest != b.guest ? a.guest < b.guest : a.node < b.node
  }
  claims.sort(by: isBefore)
  /// Whether a guest has just these registers too: then what overlaps them otherwise is within one device, and no news.
  func hasTwin(_ claim: Registers, _ guest: Int) -> Bool {
    let wanted = Registers(range: claim.range, guest: guest, node: -1, kind: claim.kind)
    let index = firstIndex(claims.count) { !isBefore(claims[$0], wanted) }
    return index < claims.count && claims[index].guest == guest && claims[index].range == claim.range
  }
  /// The claim of each guest that ends last so far.
  var last: [Registers?] = Array(repeating: nil, count: guests.count)
  var clashes: [(Registers, Registers)] = []
  /// The first of those with the same registers.
  var first: Registers?
  for claim in claims {
    if let same = first, same.range == claim.range {
      if same.guest != claim.guest { clashes.append((same, claim)) }
    } else {
      first = claim
    }
    for other in last {
      guard let other, other.guest != claim.guest, other.range != claim.range, other.range.overlaps(claim.range),
        !hasTwin(other, claim.guest), !hasTwin(claim, other.guest)
      else { continue }
      clashes.append(other.guest < claim.guest ? (other, claim) : (claim, other))
    }
    if last[claim.guest].map({ $0.range.end < claim.range.end }) ?? true { last[claim.guest] = claim }
  }
  // A device with many registers is one finding.
  clashes.sort { a, b in
    let (x, y) = ([a.1.guest, a.1.node, a.0.guest, a.0.node], [b.1.guest, b.1.node, b.0.guest, b.0.node])
    return x.lexicographicallyPrecedes(y)
  }
  var before: (Registers, Registers)?
  for (one, two) in clashes {
    if let before, before.0.guest == one.guest, before.0.node == one.node, before.1.guest == two.guest,
      before.1.node == two.node
    {
      continue
    }
    before = (one, two)
    let (a, b) = (guests[one.guest], guests[two.guest])
    let there = report.place(a.survey, one.node)
    let isGuess = board == nil && (a.manifest == nil || b.manifest == nil)
    let hint =
      isGuess
      ? ". If each guest has one that the hypervisor makes up, name the hypervisor's side or the board's tree too, or say --separate-boards"
      : ""
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
}

/// A guest's node must have the registers of the board's node with the same path.
private func checkAgainst(_ board: Board, _ guest: Guest, _ report: Report) {
  for device in guest.survey.devices where device.kind == .peripheral || device.kind == .supplier {
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
  let driven = RangeIndex(ranges)
  if let board {
    for device in board.survey.devices where device.kind == .peripheral && board.survey.isOkay(device.node) {
      guard board.survey.nodes[device.node].property("compatible") != nil else { continue }
      if device.ranges.allSatisfy({ driven.overlapping($0) == nil }) {
        report.add(
          .unassigned, board.survey, device.node, "no guest has it",
          "set status = \"okay\" in the tree of one guest; or say in this one that it is the hypervisor's: status = \"reserved\""
        )
      }
    }
    return
  }
  var left: [(range: AddressRange, value: Int)] = []
  for guest in guests {
    let known = RangeIndex(left)
    for device in guest.survey.devices where device.kind == .peripheral && guest.survey.states[device.node] == .reserved {
      guard let range = device.ranges.first, device.ranges.allSatisfy({ driven.overlapping($0) == nil }) else { continue }
      guard known.overlapping(range) == nil else { continue }
      left.append((range, device.node))
      report.add(
        .unassigned, guest.survey, device.node, "it is reserved here, and okay in no guest's tree",
        "set status = \"okay\" in the tree of the guest that owns it, or \"disabled\" if nobody does")
    }
  }
}
