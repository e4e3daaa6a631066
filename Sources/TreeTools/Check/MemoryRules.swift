import DeviceTree

/// The regions of one guest's tree: whole pages, apart from each other, and out of the kernel's own memory.
func checkMemory(_ guest: Guest, _ report: Report) {
  let survey = guest.survey
  var regions: [(range: AddressRange, node: Int)] = []
  for device in survey.devices where device.kind == .reservedMemory && survey.isOkay(device.node) {
    for range in device.ranges { regions.append((range, device.node)) }
  }
  let memory = RangeIndex(
    survey.devices.filter { $0.kind == .memory }.flatMap { device in device.ranges.map { ($0, device.node) } })
  let registers = RangeIndex(
    survey.devices.filter { $0.hasRegisters && survey.isOkay($0.node) }
      .flatMap { device in device.ranges.map { ($0, device.node) } })
  var seen: [Int] = []
  for link in guest.links {
    guard let region = link.region, !seen.contains(region) else { continue }
    seen.append(region)
    checkLinkRegion(survey, region, memory, registers, report)
    if let device = survey.device(region), device.kind != .reservedMemory {
      for range in device.ranges { regions.append((range, region)) }
    }
  }
  for region in regions where region.range.wraps {
    report.add(
      .regionBounds, survey, region.node, "the region wraps around the end of the address space", "correct its reg")
  }

  regions.sort { ($0.range.address, $0.node) < ($1.range.address, $1.node) }
  var last: (range: AddressRange, node: Int)?
  for region in regions {
    if let before = last, before.node != region.node, before.range.overlaps(region.range) {
      let (later, earlier) = before.node < region.node ? (region, before) : (before, region)
      report.add(
        .regionOverlap, survey, later.node,
        "\(later.range.text) overlaps \(earlier.range.text) of \(survey.path(earlier.node))",
        "move one of them, or make it smaller")
    }
    if last.map({ $0.range.end < region.range.end }) ?? true { last = region }
  }
}

private func checkLinkRegion(
  _ survey: Survey, _ region: Int, _ memory: RangeIndex<Int>, _ registers: RangeIndex<Int>, _ report: Report
) {
  let node = survey.nodes[region]
  guard let range = survey.device(region)?.ranges.first else {
    if node.property("reg") != nil {
      report.add(
        .regionBounds, survey, region, "the region has no size, or no address that the processor reaches",
        "give its reg an address and a size, and each bus above it ranges")
    }
    return
  }
  if range.address % 4096 != 0 || range.size % 4096 != 0 {
    report.add(
      .regionBounds, survey, region, "\(range.text) is not whole pages of 4096 bytes",
      "make address and size multiples of 0x1000")
  }
  if let found = registers.overlapping(range), found.value != region {
    report.add(
      .regionOverlap, survey, region,
      "\(range.text) overlaps the registers of \(survey.path(found.value)), \(found.range.text)",
      "move the region to where nothing is")
  }
  let isSetAside = survey.device(region)?.kind == .reservedMemory && node.property("no-map") != nil
  if !isSetAside, let found = memory.overlapping(range) {
    let what = survey.device(region)?.kind == .reservedMemory ? "without no-map" : "and is no child of /reserved-memory"
    report.add(
      .regionMapped, survey, region, "\(range.text) lies in \(survey.path(found.value)) (\(found.range.text)) \(what)",
      "make it a child of /reserved-memory with no-map")
  }
}
