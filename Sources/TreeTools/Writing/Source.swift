import DeviceTree
import Text

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
    try writer.write(self, name: "/", path: "", addressCells: 2, sizeCells: 1)
    return writer.text
  }
}

/// Text that can't end a comment nor spoil a terminal.
private func commentText(_ text: String) -> String {
  var safe: [UInt8] = []
  for byte in printable(text).utf8 { safe.append(byte == 0x2f && safe.last == 0x2a ? 0x3f : byte) }
  return String(decoding: safe, as: UTF8.self)
}

/// Who is called what: labels by phandle and by path.
private struct SourceNames {
  let keepsPhandles: Bool
  /// Each node's labels, in the order of the tree.
  private(set) var labels: [[String]] = []
  private var paths: [String] = []
  private var nodesByPath: [String: Int] = [:]
  private var nodesByPhandle: [UInt32: Int] = [:]
  /// Phandles that a cell of unknown meaning might be.
  private var suspected: Set<UInt32> = []
  private var used: Set<String> = []

  init(keepsPhandles: Bool) { self.keepsPhandles = keepsPhandles }

  mutating func survey(_ root: Draft) throws(SourceError) {
    var referred: Set<UInt32> = []
    try collect(root, "", &referred)
    keepFirstOfEachLabel()
    // Labels for those that need one: an alias's name reads best.
    for property in root.child("aliases")?.properties ?? [] {
      guard let path = Property(bytes: property.value).string, let node = node(path: path), labels[node].isEmpty else {
        continue
      }
      addLabel(like: property.name, to: node)
    }
    for phandle in referred.sorted() {
      guard let node = node(phandle: phandle), labels[node].isEmpty else { continue }
      addLabel(like: paths[node].split(separator: "/").last.map { String($0) } ?? "", to: node)
    }
  }

  /// A label that two nodes have is the first one's.
  private mutating func keepFirstOfEachLabel() {
    for node in labels.indices { labels[node] = labels[node].filter { used.insert($0).inserted } }
  }

  private mutating func collect(_ draft: Draft, _ path: String, _ referred: inout Set<UInt32>) throws(SourceError) {
    let node = labels.count
    labels.append(draft.labels.filter(isLabel))
    paths.append(path.isEmpty ? "/" : path)
    guard nodesByPath.updateValue(node, forKey: paths[node]) == nil else {
      throw .ambiguous("path, \(printable(paths[node]))")
    }
    if let phandle = draft.phandle, let other = nodesByPhandle.updateValue(node, forKey: phandle) {
      throw .ambiguous("phandle, \(phandle): \(printable(paths[other])) and \(printable(paths[node]))")
    }
    for property in draft.properties {
      guard let cells = Property(bytes: property.value).cells else { continue }
      if !property.references.isEmpty {
        for index in property.references where cells.indices.contains(index) { referred.insert(cells[index]) }
      } else if !hasKnownMeaning(property.name), !readsAsText(property.value) {
        suspected.formUnion(cells.filter { $0 != 0 })
      }
    }
    for child in draft.children { try collect(child, "\(path)/\(child.name)", &referred) }
  }

  /// A label made of a node's or alias's name, that no other node has.
  private mutating func addLabel(like name: String, to node: Int) {
    var base = String(name.map { isLabelCharacter($0) ? $0 : "_" })
    if base.first?.isNumber ?? true { base = "_\(base)" }
    var label = base
    var number = 2
    while !used.insert(label).inserted {
      label = "\(base)_\(number)"
      number += 1
    }
    labels[node] = [label]
  }

  func node(phandle: UInt32) -> Int? { nodesByPhandle[phandle] }

  func node(path: String) -> Int? { nodesByPath[path] }

  /// Whether a node has to say its phandle itself.
  func needsPhandle(_ phandle: UInt32) -> Bool { keepsPhandles || suspected.contains(phandle) }
}

private func isLabelCharacter(_ character: Character) -> Bool { String(character).hasOnlyLettersDigits(and: "_") }

private func isLabel(_ text: String) -> Bool {
  guard let first = text.first, !first.isNumber else { return false }
  return text.allSatisfy(isLabelCharacter)
}

private let propertiesOfNumbers: Set = [
  "reg", "ranges", "dma-ranges", "interrupts", "phandle", "linux,phandle", "interrupt-map", "interrupt-map-mask", "bus-range",
  "virtual-reg", "cache-level", "memory", "id", "channels", "bank-width", "reg-shift", "reg-io-width",
  "regulator-min-microvolt", "regulator-max-microvolt",
]

/// Whether a property's cells are known to be no phandles, where they aren't known to be some.
private func hasKnownMeaning(_ name: String) -> Bool {
  let endings = ["-frequency", "-cells", "-size", "-us", "-ms", "-ns", "-mask", "-microvolt", "-range", "-width", "-latency"]
  return name.hasPrefix("#") || propertiesOfNumbers.contains(name) || endings.contains { name.hasSuffix($0) }
}

/// Whether a number reads better in decimal.
private func isDecimal(_ name: String) -> Bool {
  let endings = [
    "-frequency", "-microvolt", "-microamp", "-us", "-ms", "-ns", "-baud", "-speed", "-hz", "-cells", "channels", "-rate",
    "-burst", "interrupts", "_irq", "_count", "_order",
  ]
  return endings.contains { name.hasSuffix($0) }
}

/// Whether a value is likely to be meant as strings, as dtc would take it: none of them empty.
private func readsAsText(_ value: [UInt8]) -> Bool {
  guard value.last == 0 else { return false }
  let strings = value.dropLast().split(separator: 0, omittingEmptySubsequences: false)
  return strings.allSatisfy { !$0.isEmpty && $0.allSatisfy(isPrintable) }
}

