import Foundation
import Linux
import Text
import TestSupport
import Testing

@testable import DeviceTree

@Suite("Flattened device trees")
struct FlattenedTests {
  @Test("Nodes and properties come out as they were written")
  func roundTrip() throws {
    let tree = try DeviceTree(blob: BlobWriter.blob(board))
    #expect(Model(tree.root) == board)
  }

  @Test("Version 16 has no size of its structure; NOPs mean nothing")
  func version16() throws {
    var writer = BlobWriter()
    writer.version = 16
    writer.token(4)
    writer.begin("")
    writer.token(4)
    writer.property("a", [1, 2, 3])
    writer.token(4)
    writer.begin("b")
    writer.token(2, 4, 2, 4, 9)
    let tree = try DeviceTree(blob: writer.blob)
    #expect(Model(tree.root) == Model("", [("a", [1, 2, 3])], [Model("b")]))
  }

  @Test("What is behind the total size is ignored, as in a padded partition")
  func padding() throws {
    #expect(Model(try DeviceTree(blob: BlobWriter.blob(board) + [UInt8](repeating: 0xff, count: 100)).root) == board)
  }

  @Test("Nodes are found by path, alias and phandle")
  func find() throws {
    let tree = try DeviceTree(blob: BlobWriter.blob(board))
    #expect(tree.node(at: "/soc/serial@1000")?.path == "/soc/serial@1000")
    #expect(tree.node(at: "serial0")?.path == "/soc/serial@1000")
    #expect(tree.node(at: "/")?.path == "/")
    #expect(tree.node(phandle: 7)?.name == "serial@1000")
    for path in ["/soc/serial@3000", "serial9", "bad", "", "/soc/serial", "serial0/none"] {
      #expect(tree.node(at: path) == nil)
    }
    for phandle: UInt32 in [0, 8, .max] { #expect(tree.node(phandle: phandle) == nil) }
  }

  @Test("Values are strings and cells only when they are whole")
  func values() {
    #expect(Property(bytes: text("a", "b")).strings == ["a", "b"])
    #expect(Property(bytes: text("a", "b")).string == nil)
    #expect(Property(bytes: text("ab")).string == "ab")
    #expect(Property(bytes: Array("ab".utf8)).string == nil)
    #expect(Property(bytes: [0x61, 0x0a, 0]).strings == nil)
    #expect(Property(bytes: []).strings == nil)
    #expect(Property(bytes: cells(1, 2)).cells == [1, 2])
    #expect(Property(bytes: cells(1, 2)).cell == nil)
    #expect(Property(bytes: [1, 2, 3]).cells == nil)
  }

  @Test("A node is okay without a status, and with okay or ok")
  func okay() throws {
    for (status, isOkay) in [
      ([("status", text("okay"))], true), ([("status", text("ok"))], true), ([], true), ([("status", text("disabled"))], false),
      ([("status", text("reserved"))], false), ([("status", [])], false),
    ] {
      let tree = try DeviceTree(blob: BlobWriter.blob(Model("", status)))
      #expect(tree.root.isOkay == isOkay)
    }
  }

  // ---- Damage --------------------------------------------------------------------------------------------------------

  private func error(_ blob: [UInt8]) -> DeviceTreeError? {
    do {
      _ = try DeviceTree(blob: blob)
      return nil
    } catch {
      return error
    }
  }

  /// The board's blob with the header word at `offset` replaced.
  private func header(_ offset: Int, _ word: UInt32) -> [UInt8] {
    var blob = BlobWriter.blob(board)
    blob.replaceSubrange(offset..<offset + 4, with: BlobWriter.bytes(word))
    return blob
  }

  @Test("Headers that lie")
  func headers() {
    #expect(error([]) == .notADeviceTree)
    #expect(error(header(0, 0xedfe_0dd0)) == .notADeviceTree)
    #expect(error(header(4, 0xffff_ffff)) == .truncated(offset: 4, path: ""))
    #expect(error(header(8, 0xffff_fffc)) == .truncated(offset: 8, path: ""))
    #expect(error(header(8, 57)) == .truncated(offset: 8, path: ""))
    #expect(error(header(12, 0xffff_ffff)) == .truncated(offset: 12, path: ""))
    #expect(error(header(32, 0xffff_ffff)) == .truncated(offset: 12, path: ""))
    #expect(error(header(36, 0xffff_ffff)) == .truncated(offset: 36, path: ""))
    #expect(error(header(16, 0xffff_fffc)) == .truncated(offset: 16, path: ""))
    #expect(error(header(20, 15)) == .unsupportedVersion(15))
    #expect(error(header(24, 18)) == .unsupportedVersion(17))
    #expect(error([UInt8](repeating: 0, count: DeviceTree.maximumSize + 1)) == .tooLarge)
  }

  @Test("A newer version that says it is compatible is read")
  func versions() {
    #expect(error(header(20, 18)) == nil)
    #expect(error(header(20, 16)) == nil)
    var blob = header(20, 20)
    blob.replaceSubrange(24..<28, with: BlobWriter.bytes(18))
    #expect(error(blob) == .unsupportedVersion(20))
  }

  @Test("Each error names the offset of what is wrong")
  func offsets() {
    /// Offset 56 is where the structure starts; the root's beginning takes 8 bytes.
    func structure(_ words: [UInt32], strings: [UInt8] = []) -> DeviceTreeError? {
      var writer = BlobWriter()
      for word in words { writer.token(word) }
      writer.strings = strings
      return error(writer.blob)
    }
    #expect(structure([]) == .truncated(offset: 56, path: "/"))
    #expect(structure([4, 4]) == .truncated(offset: 64, path: "/"))
    #expect(structure([1, 0]) == .truncated(offset: 64, path: "/"))
    #expect(structure([1, 0, 2]) == .truncated(offset: 68, path: "/"))
    #expect(structure([1, 0, 3]) == .truncated(offset: 68, path: "/"))
    #expect(structure([1, 0, 3, 0]) == .truncated(offset: 68, path: "/"))
    #expect(structure([1, 0, 3, 1, 0]) == .truncated(offset: 76, path: "/"))
    #expect(structure([1, 0, 3, 9, 0, 0, 0]) == .truncated(offset: 76, path: "/"))
    #expect(structure([1]) == .badString(offset: 60, path: "/"))
    #expect(structure([1, 0x6161_6161]) == .badString(offset: 60, path: "/"))
    // The name's offset is what is wrong, or the name where it leads to.
    #expect(structure([1, 0, 3, 0, 0, 2, 9]) == .badString(offset: 72, path: "/"))
    #expect(structure([1, 0, 3, 0, 0, 2, 9], strings: [0x61]) == .badString(offset: 72, path: "/"))
    #expect(structure([1, 0, 3, 0, 2, 2, 9], strings: [0x61, 0]) == .badString(offset: 72, path: "/"))
    #expect(structure([1, 0, 3, 0, .max, 2, 9], strings: [0x61, 0]) == .badString(offset: 72, path: "/"))
    #expect(structure([1, 0, 3, 0, 0, 2, 9], strings: [0x61, 0]) == nil)
    #expect(structure([9]) == .badToken(9, offset: 56, path: "/"))
    #expect(structure([2]) == .badToken(2, offset: 56, path: "/"))
    #expect(structure([3, 0, 0]) == .badToken(3, offset: 56, path: "/"))
    #expect(structure([1, 0, 9]) == .badToken(9, offset: 64, path: "/"))
    #expect(structure([1, 0, 5]) == .badToken(5, offset: 64, path: "/"))
    #expect(structure([1, 0, 2, 2, 9]) == .badToken(2, offset: 68, path: "/"))
    #expect(structure([1, 0, 2, 1, 0, 2, 9]) == .badToken(1, offset: 68, path: "/"))
    #expect(structure([1, 0, 2, 3, 0, 0, 9]) == .badToken(3, offset: 68, path: "/"))
    #expect(structure([1, 0, 2, .max]) == .badToken(.max, offset: 68, path: "/"))
  }

  @Test("A structure longer than version 17 says it is ends where it says")
  func shortStructure() {
    #expect(error(header(36, 8)) == .truncated(offset: 64, path: "/"))
    #expect(error(header(36, 0)) == .truncated(offset: 56, path: "/"))
  }

  @Test("Each error is a clause for behind a file's name")
  func sentences() {
    let expected: [(DeviceTreeError, String)] = [
      (.unreadable(Errno(EACCES)), "cannot be read: Permission denied"),
      (.tooLarge, "is larger than 16 MiB, which no device tree is"),
      (.notADeviceTree, "is not a flattened device tree (no 0xd00dfeed at its start); compile it with dtc"),
      (.unsupportedVersion(3), "has format version 3; versions 16 and 17 can be read"),
      (.truncated(offset: 8, path: ""), "is truncated: what offset 0x8 refers to is missing"),
      (.truncated(offset: 60, path: "/soc"), "is truncated in /soc: what offset 0x3c refers to is missing"),
      (.overlap(offset: 12), "is damaged: the block that offset 0xc names lies over another one"),
      (
        .overlay,
        "is an overlay, not a whole tree: apply it to its base with fdtoverlay (-i BASE.dtb -o WHOLE.dtb OVERLAY.dtbo) and give what comes out"
      ),
      (.duplicate(offset: 60, path: "/a"), "is damaged in /a: a second property or node of the same name at offset 0x3c"),
      (.badToken(7, offset: 56, path: "/"), "is damaged in /: unexpected token 7 at offset 0x38"),
      (
        .badString(offset: 255, path: "/a/b"),
        "is damaged in /a/b: the name at offset 0xff is outside its block, not terminated, too long or not printable"
      ),
      (.tooDeep(offset: 16, path: "/a"), "is damaged in /a: nodes nested deeper than 64 at offset 0x10"),
      (.tooDeep(offset: nil, path: "/a"), "is damaged in /a: nodes nested deeper than 64"),
    ]
    for (error, text) in expected { #expect(error.text == text) }
  }

  @Test(
    "Tokens out of place",
    arguments: [
      [9], [2], [1, 0, 9], [1, 0, 2, 2, 9], [1, 0, 2, 1, 0, 2, 9], [3, 0, 0], [1, 0, 5], [1, 0, 0xffff_ffff],
    ] as [[UInt32]])
  func tokens(words: [UInt32]) {
    var writer = BlobWriter()
    for word in words { writer.token(word) }
    guard case .badToken = error(writer.blob) else {
      Issue.record("\(String(describing: error(writer.blob)))")
      return
    }
  }

  @Test("A property behind a child node is refused: they would not stand together")
  func propertyBehindChild() {
    var writer = BlobWriter()
    writer.begin("")
    writer.begin("a")
    writer.token(2)
    let place = 56 + writer.structure.count
    writer.property("b", [])
    writer.token(2, 9)
    #expect(error(writer.blob) == .badToken(3, offset: place, path: "/"))
  }

  @Test("Sizes and names that reach beyond their block")
  func sizes() {
    for size in [UInt32(5), 0x7fff_ffff, 0xffff_ffff, 0xffff_fffc] {
      var writer = BlobWriter()
      writer.begin("")
      writer.token(3, size, 0)
      guard case .truncated = error(writer.blob) else {
        Issue.record("\(String(describing: error(writer.blob)))")
        return
      }
    }
    for name in [UInt32(1), 0x7fff_ffff, 0xffff_ffff] {
      var writer = BlobWriter()
      writer.begin("")
      writer.token(3, 0, name, 2, 9)
      guard case .badString = error(writer.blob) else {
        Issue.record("\(String(describing: error(writer.blob)))")
        return
      }
    }
    var endless = BlobWriter()
    endless.token(1, 0x6161_6161)
    guard case .badString = error(endless.blob) else {
      Issue.record("\(String(describing: error(endless.blob)))")
      return
    }
    guard case .badString = error(BlobWriter.blob(Model("", [], [Model(String(repeating: "a", count: 256))]))) else {
      Issue.record("a name of 256 bytes was taken")
      return
    }
  }

  @Test("An error names the innermost node that is known, whatever its name's bytes")
  func paths() {
    var writer = BlobWriter()
    writer.begin("")
    writer.begin("a")
    writer.token(2)
    writer.begin("soc/@1")
    writer.begin("b")
    let place = 56 + writer.structure.count
    writer.token(7)
    #expect(error(writer.blob) == .badToken(7, offset: place, path: "/soc?@1/b"))
  }

  @Test("A name's bytes are printable ASCII, wherever it ends")
  func printable() {
    for length in [1, 7, 8, 9, 17] {
      for place in 0..<length {
        for (byte, isGood) in [
          (0x20, false), (0x21, true), (0x7e, true), (0x7f, false), (0x80, false), (0xff, false), (1, false),
        ] as [(UInt8, Bool)] {
          var name = [UInt8](repeating: 0x61, count: length)
          name[place] = byte
          // A node's name with something behind it, and a property's as the last thing of the blob.
          var node = BlobWriter()
          node.token(1)
          node.structure += name + [0]
          node.pad()
          node.token(2, 9)
          #expect(error(node.blob) == (isGood ? nil : .badString(offset: 60, path: "/")))
          var property = BlobWriter()
          property.begin("")
          property.token(3, 0, 0, 2, 9)
          property.strings = name + [0]
          #expect(error(property.blob) == (isGood ? nil : .badString(offset: 72, path: "/")))
        }
      }
    }
  }

  @Test("Two properties of a name, or two children, are refused, few or many", arguments: [1, 2, 15, 16, 17, 18, 40, 3000])
  func duplicates(count: Int) throws {
    var writer = BlobWriter()
    var names = (0..<count).map { "name-\($0)" }
    writer.begin("")
    writer.begin("soc")
    for name in names { writer.property(name, [1]) }
    for name in names {
      writer.begin(name)
      writer.token(2)
    }
    writer.token(2, 2, 9)
    let good = try DeviceTree(blob: writer.blob)
    #expect(good.root.children[0].children.count == count)

    for twice in Set([0, count / 2, count - 1]) {
      var doubled = writer
      doubled.structure.removeLast(12)
      let place = 56 + doubled.structure.count
      doubled.begin(names[twice])
      doubled.token(2, 2, 2, 9)
      #expect(error(doubled.blob) == .duplicate(offset: place, path: "/soc"))
    }
    names.append(names[count / 2])
    var doubled = BlobWriter()
    doubled.begin("")
    doubled.begin("soc")
    var place = 0
    for name in names {
      place = 56 + doubled.structure.count
      doubled.property(name, [1])
    }
    doubled.token(2, 2, 9)
    #expect(error(doubled.blob) == .duplicate(offset: place, path: "/soc"))
  }

  @Test("The same name elsewhere is no duplicate, and neither is a property called as a child")
  func sameElsewhere() throws {
    let tree = Model(
      "", [("a", [])], [Model("a", [("a", [])], [Model("a", [("a", [])])]), Model("b", [("a", [])], [Model("a")])])
    #expect(Model(try DeviceTree(blob: BlobWriter.blob(tree)).root) == tree)
  }

  @Test("Names of one hash that differ are no duplicates")
  func collisions() throws {
    // Found by search: the FNV-1a hash of each pair is the same.
    let names = ["costarring", "liquid", "declinate", "macallums", "altarage", "zinke"] + (0..<20).map { "filler\($0)" }
    let tree = Model("", names.map { ($0, []) }, names.map { Model($0) })
    #expect(Model(try DeviceTree(blob: BlobWriter.blob(tree)).root) == tree)
    var twice = tree
    twice.children.append(Model("liquid"))
    guard case .duplicate = error(BlobWriter.blob(twice)) else {
      Issue.record("taken")
      return
    }
  }

  @Test("Blocks that lie over each other are refused")
  func overlaps() {
    // The reservations over the header: it has 40 bytes.
    for offset: UInt32 in [0, 8, 24] { #expect(error(header(16, offset)) == .overlap(offset: 16)) }
    var writer = BlobWriter()
    writer.begin("")
    writer.property("a", [UInt8](repeating: 0x61, count: 16))
    writer.token(2, 9)
    var blob = writer.blob
    // The strings inside the property's value.
    blob[80] = 0
    blob.replaceSubrange(12..<16, with: BlobWriter.bytes(76))
    blob.replaceSubrange(32..<36, with: BlobWriter.bytes(8))
    #expect(error(blob) == .overlap(offset: 12))
    blob.replaceSubrange(20..<24, with: BlobWriter.bytes(16))
    #expect(error(blob) == .overlap(offset: 12))
  }

  @Test("An overlay is refused; a base with labels is not")
  func overlays() throws {
    let fragment = Model("fragment@0", [("target", cells(.max))], [Model("__overlay__", [("status", text("okay"))])])
    #expect(error(BlobWriter.blob(Model("", [], [fragment]))) == .overlay)
    #expect(error(BlobWriter.blob(Model("", [], [Model("__fixups__", [("uart", text("/fragment@0:target:0"))])]))) == .overlay)
    let base = Model(
      "", [],
      [
        Model("__symbols__", [("a", text("/a"))]), Model("__local_fixups__", [], [Model("a")]),
        Model("a", [], [Model("__fixups__")]),
      ])
    #expect(Model(try DeviceTree(blob: BlobWriter.blob(base)).root) == base)
  }

  @Test("The reservation block and the boot processor are kept")
  func reservations() throws {
    var blob = BlobWriter.blob(board)
    blob.replaceSubrange(28..<32, with: BlobWriter.bytes(3))
    let block = BlobWriter.bytes(1, 0x8000_0000, 0, 0x1000, 0, 0x2000, 1, 0, 0, 0, 0, 0)
    let offset = UInt32(blob.count + 7) & ~7
    while blob.count < Int(offset) { blob.append(0) }
    blob += block
    blob.replaceSubrange(4..<8, with: BlobWriter.bytes(UInt32(blob.count)))
    blob.replaceSubrange(16..<20, with: BlobWriter.bytes(offset))
    let tree = try DeviceTree(blob: blob)
    #expect(tree.bootCPU == 3)
    #expect(
      tree.reservations == [
        AddressRange(address: 0x1_8000_0000, size: 0x1000), AddressRange(address: 0x2000, size: 0x1_0000_0000),
      ])
    blob.replaceSubrange(4..<8, with: BlobWriter.bytes(UInt32(blob.count - 8)))
    #expect(error(blob) == .truncated(offset: 16, path: ""))
  }

  @Test("Nesting is bounded")
  func deep() throws {
    var writer = BlobWriter()
    for _ in 0..<64 { writer.begin("a") }
    for _ in 0..<64 { writer.token(2) }
    writer.token(9)
    _ = try DeviceTree(blob: writer.blob)
    var deeper = BlobWriter()
    for _ in 0..<100_000 { deeper.begin("a") }
    #expect(error(deeper.blob) == .tooDeep(offset: 56 + 64 * 8, path: String(repeating: "/a", count: 63)))
  }

  @Test("A tree takes memory in proportion to its input: nothing but the smallest nodes, nothing but the smallest properties")
  func memory() throws {
    var nodes = BlobWriter()
    nodes.begin("")
    for index in 0..<50_000 {
      nodes.begin(String(index, radix: 36))
      nodes.token(2)
    }
    nodes.token(2, 9)
    var properties = BlobWriter()
    properties.begin("")
    for index in 0..<50_000 { properties.property(String(index, radix: 36), []) }
    properties.token(2, 9)
    for blob in [nodes.blob, properties.blob] {
      let tree = try DeviceTree(blob: blob)
      #expect(tree.nodes.count + tree.properties.count == 50_001)
      let size =
        tree.bytes.count + tree.nodes.capacity * MemoryLayout<NodeRecord>.stride
        + tree.properties.capacity * MemoryLayout<PropertyRecord>.stride
      #expect(size <= 16 * blob.count)
    }
  }

  @Test("Each beginning of a good blob is an error")
  func truncation() {
    let blob = BlobWriter.blob(board)
    for count in 0..<blob.count { #expect(error(Array(blob[..<count])) != nil, "\(count) bytes were taken") }
  }

  @Test("Any one word replaced by an extreme one is an error or a tree that can be walked from end to end")
  func extremes() {
    let good = BlobWriter.blob(board)
    for offset in stride(from: 0, through: good.count - 4, by: 4) {
      for word in [0, 1, 2, 3, 4, 9, 0x0100_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_fff0, 0xffff_fffc, .max] as [UInt32] {
        var blob = good
        blob.replaceSubrange(offset..<offset + 4, with: BlobWriter.bytes(word))
        for count in [blob.count, blob.count - 1, blob.count / 2] {
          guard let tree = try? DeviceTree(blob: Array(blob[..<count])) else { continue }
          walk(tree.root)
        }
      }
    }
  }

  @Test("Any damage is an error or a tree that can be walked from end to end")
  func fuzz() {
    var generator = SeededGenerator("device tree fuzz")
    let good = BlobWriter.blob(board)
    var taken = 0
    for _ in 0..<20_000 {
      var blob = good
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        if Bool.random(using: &generator) {
          blob[Int.random(in: 0..<blob.count, using: &generator)] = .random(in: 0...255, using: &generator)
        } else {
          let offset = Int.random(in: 0..<blob.count / 4, using: &generator) * 4
          let word: UInt32 =
            [0, 1, 2, 3, 4, 9, 0x7fff_ffff, 0x8000_0000, 0xffff_fffc, .max].randomElement(using: &generator) ?? 0
          blob.replaceSubrange(offset..<offset + 4, with: BlobWriter.bytes(word))
        }
      }
      guard let tree = try? DeviceTree(blob: blob) else { continue }
      taken += 1
      walk(tree.root)
      for phandle in UInt32(0)...8 { _ = tree.node(phandle: phandle)?.path }
      for path in ["serial0", "bad", "/soc/serial@1000"] { _ = tree.node(at: path) }
    }
    #expect(taken > 100)
  }

  private func walk(_ node: Node) {
    _ = node.path
    _ = node.isOkay
    _ = node.physicalRanges
    for name in node.propertyNames {
      _ = node.property(name)?.strings
      _ = node.property(name)?.cells
    }
    for child in node.children { walk(child) }
  }
}
