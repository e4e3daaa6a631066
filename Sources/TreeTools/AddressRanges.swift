import DeviceTree
import Text

extension AddressRange {
  /// The first address behind it, or the largest there is.
  var end: UInt64 {
    let (end, overflow) = address.addingReportingOverflow(size)
    return overflow ? .max : end
  }

  /// Whether its last byte is beyond the end of the address space.
  var wraps: Bool { size > 0 && address.addingReportingOverflow(size - 1).overflow }

  /// Whole pages of 4096 bytes, at least one, that don't wrap.
  var isPages: Bool { size > 0 && address % 4096 == 0 && size % 4096 == 0 && !wraps }

  func contains(_ other: AddressRange) -> Bool {
    other.address >= address && other.address - address < size && other.size <= size - (other.address - address)
  }

  func overlaps(_ other: AddressRange) -> Bool { address < other.end && other.address < end }

  var text: String { "\(hexadecimal(address))-\(hexadecimal(size == 0 ? address : end - 1))" }
}

/// Ranges that can be asked for one that overlaps another, in logarithmic time.
struct RangeIndex<Value> {
  private let items: [(range: AddressRange, value: Value)]
  /// For each item the one among it and those before it that ends last.
  private let last: [Int]

  init(_ items: [(range: AddressRange, value: Value)]) {
    let sorted = items.sorted { $0.range.address < $1.range.address }
    var last: [Int] = []
    for index in sorted.indices {
      if let before = last.last, sorted[before].range.end >= sorted[index].range.end {
        last.append(before)
      } else {
        last.append(index)
      }
    }
    self.items = sorted
    self.last = last
  }

  func overlapping(_ range: AddressRange) -> (range: AddressRange, value: Value)? {
    let behind = items.partitioningIndex { $0.range.address >= range.end }
    guard behind > 0 else { return nil }
    let item = items[last[behind - 1]]
    return item.range.end > range.address ? item : nil
  }
}

extension Array {
  /// The first place from which on `isBehind` holds for every element, in an array that is sorted so; the count when for none.
  func partitioningIndex(where isBehind: (Element) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = low + (high - low) / 2
      if isBehind(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
