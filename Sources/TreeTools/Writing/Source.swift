import DeviceTree
import Linux

/// What can't be said in a device-tree source.
public enum SourceError: Error, Equatable, Sendable {
  /// A node's or property's name, at this path, has a character that dtc takes for none of a name's.
  case badName(path: String)
  /// Two nodes have this path or phandle.
  case ambiguous(String)

  public var text: String {
    switch self {
    case .badName(let path): "\(path): its name has characters that a device-tree source can't have in one"
    case .ambiguous(let what): "two nodes have the same \(what)"
    }
  }
}

extension Draft {
  /// The tree as source for dtc: what dtc makes of it is this tree, but that phandles may get other numbers.
  ///
  /// References become `&label`, with labels made up where there are none, and the `phandle` properties are left out. A
  /// property of which it isn't known whether its cells refer to something keeps its numbers; where one could be a phandle,
  /// the node with that phandle keeps it.
  ///
  /// - Parameters:
  ///   - comment: Lines for its head.
  ///   - reservations: Memory that is taken.
  ///   - keepsPhandles: Writes every `phandle` that there is.
  public func source(
    comment: [String] = [], reservations: [AddressRange] = [], keepsPhandles: Bool = false
  ) throws(SourceError) -> String {
    var names = SourceNames(keepsPhandles: keepsPhandles)
    try names.survey(self)
    var writer = SourceWriter(names: names)
    if !comment.isEmpty {
      writer.line("/*")
      for line in comment { writer.line(" * \(commentText(line))") }
      writer.line(" */")
    }
    writer.line("/dts-v1/;")
    for range in reservations {
      writer.line("/memreserve/ \(hexadecimal(range.address)) \(hexadecimal(range.size));")
    }
    writer.line("")
    try writer.write(self, name: "/", path: "", addressCells: 2, sizeCells: 1, isLast: true)
    return String(decoding: writer.text, as: UTF8.self)
  }
}

/// Text that can't end a comment nor spoil a terminal.
private func commentText(_ text: String) -> String {
  var bytes = text.utf8.map { $0 >= 0x20 && $0 < 0x7f ? $0 : 0x3f }
  for index in bytes.indices.dropFirst() where bytes[index] == 0x2f && bytes[index - 1] == 0x2a { bytes[index] = 0x3f }
  return String(decoding: bytes, as: UTF8.self)
}

/// Who is called what: labels by phandle and by path.
private struct SourceNames {
  let keepsPhandles: Bool
  /// In the order of phandles once the survey is done.
  var byPhandle: [(phandle: UInt32, path: String, node: Int)] = []
  /// Each node's labels, in the order of the tree.
  var labels: [[String]] = []
  /// Paths with their node, in the order of paths.
  var byPath: [(path: String, node: Int)] = []
  /// Phandles that a cell of unknown meaning might be, in order.
  var suspected: [UInt32] = []
  private var used: [String] = []

  init(keepsPhandles: Bool) { self.keepsPhandles = keepsPhandles }

