extension String {
  /// Filled up with spaces to `width` bytes.
  public func padded(to width: Int) -> String {
    self + String(decoding: [UInt8](repeating: 0x20, count: max(0, width - utf8.count)), as: UTF8.self)
  }
}

/// "uart1, uart2 and uart3", or "none".
public func listed(_ names: [String]) -> String {
  guard let last = names.last else { return "none" }
  if names.count == 1 { return last }
  return "\(Array(names.dropLast()).joined(separator: ", ")) and \(last)"
}

/// A line for each row, with columns as wide as their widest cell and two spaces between them.
@inline(never)
public func tableLines(_ rows: [[String]]) -> [String] {
  var widths: [Int] = []
  for row in rows {
    for (column, cell) in row.enumerated() {
      if column == widths.count { widths.append(0) }
      widths[column] = max(widths[column], cell.utf8.count)
    }
  }
  var lines: [String] = []
  for row in rows {
    var cells: [String] = []
    for cell in row { cells.append(cells.count == row.count - 1 ? cell : cell.padded(to: widths[cells.count] + 2)) }
    lines.append(cells.joined())
  }
  return lines
}
