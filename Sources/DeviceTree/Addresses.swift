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
  public var addressCells: Int { Int(clamping: property("#address-cells")?.cell ?? 2) }
  /// Cells of a size of this node's children (default 1).
  public var sizeCells: Int { Int(clamping: property("#size-cells")?.cell ?? 1) }

  /// What `reg` says, as addresses of the bus that this node is on: of an I2C device, for one, its address there, with size 0.
  ///
  /// - Returns: Nil when there is no `reg`, or when it isn't made of whole entries of at most two cells each.
  public var localRanges: [AddressRange]? {
    guard let parent, let reg = property("reg") else { return nil }
    guard let entries = CellTable(reg, parent.addressCells, parent.sizeCells) else { return nil }
    return (0..<entries.count).map { AddressRange(address: entries[$0, 0], size: entries[$0, 1]) }
  }

  /// What `reg` says, as physical addresses: translated by the `ranges` of every bus above.
  ///
  /// - Returns: Nil when `localRanges` is, or when a bus above doesn't translate an address.
  public var physicalRanges: [AddressRange]? {
    guard let parent, var ranges = localRanges else { return nil }
    var bus = parent
    while let above = bus.parent {
      guard let property = bus.property("ranges") else { return nil }
      if !property.bytes.isEmpty {
        guard let table = CellTable(property, bus.addressCells, above.addressCells, bus.sizeCells) else { return nil }
        for index in ranges.indices {
          guard let address = table.translate(ranges[index]) else { return nil }
          ranges[index].address = address
        }
      }
      bus = above
    }
    return ranges
  }
}

/// A property's value as entries of numbers with so many cells each.
private struct CellTable {
  private let bytes: [UInt8]
  private let widths: (Int, Int, Int)
  let count: Int

  /// Nil when a number has more cells than fit 64 bits, or the last entry isn't whole.
  init?(_ property: Property, _ first: Int, _ second: Int, _ third: Int = 0) {
    guard first <= 2, second <= 2, third <= 2, first + second + third > 0 else { return nil }
    let size = 4 * (first + second + third)
    guard property.bytes.count % size == 0 else { return nil }
    bytes = property.bytes
    widths = (first, second, third)
    count = property.bytes.count / size
  }

  /// The number in a column of an entry.
  @inline(never)
  subscript(entry: Int, column: Int) -> UInt64 {
    let start = entry * (widths.0 + widths.1 + widths.2) + (column == 0 ? 0 : column == 1 ? widths.0 : widths.0 + widths.1)
    let width = column == 0 ? widths.0 : column == 1 ? widths.1 : widths.2
    var number: UInt64 = 0
    for cell in start..<start + width { number = number << 32 | UInt64(bigEndianWord(bytes, at: 4 * cell)) }
    return number
  }

  /// For `ranges`, whose entries are a child's address, a parent's address, a size: the parent's address of a range that lies
  /// in one entry, the first that has it.
  func translate(_ range: AddressRange) -> UInt64? {
    for entry in 0..<count {
      let start = self[entry, 0]
      let size = self[entry, 2]
      guard range.address >= start, range.address - start < size, range.size <= size - (range.address - start) else { continue }
      let (address, overflow) = self[entry, 1].addingReportingOverflow(range.address - start)
      return overflow ? nil : address
    }
    return nil
  }
}
