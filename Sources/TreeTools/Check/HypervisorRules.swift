import DeviceTree
import Text

/// What guests' kernels will find, against what the hypervisor gives them; and what it gives to two of them.
func checkHypervisor(_ guests: [Guest], _ system: Survey?, _ report: Report) {
  for guest in guests {
    guard let manifest = guest.manifest else { continue }
    checkRegions(manifest, report)
    checkGiven(guest, manifest, report)
  }
  checkPassedTwice(guests, system, report)
  checkPools(guests, report)
  for (index, b) in guests.enumerated() {
    for a in guests[..<index] { checkSharedMemory(a, b, report) }
  }
}

/// One guest's regions among themselves.
private func checkRegions(_ manifest: Manifest, _ report: Report) {
  var last: Manifest.Region?
  for region in manifest.regions {
    let survey = region.survey
    if let last, last.range.overlaps(region.range) {
      report.add(
        .regionOverlap, survey, region.node,
        "\(region.range.text) overlaps \(last.range.text) of \(last.survey.path(last.node))",
        "move one of them, or make it smaller")
    }
    if last.map({ $0.range.end < region.range.end }) ?? true { last = region }
    if manifest.maker == .xvisor { checkBlocks(region, survey, report) }
    guard region.kind == .passThrough else { continue }
    for (name, numbers) in [("interrupts", region.interrupts), ("host-interrupts", region.hostInterrupts)] {
      guard let low = numbers.first(where: { $0 < 32 }) else { continue }
      report.add(
        .interruptOffset, survey, region.node, "\(name) has \(low), which is no shared peripheral interrupt",
        "numbers here are the interrupt controller's: add 32 to that of a Linux tree's <0 \(low) ...>")
    }
  }
}

/// Xvisor maps 2 MiB at once where a region has as much, and doesn't look whether both addresses are aligned to that. It refuses
/// a guest whose address isn't aligned as its memory is, without saying why.
private func checkBlocks(_ region: Manifest.Region, _ survey: Survey, _ report: Report) {
  guard region.kind != .emulated, region.kind != .alias, region.range.size > 0 else { return }
  let blockOrder: UInt32 = 21
  let isLarge = region.range.size >= 1 << blockOrder
  if isLarge, let alignment = region.alignment, alignment < blockOrder {
    let isSaid = survey.nodes[region.node].property("align_order") != nil
    report.add(
      .blockAlignment, survey, region.node,
      "a region of 2 MiB or more has \(isSaid ? "align_order \(alignment)" : "no align_order, which is one of 12")",
      "set align_order = <21>\(region.isShared ? ", and give 21 to 'shmem create' too" : "")")
  }
  if let host = region.host {
    guard isLarge, (host ^ region.range.address) & ((1 << blockOrder) - 1) != 0 else { return }
    report.add(
      .blockAlignment, survey, region.node,
      "the host address \(hexadecimal(host)) and the guest address \(hexadecimal(region.range.address)) differ in their lower 21 bits",
      "move one of them by less than 2 MiB")
    return
  }
  let order = max(isLarge ? blockOrder : 0, min(region.alignment ?? 0, 63))
  let alignment = UInt64(1) << order
  if region.range.address % alignment != 0 {
    report.add(
      .blockAlignment, survey, region.node,
      "the guest address \(hexadecimal(region.range.address)) is not aligned to 2^\(order) bytes, as its memory is",
      "move it to a multiple of \(hexadecimal(alignment))")
  }
}

extension Manifest.Region {
  var isShared: Bool { if case .shared = kind { true } else { false } }

  /// "RAM of its own"
  var text: String {
    switch kind {
    case .memory: "memory of this guest's own"
    case .shared(let name, let isWritable): "shared memory \"\(name)\"\(isWritable ? "" : ", read only")"
    case .passThrough: "a device that is passed through"
    case .emulated: "an emulated device"
    case .alias: "an alias of another region"
    }
  }
}