  mutating func survey(_ root: Draft) throws(SourceError) {
    var referred: [UInt32] = []
    var aliases: [(name: String, path: String)] = []
    for property in root.child("aliases")?.properties ?? [] {
      if let path = Property(bytes: property.value).string { aliases.append((property.name, path)) }
    }
    collect(root, "", &referred)
    byPhandle.sort { $0.phandle < $1.phandle }
    byPath.sort { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
    for index in byPhandle.indices.dropFirst() where byPhandle[index].phandle == byPhandle[index - 1].phandle {
      throw .ambiguous("phandle, \(byPhandle[index].phandle): \(byPhandle[index - 1].path) and \(byPhandle[index].path)")
    }
    for index in byPath.indices.dropFirst() where sameText(byPath[index].path, byPath[index - 1].path) {
      throw .ambiguous("path, \(printable(byPath[index].path))")
    }
    keepFirstOfEachLabel()
    suspected.sort()
    // Labels for those that need one: an alias's name reads best.
    for alias in aliases {
      guard let node = node(path: alias.path), labels[node].isEmpty else { continue }
      addLabel(like: alias.name, to: node)
    }
    for phandle in referred.sorted() {
      guard let found = entry(phandle), labels[found.node].isEmpty else { continue }
      addLabel(like: found.path.parts(separatedBy: 0x2f).last ?? "node", to: found.node)
    }
  }

  /// A label that two nodes have is the first one's.
  private mutating func keepFirstOfEachLabel() {
    var all = labels.indices.flatMap { node in labels[node].map { (label: $0, node: node) } }
    all.sort { a, b in
      sameText(a.label, b.label) ? a.node < b.node : a.label.utf8.lexicographicallyPrecedes(b.label.utf8)
    }
    for (index, entry) in all.enumerated() {
      if index > 0, sameText(all[index - 1].label, entry.label) {
        labels[entry.node].removeAll { sameText($0, entry.label) }
        if all[index - 1].node == entry.node { labels[entry.node].append(entry.label) }
      } else {
        used.append(entry.label)
      }
    }
  }

  private mutating func collect(_ draft: Draft, _ path: String, _ referred: inout [UInt32]) {
    let node = labels.count
    labels.append(draft.labels.filter(isLabel))
    byPath.append((path.utf8.isEmpty ? "/" : path, node))
    if let phandle = draft.phandle { byPhandle.append((phandle, path, node)) }
    for property in draft.properties {
      guard let cells = Property(bytes: property.value).cells else { continue }
      if !property.references.isEmpty {
        for index in property.references where cells.indices.contains(index) { referred.append(cells[index]) }
      } else if !hasKnownMeaning(property.name), !readsAsText(property.value) {
        suspected += cells.filter { $0 != 0 }
      }
    }
    for child in draft.children { collect(child, "\(path)/\(child.name)", &referred) }
  }

  /// A label made of a node's or alias's name, that no other node has.
  private mutating func addLabel(like name: String, to node: Int) {
    var bytes = name.utf8.map { byte -> UInt8 in isLabelByte(byte) ? byte : 0x5f }
    if bytes.first.map({ $0 >= 0x30 && $0 <= 0x39 }) ?? true { bytes.insert(0x5f, at: 0) }
    let base = String(decoding: bytes, as: UTF8.self)
    var label = base
    var number = 2
    while true {
      let place = used.lowerBound { $0.utf8.lexicographicallyPrecedes(label.utf8) }
      if place == used.count || !sameText(used[place], label) {
        used.insert(label, at: place)
        break
      }
      label = "\(base)_\(number)"
      number += 1
    }
    labels[node] = [label]
  }

  func entry(_ phandle: UInt32) -> (phandle: UInt32, path: String, node: Int)? {
    let place = byPhandle.lowerBound { $0.phandle < phandle }
    return place < byPhandle.count && byPhandle[place].phandle == phandle ? byPhandle[place] : nil
  }

  func node(path: String) -> Int? {
    let place = byPath.lowerBound { $0.path.utf8.lexicographicallyPrecedes(path.utf8) }
    return place < byPath.count && sameText(byPath[place].path, path) ? byPath[place].node : nil
  }

  /// Whether a node has to say its phandle itself.
  func needsPhandle(_ phandle: UInt32) -> Bool {
    if keepsPhandles { return true }
    let place = suspected.lowerBound { $0 < phandle }
    return place < suspected.count && suspected[place] == phandle
  }
}

extension Array {
  /// The first place whose element isn't before what is looked for. The elements are in order.
  fileprivate func lowerBound(_ isBefore: (Element) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if isBefore(self[middle]) { low = middle + 1 } else { high = middle }
    }
    return low
  }
}

private func isLabelByte(_ byte: UInt8) -> Bool {
  switch byte {
  case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x5f: true
  default: false
  }
}

private func isLabel(_ text: String) -> Bool {
  guard let first = text.utf8.first, first < 0x30 || first > 0x39 else { return false }
  return text.utf8.allSatisfy(isLabelByte)
}

/// Bytes as they can be shown: '?' for what isn't printable ASCII.
private func printable(_ text: String) -> String {
  String(decoding: text.utf8.map { $0 >= 0x20 && $0 < 0x7f ? $0 : 0x3f }, as: UTF8.self)
}

