/// A range of physical addresses.
public struct AddressRange: Hashable, Sendable {
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
    guard let parent, let reg = property("reg"), let entries = reg.entries(parent.addressCells, parent.sizeCells, 0) else {
      return nil
    }
    return entries.map { AddressRange(address: $0.0, size: $0.1) }
  }

  /// What `reg` says, as physical addresses: translated by the `ranges` of every bus above.
  ///
  /// - Returns: Nil when `localRanges` is, or when a bus above doesn't translate an address.
  public var physicalRanges: [AddressRange]? {
    guard var bus = parent, var ranges = localRanges else { return nil }
    while let above = bus.parent {
      switch bus.addressMap {
      case .none: return nil
      case .identity: break
      case .windows(let windows):
        for index in ranges.indices {
          guard let window = windows.first(where: { $0.has(ranges[index]) }), let address = window.translate(ranges[index])
          else {
            return nil
          }
          ranges[index].address = address
        }
      }
      bus = above
    }
    return ranges
  }

  /// What a bus makes of its children's addresses, by its `ranges` (Devicetree Specification §2.3.8).
  package var addressMap: AddressMap {
    guard let property = property("ranges"), let above = parent else { return .none }
    if property.bytes.isEmpty { return .identity }
    guard let entries = property.entries(addressCells, above.addressCells, sizeCells) else { return .none }
    return .windows(entries.map { AddressWindow(child: $0.0, parent: $0.1, size: $0.2) })
  }
}

/// What addresses on a bus are on the bus above.
package enum AddressMap: Sendable {
  /// Nothing: the processor doesn't reach them.
  case none
  /// The same.
  case identity
  case windows([AddressWindow])
}

/// An entry of `ranges`.
package struct AddressWindow: Sendable {
  package var child: UInt64
  package var parent: UInt64
  package var size: UInt64

  /// Whether the whole of a range lies in this window.
  func has(_ range: AddressRange) -> Bool {
    range.address >= child && range.address - child < size && range.size <= size - (range.address - child)
  }

  /// The parent's address of a range; nil when it doesn't lie in this window, or beyond 64 bits on the bus above.
  package func translate(_ range: AddressRange) -> UInt64? {
    guard has(range) else { return nil }
    let (address, overflow) = parent.addingReportingOverflow(range.address - child)
    return overflow ? nil : address
  }
}

extension Property {
  /// The value as entries of three numbers with so many cells each; a number of no cells is 0.
  ///
  /// - Returns: Nil when a number has more cells than fit 64 bits, or the last entry isn't whole.
  fileprivate func entries(_ first: Int, _ second: Int, _ third: Int) -> [(UInt64, UInt64, UInt64)]? {
    guard first <= 2, second <= 2, third <= 2, let cells else { return nil }
    let width = first + second + third
    guard width > 0, cells.count % width == 0 else { return nil }
    return stride(from: 0, to: cells.count, by: width).map { start in
      let (middle, last) = (start + first, start + first + second)
      return (cells[start..<middle].number, cells[middle..<last].number, cells[last..<start + width].number)
    }
  }
}

extension ArraySlice<UInt32> {
  /// The number that one or two cells make, 0 for none.
  package var number: UInt64 { reduce(0) { $0 << 32 | UInt64($1) } }
}