/// Each okay node with registers or memory lies in a region that fits, and each region that is passed through is used.
private func checkGiven(_ guest: Guest, _ manifest: Manifest, _ report: Report) {
  let survey = guest.survey
  let links = Set(guest.links.compactMap { $0.region })
  /// The places of regions in which there is something.
  var used: Set<Int> = []
  for device in survey.devices where survey.isOkay(device.node) {
    let isLink = links.contains(device.node)
    if !isLink {
      if device.kind == .reservedMemory { continue }
      // These are of Xen's own making.
      if manifest.maker == .xen, device.kind == .memory || device.kind == .virtual { continue }
    }
    for range in device.ranges {
      let missing = manifest.missingPart(of: range, &used)
      // What a manifest leaves out, which isn't all that there is, is known to be missing of a link's region only.
      guard manifest.isComplete || isLink else { continue }
      if let missing {
        reportMissing(guest, device, isLink, range, missing, manifest, report)
      } else if let region = manifest.region(at: range.address) {
        checkKind(guest, device, isLink, range, region, manifest, report)
      }
    }
    if let region = device.ranges.first.flatMap({ manifest.region(at: $0.address) }) {
      checkInterrupts(guest, device.node, region, manifest, report)
    }
  }
  for (index, region) in manifest.regions.enumerated() where !used.contains(index) && region.kind == .passThrough {
    report.add(
      .unusedRegion, region.survey, region.node,
      "\(region.range.text) is passed through, and no okay node of \(report.name(of: survey)) uses it",
      "set status = \"okay\" for its node there, or drop the region")
  }
}

extension Manifest {
  /// The part of a range from the first address on that lies in no region; nil when all of it does. Adds the places of the regions
  /// in which the part before lies.
  fileprivate func missingPart(of range: AddressRange, _ used: inout Set<Int>) -> AddressRange? {
    var address = range.address
    while address < range.end {
      guard let index = index(at: address) else { return AddressRange(address: address, size: range.end - address) }
      used.insert(index)
      address = regions[index].range.end
    }
    return nil
  }
}

private func reportMissing(
  _ guest: Guest, _ device: Device, _ isLink: Bool, _ range: AddressRange, _ missing: AddressRange, _ manifest: Manifest,
  _ report: Report
) {
  // Memory of unknown size is filled in before the guest is created.
  let isOpen = manifest.regions.contains { $0.range.size == 0 && range.end > $0.range.address }
  if device.kind == .memory, isOpen { return }
  let what = kindText(device.kind, isLink)
  let place = missing.address == range.address ? range : missing
  let file = report.name(of: manifest.survey)
  report.add(
    .missingRegion, guest.survey, device.node,
    "\(guest.name)'s kernel is told of \(what) at \(place.text), where its hypervisor gives it nothing (\(file))",
    "add a region for it to \(file), or set status = \"reserved\" here")
}

/// A region raises the interrupts that the guest's node waits for.
private func checkInterrupts(
  _ guest: Guest, _ node: Int, _ region: Manifest.Region, _ manifest: Manifest, _ report: Report
) {
  guard region.kind == .passThrough || region.kind == .emulated && !region.interrupts.isEmpty, manifest.maker == .xvisor else {
    return
  }
  let place = report.place(region.survey, region.node)
  let raised = region.interrupts.isEmpty ? "none" : listed(region.interrupts.prefix(8).map { "\($0)" })
  for interrupt in guest.survey.interrupts(node) where !region.interrupts.contains(interrupt.number) {
    var remedy = "make the two agree: interrupts = <\(interrupt.number)> in the region, or the node's own"
    if region.interrupts.contains(interrupt.line) {
      let offset = interrupt.number &- interrupt.line
      remedy = "set interrupts = <\(interrupt.number)> in the region: the number of the Linux tree plus \(offset)"
    }
    report.add(
      .interruptOffset, guest.survey, node,
      "it waits for the controller's interrupt \(interrupt.number), and its region raises \(raised) (\(place))", remedy)
  }
}