/// Whether a property's cells are known to be no phandles, where they aren't known to be some.
private func hasKnownMeaning(_ name: String) -> Bool {
  let known = [
    "reg", "ranges", "dma-ranges", "interrupts", "phandle", "linux,phandle", "interrupt-map", "interrupt-map-mask", "bus-range",
    "virtual-reg", "cache-level", "memory", "id", "channels", "bank-width", "reg-shift", "reg-io-width",
    "regulator-min-microvolt",
    "regulator-max-microvolt",
  ]
  let name0 = name
  if name.utf8.first == 0x23 || known.contains(where: { sameText($0, name0) }) { return true }
  return ["-frequency", "-cells", "-size", "-us", "-ms", "-ns", "-mask", "-microvolt", "-range", "-width", "-latency"].contains
  {
    name.utf8.reversed().starts(with: $0.utf8.reversed())
  }
}

/// Whether a number reads better in decimal.
private func isDecimal(_ name: String) -> Bool {
  let endings = [
    "-frequency", "-microvolt", "-microamp", "-us", "-ms", "-ns", "-baud", "-speed", "-hz", "-cells", "channels", "-rate",
    "-burst",
    "interrupts", "_irq", "_count", "_order",
  ]
  return endings.contains { name.utf8.reversed().starts(with: $0.utf8.reversed()) }
}

/// Whether a value is likely to be meant as strings, as dtc would take it.
private func readsAsText(_ value: [UInt8]) -> Bool {
  guard value.last == 0, value.first != 0 else { return false }
  for index in value.indices {
    if value[index] == 0 {
      if index > 0, value[index - 1] == 0 { return false }
    } else if value[index] < 0x20 || value[index] > 0x7e {
      return false
    }
  }
  return true
}

private struct SourceWriter {
  let names: SourceNames
  var text: [UInt8] = []
  private var depth = 0
  /// How many nodes were written.
  private var count = 0

  init(names: SourceNames) { self.names = names }

  mutating func line(_ content: String) {
    if !content.utf8.isEmpty { text += [UInt8](repeating: 0x09, count: depth) }
    text += Array(content.utf8)
    text.append(0x0a)
  }

  mutating func write(
    _ node: Draft, name: String, path: String, addressCells: Int, sizeCells: Int, isLast: Bool
  ) throws(SourceError) {
    let labels = names.labels[count]
    count += 1
    let here = path.utf8.isEmpty ? "/" : printable(path)
    guard path.utf8.isEmpty || isNodeName(name) else { throw .badName(path: here) }
    line("\(labels.reduce("") { "\($0)\($1): " })\(name) {")
    depth += 1
    func cell(_ name: String, _ standard: Int) -> Int {
      Int(clamping: node.property(name).flatMap { Property(bytes: $0.value).cell } ?? UInt32(clamping: standard))
    }
    let ownAddressCells = cell("#address-cells", 2)
    let ownSizeCells = cell("#size-cells", 1)
    for property in node.properties {
      guard isPropertyName(property.name) else { throw .badName(path: "\(here) \(printable(property.name))") }
      if sameText(property.name, "phandle") || sameText(property.name, "linux,phandle") {
        guard let phandle = Property(bytes: property.value).cell, names.needsPhandle(phandle) else {
          // One that is no cell is dtc's to refuse, not ours to hide.
          if property.value.count != 4 { write(property, widths: [], isAlias: false) }
          continue
        }
      }
      let widths: [Int] =
        sameText(property.name, "reg")
        ? [addressCells, sizeCells]
        : sameText(property.name, "ranges") || sameText(property.name, "dma-ranges")
          ? [ownAddressCells, addressCells, ownSizeCells] : []
      write(property, widths: widths, isAlias: depth == 2 && sameText(name, "aliases"))
    }
    for (index, child) in node.children.enumerated() {
      if index > 0 || !node.properties.isEmpty { line("") }
      try write(
        child, name: child.name, path: "\(path)/\(child.name)", addressCells: ownAddressCells, sizeCells: ownSizeCells,
        isLast: index == node.children.count - 1)
    }
    depth -= 1
    line("};")
  }

