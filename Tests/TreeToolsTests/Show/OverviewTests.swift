import DeviceTree
import Foundation
import TestSupport
import Testing

@testable import TreeTools

@Suite("Who has what", .enabled(if: hasCompiler, "needs dtc"))
struct OverviewTests {
  private func overview() throws -> Overview {
    Overview(try system().guestTrees().map { ("\($0.guestName).dts", try $0.tree()) })
  }

  @Test("Guests, their peripherals, each link once, and what is lent over it")
  func contents() throws {
    let overview = try overview()
    #expect(overview.guests.map(\.name) == ["guest1", "guest2"])
    #expect(overview.guests[0].peripherals.map(\.name) == ["serial0", "serial", "clock-controller", "i2c0"])
    #expect(overview.guests[0].peripherals[0].range == AddressRange(address: 0x4000_2000, size: 0x1000))
    #expect(overview.guests[0].peripherals[0].interrupts == [33])
    #expect(
      overview.links.map(\.name) == ["g1g2"] && overview.links[0].owner == "guest1" && overview.links[0].borrower == "guest2")
    #expect(overview.links[0].region == "0x90000000, 4 MiB")
    let loan = try #require(overview.loans.first)
    #expect(
      overview.loans.count == 1 && loan.name == "uart2" && loan.importedAs == "console" && loan.link == "g1g2"
        && loan.access == "rw")
  }

  @Test("One tree alone: its peer is only spoken of")
  func alone() throws {
    let one = Overview([("guest1.dts", try system().guestTrees()[0].tree())])
    #expect(one.links[0].borrower == "guest2" && one.loans[0].importedAs == nil)
    #expect(one.svg().contains("not imported") && one.svg().contains("no tree"))
    let two = Overview([("guest2.dts", try system().guestTrees()[1].tree())])
    #expect(two.loans[0].owner == nil && two.svg().contains("not exported"))
  }

  @Test("The picture is well-formed XML, whatever the names are")
  func picture() throws {
    var overview = try overview()
    #expect(isXML(overview.svg()))
    for text in ["<script>alert(1)</script>", "\"'&]]>", "\u{0}\u{1b}[2J\u{fffe}", String(repeating: "x", count: 500), ""] {
      overview.guests[0].name = text
      overview.guests[1].peripherals[0].name = text
      overview.links[0].owner = text
      overview.loans[0].name = text
      let svg = overview.svg()
      #expect(isXML(svg), "\(svg)")
      #expect(!svg.contains("<script"))
    }
    #expect(isXML(Overview([]).svg()))
  }

  private func isXML(_ text: String) -> Bool {
    // Each tag is closed, and nothing but our own tags is there.
    var open: [Substring] = []
    for part in text.split(separator: "<").dropFirst(text.hasPrefix("<") ? 0 : 1) {
      guard let end = part.firstIndex(of: ">") else { return false }
      let tag = part[..<end]
      if part[part.index(after: end)...].contains(">") { return false }
      if tag.hasPrefix("/") {
        guard open.popLast() == tag.dropFirst() else { return false }
      } else if !tag.hasSuffix("/") {
        open.append(tag.prefix { $0 != " " })
      }
    }
    return open.isEmpty && text.utf8.allSatisfy { $0 == 0x0a || $0 >= 0x20 }
      && !text.replacingOccurrences(of: "&(amp|lt|gt|quot|#39);", with: "", options: .regularExpression).contains("&")
  }
}