private func kindText(_ kind: Device.Kind, _ isLink: Bool) -> String {
  switch kind {
  case .memory: "memory"
  case _ where isLink: "a link's region"
  case .reservedMemory: "reserved memory"
  case .virtual, .supplier, .peripheral: "registers"
  }
}

private func checkKind(
  _ guest: Guest, _ device: Device, _ isLink: Bool, _ range: AddressRange, _ region: Manifest.Region, _ manifest: Manifest,
  _ report: Report
) {
  let place = report.place(region.survey, region.node)
  func wrong(_ remedy: String) {
    report.add(
      .wrongRegion, guest.survey, device.node,
      "it has \(kindText(device.kind, isLink)) at \(range.text), which the hypervisor makes \(region.text) (\(place))", remedy)
  }
  if isLink {
    if case .shared(_, let isWritable) = region.kind {
      if !isWritable { wrong("make it shared_ram in both guests: each side of a link writes") }
    } else if region.kind != .alias {
      wrong("make it a region with device_type \"shared_ram\" and the same shared_mem in both guests")
    }
    return
  }
  switch (device.kind, region.kind) {
  case (.memory, .memory), (_, .alias), (.reservedMemory, _): return
  case (.memory, _): wrong("take it out of memory's reg: Linux would use it as its own")
  case (_, .memory): wrong("correct the node's reg, or make it a region with device_type \"pt\" or an emulator's")
  case (_, .shared): wrong("correct the node's reg, or the region's guest_physical_addr")
  default: return
  }
}

/// What one guest drives, no other guest may have, and nobody's memory may lie there.
private func checkPassedTwice(_ guests: [Guest], _ system: Survey?, _ report: Report) {
  var passed: [(range: AddressRange, guest: Int, region: Manifest.Region)] = []
  var interrupts: [(number: UInt32, guest: Int, region: Manifest.Region)] = []
  var memory: [(range: AddressRange, value: String)] = []
  for (index, guest) in guests.enumerated() {
    guard let manifest = guest.manifest else { continue }
    for region in manifest.regions {
      if let host = region.host {
        let range = AddressRange(address: host, size: region.range.size)
        if region.kind == .passThrough {
          passed.append((range, index, region))
        } else if region.kind == .memory {
          memory.append((range, report.place(region.survey, region.node)))
        }
      }
      for number in region.hostInterrupts { interrupts.append((number, index, region)) }
    }
  }
  if let system {
    for device in system.devices where device.kind == .memory {
      for range in device.ranges { memory.append((range, report.place(system, device.node))) }
    }
  }
  let ram = RangeIndex(memory)
  passed.sort { ($0.range.address, $0.guest) < ($1.range.address, $1.guest) }
  var last: (range: AddressRange, guest: Int, region: Manifest.Region)?
  for item in passed {
    if let last, last.range.overlaps(item.range) {
      report.add(
        .passedTwice, item.region.survey, item.region.node,
        "the board's \(item.range.text) is passed to \(guests[item.guest].name) here, and to \(guests[last.guest].name) (\(report.place(last.region.survey, last.region.node)))",
        "drop the region of the guest that doesn't own the device")
    }
    if last.map({ $0.range.end < item.range.end }) ?? true { last = item }
    if let found = ram.overlapping(item.range) {
      report.add(
        .passedMemory, item.region.survey, item.region.node,
        "the board's \(item.range.text) is passed through, but \(found.range.text) is memory (\(found.value))",
        "correct host_physical_addr and physical_size; memory for two guests is made with 'shmem create'")
    }
  }
  interrupts.sort { ($0.number, $0.guest, $0.region.node) < ($1.number, $1.guest, $1.region.node) }
  for (one, two) in zip(interrupts, interrupts.dropFirst()) where one.number == two.number && one.guest != two.guest {
    report.add(
      .passedTwice, two.region.survey, two.region.node,
      "the board's interrupt \(two.number) is passed to \(guests[two.guest].name) here, and to \(guests[one.guest].name) (\(report.place(one.region.survey, one.region.node)))",
      "drop it from the guest that doesn't own the device")
  }
}