  private mutating func write(_ property: DraftProperty, widths: [Int], isAlias: Bool) {
    let name = property.name
    let value = property.value
    if value.isEmpty {
      line("\(name);")
      return
    }
    if isAlias, let path = Property(bytes: value).string, let node = names.node(path: path),
      let label = names.labels[node].first
    {
      line("\(name) = &\(label);")
      return
    }
    let cells = Property(bytes: value).cells
    let isNumbers = !widths.isEmpty || !property.references.isEmpty || name.utf8.first == 0x23
    if !(isNumbers && cells != nil), readsAsText(value) {
      let strings = Property(bytes: value).strings ?? []
      wrapped(name, strings.map { "\"\(escaped($0))\"" })
      return
    }
    guard let cells else {
      line("\(name) = [\(value.reduce("") { "\($0.utf8.isEmpty ? "" : "\($0) ")\(hex($1))" })];")
      return
    }
    // Groups: one for each reference and its arguments, or for each entry of a known width.
    var starts = [0]
    let width = widths.reduce(0) { $0 > 16 || $1 > 16 ? 17 : $0 + $1 }
    if !property.references.isEmpty {
      // Each begins an entry, or stands at the same place within one, as in an interrupt-map.
      let lead = isMap(name) ? property.references[0] : 0
      starts = property.references.map { $0 - lead }.filter { cells.indices.contains($0) }
      if starts.first != 0 { starts.insert(0, at: 0) }
    } else if width > 0, width <= 16, cells.count % width == 0 {
      starts = Array(stride(from: 0, to: cells.count, by: width))
    }
    var groups: [String] = []
    var place = 0
    var nextReference = 0
    let decimal = isDecimal(name)
    for (index, start) in starts.enumerated() {
      let end = index + 1 < starts.count ? starts[index + 1] : cells.count
      var group = [UInt8]("<".utf8)
      place = max(place, start)
      while place < end {
        if place > start { group.append(0x20) }
        while nextReference < property.references.count, property.references[nextReference] < place { nextReference += 1 }
        let isReference = nextReference < property.references.count && property.references[nextReference] == place
        if isReference, let found = names.entry(cells[place]), let label = names.labels[found.node].first {
          group += Array("&\(label)".utf8)
        } else {
          group += Array(number(cells[place], decimal).utf8)
        }
        place += 1
      }
      groups.append("\(String(decoding: group, as: UTF8.self))>")
    }
    wrapped(name, groups)
  }

  /// `name = a, b;`, an item a line when they don't fit one.
  private mutating func wrapped(_ name: String, _ items: [String]) {
    let total = items.reduce(name.utf8.count + 3) { $0 + $1.utf8.count + 2 } + 8 * depth
    var content = Array("\(name) = ".utf8)
    for (index, item) in items.enumerated() {
      if index > 0 {
        content.append(0x2c)
        if total > 120 {
          content.append(0x0a)
          content += [UInt8](repeating: 0x09, count: depth + 1)
        } else {
          content.append(0x20)
        }
      }
      content += Array(item.utf8)
    }
    content.append(0x3b)
    line(String(decoding: content, as: UTF8.self))
  }

  private func isMap(_ name: String) -> Bool { name.utf8.reversed().starts(with: "-map".utf8.reversed()) }
}

private func isNodeName(_ name: String) -> Bool {
  // dtc's own rule, which is wider than the specification's.
  !name.utf8.isEmpty
    && name.utf8.allSatisfy {
      switch $0 {
      case 0x30...0x39, 0x40...0x5a, 0x61...0x7a, 0x2b...0x2e, 0x5f: true
      default: false
      }
    }
}

private func isPropertyName(_ name: String) -> Bool {
  !name.utf8.isEmpty
    && name.utf8.allSatisfy {
      switch $0 {
      case 0x23, 0x2a...0x2e, 0x30...0x39, 0x3f...0x5a, 0x5c, 0x5f, 0x61...0x7a: $0 != 0x5c
      default: false
      }
    }
}

private func escaped(_ text: String) -> String {
  var bytes: [UInt8] = []
  for byte in text.utf8 {
    if byte == 0x22 || byte == 0x5c { bytes.append(0x5c) }
    bytes.append(byte)
  }
  return String(decoding: bytes, as: UTF8.self)
}

private func hex(_ byte: UInt8) -> String { byte < 16 ? "0\(String(byte, radix: 16))" : String(byte, radix: 16) }

private func number(_ cell: UInt32, _ decimal: Bool) -> String {
  decimal && cell < 1 << 31 || cell < 10 ? String(cell) : hexadecimal(cell)
}