private struct SourceWriter {
  let names: SourceNames
  private(set) var text = ""
  private var depth = 0
  /// How many nodes were written.
  private var count = 0

  init(names: SourceNames) { self.names = names }

  mutating func line(_ content: String) {
    if !content.isEmpty { text += "\(String(repeating: "\t", count: depth))\(content)" }
    text += "\n"
  }

  mutating func write(_ node: Draft, name: String, path: String, addressCells: Int, sizeCells: Int) throws(SourceError) {
    let labels = names.labels[count]
    count += 1
    let here = path.isEmpty ? "/" : printable(path)
    // dtc's own rule, which is wider than the specification's.
    guard path.isEmpty || name.hasOnlyLettersDigits(and: "@+,-._") else { throw .badName(path: here) }
    line("\(labels.map { "\($0): " }.joined())\(name) {")
    depth += 1
    func cell(_ name: String) -> Int? {
      node.property(name).flatMap { Property(bytes: $0.value).cell }.map { Int(clamping: $0) }
    }
    let ownAddressCells = cell("#address-cells") ?? 2
    let ownSizeCells = cell("#size-cells") ?? 1
    for property in node.properties {
      guard property.name.hasOnlyLettersDigits(and: "#*+,-.?@_") else {
        throw .badName(path: "\(here) \(printable(property.name))")
      }
      switch property.name {
      case "phandle", "linux,phandle":
        guard let phandle = Property(bytes: property.value).cell, names.needsPhandle(phandle) else {
          // One that is no cell is dtc's to refuse, not ours to hide.
          if property.value.count != 4 { write(property) }
          continue
        }
        write(property)
      case "reg": write(property, widths: [addressCells, sizeCells])
      case "ranges", "dma-ranges": write(property, widths: [ownAddressCells, addressCells, ownSizeCells])
      default: write(property, isAlias: depth == 2 && name == "aliases")
      }
    }
    for (index, child) in node.children.enumerated() {
      if index > 0 || !node.properties.isEmpty { line("") }
      try write(
        child, name: child.name, path: "\(path)/\(child.name)", addressCells: ownAddressCells, sizeCells: ownSizeCells)
    }
    depth -= 1
    line("};")
  }

  /// - Parameters:
  ///   - widths: How many cells the numbers of each entry have, where that is known.
  ///   - isAlias: It is one of /aliases.
  private mutating func write(_ property: DraftProperty, widths: [Int] = [], isAlias: Bool = false) {
    let name = property.name
    let value = Property(bytes: property.value)
    if value.bytes.isEmpty {
      line("\(name);")
    } else if isAlias, let path = value.string, let node = names.node(path: path), let label = names.labels[node].first {
      line("\(name) = &\(label);")
    } else if let cells = value.cells, hasNumbers(property, widths) || !readsAsText(value.bytes) {
      wrapped(name, groups(cells, of: property, widths))
    } else if readsAsText(value.bytes) {
      wrapped(name, (value.strings ?? []).map { "\"\(escaped($0))\"" })
    } else {
      line("\(name) = [\(value.bytes.map { hexadecimal([$0]) }.joined(separator: " "))];")
    }
  }

  /// Whether cells of the property are numbers, even where they could be text.
  private func hasNumbers(_ property: DraftProperty, _ widths: [Int]) -> Bool {
    !widths.isEmpty || !property.references.isEmpty || property.name.hasPrefix("#")
  }

  /// Cells in angle brackets: a group for each reference and its arguments, or for each entry of a known width.
  private func groups(_ cells: [UInt32], of property: DraftProperty, _ widths: [Int]) -> [String] {
    let references = Set(property.references)
    let isDecimal = isDecimal(property.name)
    let starts = starts(cells, of: property, widths)
    return zip(starts, starts.dropFirst() + [cells.count]).map { start, end in
      let texts = (start..<max(start, end)).map { place in
        if references.contains(place), let node = names.node(phandle: cells[place]), let label = names.labels[node].first {
          return "&\(label)"
        }
        return number(cells[place], isDecimal)
      }
      return "<\(texts.joined(separator: " "))>"
    }
  }

  /// Where groups begin.
  private func starts(_ cells: [UInt32], of property: DraftProperty, _ widths: [Int]) -> [Int] {
    if let first = property.references.first {
      // Each begins an entry, or stands at the same place within one, as in an interrupt-map.
      let lead = property.name.hasSuffix("-map") ? first : 0
      return Set(property.references.map { $0 - lead } + [0]).filter { cells.indices.contains($0) }.sorted()
    }
    // Numbers of more than 16 cells are none that anybody reads.
    let width = widths.allSatisfy { $0 <= 16 } ? widths.reduce(0, +) : 0
    guard width > 0, width <= 16, cells.count % width == 0 else { return [0] }
    return Array(stride(from: 0, to: cells.count, by: width))
  }

  /// `name = a, b;`, an item a line when they don't fit one.
  private mutating func wrapped(_ name: String, _ items: [String]) {
    let length = items.reduce(name.count + 3 + 8 * depth) { $0 + $1.count + 2 }
    let separator = length > 120 ? ",\n\(String(repeating: "\t", count: depth + 1))" : ", "
    line("\(name) = \(items.joined(separator: separator));")
  }
}

private func escaped(_ text: String) -> String {
  text.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : String($0) }.joined()
}

private func number(_ cell: UInt32, _ isDecimal: Bool) -> String {
  isDecimal && cell < 1 << 31 || cell < 10 ? String(cell) : hexadecimal(cell)
}