/// Domains that share memory by a name share the same memory.
private func checkPools(_ guests: [Guest], _ report: Report) {
  var pools: [String: (guest: String, region: Manifest.Region)] = [:]
  for guest in guests {
    guard let manifest = guest.manifest, manifest.maker == .xen else { continue }
    for region in manifest.regions {
      guard case .shared(let name, _) = region.kind else { continue }
      guard let first = pools[name] else {
        pools[name] = (guest.name, region)
        continue
      }
      let there = report.place(first.region.survey, first.region.node)
      if first.region.range.size != region.range.size {
        report.add(
          .sharedMemory, region.survey, region.node,
          "memory \"\(name)\" has \(hexadecimal(region.range.size)) bytes for \(guest.name), and \(hexadecimal(first.region.range.size)) for \(first.guest) (\(there))",
          "give both the same size")
      }
      if let a = first.region.host, let b = region.host, a != b {
        report.add(
          .sharedMemory, region.survey, region.node,
          "memory \"\(name)\" is at \(hexadecimal(b)) on the board for \(guest.name), and at \(hexadecimal(a)) for \(first.guest) (\(there))",
          "give both the same host address")
      }
      let roles = [first.region, region].map { $0.survey.nodes[$0.node].property("role")?.string ?? "borrower" }
      if roles == ["owner", "owner"] {
        report.add(
          .sharedMemory, region.survey, region.node, "\(guest.name) and \(first.guest) (\(there)) both own memory \"\(name)\"",
          "make one of them role = \"borrower\"")
      }
    }
  }
}

/// What Xen passes through is a device of its host's tree that is set aside for that.
func checkXenPaths(_ guests: [Guest], _ host: Survey, _ report: Report) {
  for guest in guests {
    for region in guest.manifest?.regions ?? [] where region.kind == .passThrough {
      guard let path = region.survey.nodes[region.node].property("xen,path")?.string else { continue }
      guard let device = host.node(path: path) else {
        report.add(
          .manifest, region.survey, region.node, "xen,path is \(path), which is no node of \(report.name(of: host))",
          "write the device's path in the tree that Xen boots with")
        continue
      }
      if host.nodes[device].property("xen,passthrough") == nil {
        report.add(
          .manifest, host, device,
          "it is passed through to \(guest.name) (\(report.place(region.survey, region.node))), but has no xen,passthrough",
          "add xen,passthrough to it: else Xen keeps it for its first domain")
      }
    }
  }
}

/// The two ends of a link are the same place of the same memory.
private func checkSharedMemory(_ a: Guest, _ b: Guest, _ report: Report) {
  guard let one = a.manifest, let two = b.manifest else { return }
  for link in a.links where link.peer == b.name {
    guard let end = b.links.first(where: { $0.peer == a.name && $0.name == link.name }),
      let x = link.range, let y = end.range, let here = one.region(at: x.address), let there = two.region(at: y.address),
      case .shared(let name, _) = here.kind, case .shared(let other, _) = there.kind
    else { continue }
    if name != other {
      report.add(
        .sharedMemory, there.survey, there.node,
        "link \"\(link.name)\" is in shared memory \"\(other)\" for \(b.name), and in \"\(name)\" for \(a.name) (\(report.place(here.survey, here.node)))",
        "give both regions the same name")
    } else if x.address - here.range.address != y.address - there.range.address {
      report.add(
        .sharedMemory, b.survey, end.node,
        "link \"\(link.name)\" begins \(hexadecimal(y.address - there.range.address)) bytes into shared memory \"\(name)\" for \(b.name), and \(hexadecimal(x.address - here.range.address)) for \(a.name) (\(report.place(a.survey, link.node)))",
        "move one end's reg, so that both begin at the same byte")
    }
  }
}
