import DeviceTree
import Text
import Partition

extension Overview {
  /// The same as a drawing, in SVG: guests as boxes with their peripherals, below them each link's region as a bar that both hold on
  /// to, and in it an arrow for each loan.
  public func svg() -> String { Picture(self).text }
}

/// Places and draws things. Lengths are pixels.
private struct Picture {
  private static var margin: Int { 24 }
  private static var boxWidth: Int { 300 }
  private static var gap: Int { 48 }
  private static var headHeight: Int { 54 }
  private static var rowHeight: Int { 24 }
  /// What a box or bar shows of a long list.
  private static var maximumRows: Int { 40 }

  private let overview: Overview
  /// Those with a tree, then those that are only spoken of.
  private var names: [String]
  private var boxHeight = 0
  private var body = ""

  init(_ overview: Overview) {
    self.overview = overview
    names = overview.guests.map { $0.name }
    for name in overview.links.flatMap({ [$0.owner, $0.borrower] }) + overview.loans.map({ $0.borrower }) {
      if let name, !names.contains(name) { names.append(name) }
    }
    let rows = names.map { min(rowCount($0), Self.maximumRows + 2) }.reduce(1) { max($0, $1) }
    boxHeight = Self.headHeight + rows * Self.rowHeight + 12
  }

  var text: String {
    var picture = self
    return picture.draw()
  }

  private func peripherals(_ name: String) -> [Overview.Peripheral] {
    overview.guests.first { $0.name == name }?.peripherals ?? []
  }

  private func imports(_ name: String) -> [Overview.Loan] {
    overview.loans.filter { $0.borrower == name && $0.importedAs != nil }
  }

  private func rowCount(_ name: String) -> Int {
    let imports = self.imports(name).count
    return peripherals(name).count + imports + (imports > 0 ? 1 : 0)
  }

  private func index(_ name: String?) -> Int? { name.flatMap { names.firstIndex(of: $0) } }

  private func left(_ guest: Int) -> Int { Self.margin + guest * (Self.boxWidth + Self.gap) }

  /// Which guest's colour: its head's, and a light one.
  private func colour(_ guest: Int) -> String {
    ["#28527a", "#2f6b4f", "#8a4b20", "#5d4483", "#8a2f4a", "#3f6170"][guest % 6]
  }

  private mutating func draw() -> String {
    let links = overview.links
    let width = max(1, names.count) * (Self.boxWidth + Self.gap) - Self.gap + 2 * Self.margin
    let top = Self.margin
    var y = top + boxHeight + 36
    var bars: [(link: Overview.Link, loans: [Overview.Loan], y: Int, height: Int)] = []
    for link in links {
      let loans = self.loans(of: link)
      let height = 52 + min(loans.count, Self.maximumRows) * 34
      bars.append((link, loans, y, height))
      y += height + 20
    }
    let height = bars.isEmpty ? top + boxHeight + Self.margin : y - 20 + Self.margin

    // Lines first, so that bars that they pass lie over them.
    var drawn = [Int](repeating: 0, count: names.count)
    let degrees = names.indices.map { guest in links.filter { index($0.owner) == guest || index($0.borrower) == guest }.count }
    var ends: [(owner: Int?, borrower: Int?)] = []
    for bar in bars {
      func connect(_ name: String?) -> Int? {
        guard let guest = index(name) else { return nil }
        drawn[guest] += 1
        let x = left(guest) + Self.boxWidth * drawn[guest] / (degrees[guest] + 1)
        add("<path d=\"M\(x) \(top + boxHeight)V\(bar.y)\" stroke=\"\(colour(guest))\" stroke-width=\"3\" fill=\"none\"/>")
        return x
      }
      let owner = connect(bar.link.owner)
      let borrower = connect(bar.link.borrower)
      ends.append((owner, borrower))
    }
    for guest in names.indices { drawBox(guest, top) }
    for (bar, ends) in zip(bars, ends) { drawBar(bar.link, bar.loans, bar.y, bar.height, ends.owner, ends.borrower) }

    let head = """
      <svg xmlns="http://www.w3.org/2000/svg" width="\(width)" height="\(height)" viewBox="0 0 \(width) \(height)" role="img" font-family="'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif" font-size="13">
      <title>\(escaped(title))</title>
      <rect width="\(width)" height="\(height)" fill="#ffffff"/>

      """
    return "\(head)\(body)</svg>\n"
  }

