/// A range of physical addresses.
public struct AddressRange: Equatable, Sendable {
  public var address: UInt64
  public var size: UInt64

  public init(address: UInt64, size: UInt64) {
    self.address = address
    self.size = size
  }
}

extension Node {
  /// Cells of an address of this node's children (Devicetree Specification §2.3.5; default 2).
  var addressCells: Int { Int(clamping: property("#address-cells")?.cell ?? 2) }
  /// Cells of a size of this node's children (default 1).
  var sizeCells: Int { Int(clamping: property("#size-cells")?.cell ?? 1) }

  /// What `reg` says, as physical addresses: translated by the `ranges` of every bus above.
  ///
  /// - Returns: Nil when there is no `reg`, when it isn't made of whole entries of at most two cells each, or when a bus
  ///   above doesn't translate it.
  public var physicalRanges: [AddressRange]? {
    guard let parent, let cells = property("reg")?.cells else { return nil }
    guard let entries = parent.entries(cells, [parent.addressCells, parent.sizeCells]) else { return nil }
    var result: [AddressRange] = []
    for entry in entries {
      guard let address = parent.translate(entry[0], size: entry[1]) else { return nil }
      result.append(AddressRange(address: address, size: entry[1]))
    }
    return result
  }

  /// An address of this bus as a physical one.
  private func translate(_ address: UInt64, size: UInt64) -> UInt64? {
    var address = address
    var bus = self
    while let parent = bus.parent {
      guard let ranges = bus.property("ranges") else { return nil }
      if !ranges.bytes.isEmpty {
        guard
          let cells = ranges.cells,
          let entries = bus.entries(cells, [bus.addressCells, parent.addressCells, bus.sizeCells]),
          let match = entries.first(where: { address >= $0[0] && address - $0[0] < $0[2] && size <= $0[2] - (address - $0[0]) })
        else { return nil }
        let (translated, overflow) = match[1].addingReportingOverflow(address - match[0])
        if overflow { return nil }
        address = translated
      }
      bus = parent
    }
    return address
  }

  /// Cells taken apart into entries of numbers with so many cells each: at most two, so that each fits 64 bits.
  private func entries(_ cells: [UInt32], _ widths: [Int]) -> [[UInt64]]? {
    guard widths.allSatisfy({ $0 <= 2 }) else { return nil }
    let width = widths.reduce(0, +)
    guard width > 0, cells.count % width == 0 else { return nil }
    return stride(from: 0, to: cells.count, by: width).map { start in
      var place = start
      return widths.map { count in
        var number: UInt64 = 0
        for _ in 0..<count {
          number = number << 32 | UInt64(cells[place])
          place += 1
        }
        return number
      }
    }
  }
}