  private var title: String { "Who owns, lends and reaches what: \(listed(Array(names.prefix(8))))" }

  private func loans(of link: Overview.Link) -> [Overview.Loan] {
    overview.loans.filter { loan in
      loan.link == link.name && (link.borrower ?? loan.borrower) == loan.borrower
    }
  }

  private mutating func drawBox(_ guest: Int, _ top: Int) {
    let name = names[guest]
    let known = overview.guests.first { $0.name == name }
    let x = left(guest)
    let dash = known == nil ? " stroke-dasharray=\"6 4\"" : ""
    add(
      "<rect x=\"\(x)\" y=\"\(top)\" width=\"\(Self.boxWidth)\" height=\"\(boxHeight)\" rx=\"8\" fill=\"#fbfcfd\" stroke=\"\(colour(guest))\" stroke-width=\"1.5\"\(dash)/>"
    )
    add(
      "<path d=\"M\(x) \(top + Self.headHeight)V\(top + 8)a8 8 0 0 1 8 -8H\(x + Self.boxWidth - 8)a8 8 0 0 1 8 8V\(top + Self.headHeight)Z\" fill=\"\(colour(guest))\"/>"
    )
    write(name, x + 14, top + 23, 30, "font-size=\"16\" font-weight=\"bold\" fill=\"#ffffff\"")
    let memory = known.map { $0.memory.isEmpty ? "no memory" : memoryText($0.memory) } ?? "no tree"
    write(memory, x + 14, top + 43, 44, "font-size=\"12\" fill=\"#e8eef4\"")

    var y = top + Self.headHeight + Self.rowHeight - 2
    let all = peripherals(name)
    for peripheral in all.prefix(Self.maximumRows) {
      let isLent = overview.loans.contains { loan in
        loan.device == peripheral.path && loan.owner == name
      }
      write(
        peripheral.name, x + 14, y, isLent ? 18 : 24,
        isLent ? "font-weight=\"bold\" fill=\"\(colour(guest))\"" : "fill=\"#1f2933\"")
      if isLent { tag("lent", x + Self.boxWidth - 130, y, colour(guest)) }
      write(
        hexadecimal(peripheral.range.address), x + Self.boxWidth - 14, y, 20,
        "text-anchor=\"end\" font-size=\"12\" font-family=\"'DejaVu Sans Mono', Menlo, Consolas, monospace\" fill=\"#52606d\"")
      y += Self.rowHeight
    }
    if all.count > Self.maximumRows {
      write("and \(all.count - Self.maximumRows) more", x + 14, y, 40, "fill=\"#52606d\" font-style=\"italic\"")
      y += Self.rowHeight
    }
    let borrowed = imports(name)
    if !borrowed.isEmpty {
      add(
        "<path d=\"M\(x + 14) \(y - 6)H\(x + Self.boxWidth - 14)\" stroke=\"#9aa5b1\" stroke-dasharray=\"3 3\" fill=\"none\"/>")
      y += Self.rowHeight - 8
    }
    for loan in borrowed.prefix(max(1, Self.maximumRows - all.count)) {
      write(loan.importedAs ?? loan.name, x + 14, y, 18, "font-style=\"italic\" fill=\"#1f2933\"")
      let owner = loan.owner.flatMap { index($0) }
      write(
        loan.owner.map { "from \($0)" } ?? "exported by nobody", x + Self.boxWidth - 14, y, 24,
        "text-anchor=\"end\" font-size=\"12\" fill=\"\(owner.map { colour($0) } ?? "#b42318")\"")
      y += Self.rowHeight
    }
  }

  private mutating func drawBar(
    _ link: Overview.Link, _ loans: [Overview.Loan], _ y: Int, _ height: Int, _ owner: Int?, _ borrower: Int?
  ) {
    let guests = [index(link.owner), index(link.borrower)].compactMap { $0 }
    guard let first = guests.min(), let last = guests.max() else { return }
    let x = left(first)
    let right = left(last) + Self.boxWidth
    add(
      "<rect x=\"\(x)\" y=\"\(y)\" width=\"\(right - x)\" height=\"\(height)\" rx=\"8\" fill=\"#eef1f4\" stroke=\"#9aa5b1\"/>")
    let middle = (x + right) / 2
    write(
      "\(link.name): \(link.region)", middle, y + 21, 60, "text-anchor=\"middle\" font-weight=\"bold\" fill=\"#1f2933\"")
    write(
      "\(link.doorbell), \(link.channels) \(link.channels == 1 ? "channel" : "channels")", middle, y + 39, 60,
      "text-anchor=\"middle\" font-size=\"12\" fill=\"#52606d\"")
    guard let owner, let borrower, let ownerIndex = index(link.owner) else { return }
    var row = y + 70
    for loan in loans.prefix(Self.maximumRows) {
      let isWhole = loan.owner != nil && loan.importedAs != nil
      let colour = isWhole ? self.colour(ownerIndex) : "#b42318"
      let head = borrower > owner ? -9 : 9
      let dash = isWhole ? "" : " stroke-dasharray=\"5 4\""
      add("<circle cx=\"\(owner)\" cy=\"\(row)\" r=\"4\" fill=\"\(colour)\"/>")
      add("<path d=\"M\(owner) \(row)H\(borrower + head)\" stroke=\"\(colour)\" stroke-width=\"2\" fill=\"none\"\(dash)/>")
      add("<path d=\"M\(borrower) \(row)l\(head) -5v10Z\" fill=\"\(colour)\"/>")
      let name = loan.importedAs.map { $0 == loan.name ? $0 : "\(loan.name) as \($0)" } ?? loan.name
      let what = loan.owner == nil ? "not exported" : loan.importedAs == nil ? "\(loan.access), not imported" : loan.access
      write(
        "\(name) (\(loan.type), \(what))", (owner + borrower) / 2, row - 7, 52,
        "text-anchor=\"middle\" font-size=\"12\" fill=\"\(colour)\"")
      row += 34
    }
  }

  private mutating func tag(_ text: String, _ x: Int, _ y: Int, _ colour: String) {
    add("<rect x=\"\(x - 18)\" y=\"\(y - 13)\" width=\"36\" height=\"17\" rx=\"8\" fill=\"\(colour)\"/>")
    write(text, x, y - 1, 8, "text-anchor=\"middle\" font-size=\"11\" fill=\"#ffffff\"")
  }

  /// At most so many characters, with dots for what is left out.
  private mutating func write(_ text: String, _ x: Int, _ y: Int, _ limit: Int, _ style: String) {
    let text = printable(text)
    let shown = text.count <= limit ? escaped(text) : "\(escaped(String(text.prefix(limit - 1))))\u{2026}"
    add("<text x=\"\(x)\" y=\"\(y)\" \(style)>\(shown)</text>")
  }

  private mutating func add(_ line: String) { body += "\(line)\n" }

  private func memoryText(_ ranges: [AddressRange]) -> String {
    let first = ranges[0]
    let rest = ranges.count > 1 ? " and \(ranges.count - 1) more" : ""
    return "memory \(hexadecimal(first.address)), \(sizeText(first.size))\(rest)"
  }
}

/// Text for XML: names are a tree's, and may be anything. What isn't printable is '?'.
private func escaped(_ text: String) -> String {
  let names: [Character: String] = ["&": "&amp;", "<": "&lt;", ">": "&gt;", "\"": "&quot;", "'": "&#39;"]
  return printable(text).map { names[$0] ?? String($0) }.joined()
}
