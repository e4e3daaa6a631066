import DeviceTree
import Foundation
import TestSupport
import Testing

@testable import Partition

@Suite("What a guestbroker node says", .enabled(if: hasCompiler, "needs dtc"))
struct ReadingTests {
  /// The example's guest1 or guest2 with something replaced.
  private func blob(_ name: String, _ changes: [(String, String)]) throws -> [UInt8] {
    Array(try compile(exampleSource(name, changes)).blob)
  }

  private func partition(_ name: String, _ changes: [(String, String)]) throws -> Partition {
    try Partition(try DeviceTree(blob: blob(name, changes)))
  }

  /// What is wrong with it; nil when nothing is, or when it is no partition's error.
  private func sentence(_ name: String, _ changes: [(String, String)]) -> String? {
    do {
      _ = try partition(name, changes)
      return nil
    } catch {
      return (error as? PartitionError)?.text
    }
  }

  struct Case: Sendable, CustomTestStringConvertible {
    var guest: String
    var old: String
    var new: String
    var sentence: String
    var testDescription: String { sentence }
  }

  private static let link = "/guestbroker/links/guest2"
  private static let export = "/guestbroker/exports/uart2"
  private static let memory = "/reserved-memory/guestbroker@8f000000"

  static let cases: [Case] = [
    (
      "guest1", "compatible = \"guestbroker,guest-v1\";", "",
      "no node is compatible with \"guestbroker,guest-v1\"; add one to this guest's device tree"
    ),
    ("guest1", "guest-name = \"guest1\";", "", "/guestbroker: property guest-name is missing; it should be this guest's name"),
    (
      "guest1", "guest-name = \"guest1\";", "guest-name = \"a guest\";",
      "/guestbroker: 'a guest' is no name; use 1 to 31 letters, digits and ,._+-"
    ),
    (
      "guest1", "guest-name = \"guest1\";", "guest-name = \"\";",
      "/guestbroker: '' is no name; use 1 to 31 letters, digits and ,._+-"
    ),
    (
      "guest1", "guest-name = \"guest1\";", "guest-name = \"abcdefghijklmnopqrstuvwxyz012345\";",
      "/guestbroker: 'abcdefghijklmnopqrstuvwxyz012345' is no name; use 1 to 31 letters, digits and ,._+-"
    ),
    (
      "guest1", "memory-region = <&g1g2>;", "memory-region = <&g1g2>; pci-address = \"0000:00:06.0\";",
      "\(link): property pci-address should be an ivshmem device's place on the PCI bus, as \"0000:00:06.0\", without a memory-region beside it"
    ),
    (
      "guest1", "memory-region = <&g1g2>;", "pci-address = \"../../../../x\";",
      "\(link): property pci-address should be an ivshmem device's place on the PCI bus, as \"0000:00:06.0\", without a memory-region beside it"
    ),
    ("guest1", "compatible = \"guestbroker,link-v1\";", "", "\(link): property compatible should be \"guestbroker,link-v1\""),
    (
      "guest1", "peer-name = \"guest2\";", "",
      "\(link): property peer-name is missing; it should be the name of the guest at the other end"
    ),
    ("guest1", "role = \"owner\";", "", "\(link): property role is missing; it should be \"owner\" or \"borrower\""),
    ("guest1", "role = \"owner\";", "role = \"master\";", "\(link): property role should be \"owner\" or \"borrower\""),
    (
      "guest1", "memory-region = <&g1g2>;", "",
      "\(link): property memory-region is missing; it should be a phandle of the shared memory's node"
    ),
    (
      "guest1", "memory-region = <&g1g2>;", "memory-region = <0x99>;",
      "\(link): property memory-region refers to nothing; it should be a phandle of the shared memory's node"
    ),
    ("guest1", "reg = <0x8f000000 0x100000>;", "", "\(memory): property reg should be the region's address and size"),
    (
      "guest1", "reg = <0x8f000000 0x100000>;", "reg = <0x8f000800 0x100000>;",
      "\(memory): property reg should be whole pages of 4096 bytes, and at least one"
    ),
    (
      "guest1", "reg = <0x8f000000 0x100000>;", "reg = <0x8f000000 0>;",
      "\(memory): property reg should be whole pages of 4096 bytes, and at least one"
    ),
    (
      "guest1", "guestbroker,id = \"g1g2\";", "guestbroker,id = \"sixteen-letters-\";",
      "\(memory): property guestbroker,id should be a name of at most 15 characters"
    ),
    ("guest1", "channels = <4>;", "channels = <0>;", "\(link): property channels should be one cell from 1 to 8"),
    ("guest1", "channels = <4>;", "channels = <9>;", "\(link): property channels should be one cell from 1 to 8"),
    ("guest1", "channels = <4>;", "channels = \"four\";", "\(link): property channels should be one cell from 1 to 8"),
    (
      "guest1", "poll-interval-us = <200>;", "poll-interval-us = <0xffffffff>;",
      "\(link): property poll-interval-us should be one cell from 10 to 1000000"
    ),
    (
      "guest1", "doorbell = \"poll\";", "doorbell = \"bell\";",
      "\(link): property doorbell should be \"futex\", \"poll\", \"uio\" (with a memory-region) or \"ivshmem\" (with a pci-address)"
    ),
    (
      "guest1", "doorbell = \"poll\";", "doorbell = \"ivshmem\";",
      "\(link): property doorbell should be \"futex\", \"poll\", \"uio\" (with a memory-region) or \"ivshmem\" (with a pci-address)"
    ),
    (
      "guest1", "doorbell = \"poll\";", "doorbell = \"uio\"; doorbell-write = <2 1>;",
      "\(link): property doorbell-write should be an offset below 16 MiB, a multiple of 4, and a value: two cells"
    ),
    (
      "guest1", "doorbell = \"poll\";", "doorbell = \"poll\"; doorbell-write = <0 1>;",
      "\(link): property doorbell-write should be absent, as doorbell is not \"uio\""
    ),
    (
      "guest1", "channels = <4>;", "channels = <4>; mapping = \"fast\";",
      "\(link): property mapping should be \"cached\", \"write-combined\" or \"device\""
    ),
    (
      "guest1", "class = \"uart\";", "",
      "\(export): property class is missing; it should be \"uart\", \"i2c\", \"spi\" or \"gpio\""
    ),
    ("guest1", "device = <&uart2>;", "", "\(export): property device is missing; it should be a phandle of the device's node"),
    (
      "guest1", "device = <&uart2>;", "device = <0x99>;",
      "\(export): property device refers to nothing; it should be a phandle of the device's node"
    ),
    (
      "guest1", "interrupts = <0 7 4>;", "interrupts = <0 7 4>; status = \"reserved\";",
      "export uart2: its device /bus@40000000/motherboard-bus@40000000/iofpga@7,00000000/uart@b000, or a bus above it, is not okay in this tree, so it is not this guest's to share; set status = \"okay\" or drop the export"
    ),
    (
      "guest1", "\tbus@40000000 {", "\tbus@40000000 { status = \"disabled\";",
      "export uart2: its device /bus@40000000/motherboard-bus@40000000/iofpga@7,00000000/uart@b000, or a bus above it, is not okay in this tree, so it is not this guest's to share; set status = \"okay\" or drop the export"
    ),
    (
      "guest1", "guest-name = \"guest1\";", "guest-name = \"guest1\"; status = \"disabled\";",
      "no node is compatible with \"guestbroker,guest-v1\"; add one to this guest's device tree"
    ),
    (
      "guest1", "clients = \"guest2\";", "",
      "\(export): property clients is missing; it should be the names of the guests that may use it"
    ),
    (
      "guest1", "clients = \"guest2\";", "clients = <1>;",
      "\(export): property clients should be the names of the guests that may use it"
    ),
    ("guest1", "access = \"rw\";", "access = \"all\";", "\(export): property access should be \"rw\", \"ro\" or \"wo\""),
    (
      "guest1", "max-baud = <1000000>;", "max-baud = <0>;",
      "\(export): property max-baud should be one cell from 1 to 2147483647"
    ),
    (
      "guest2", "link = <&guest1>;", "",
      "/guestbroker/imports/uart2: property link is missing; it should be a phandle of one of this guest's link nodes"
    ),
    (
      "guest2", "link = <&guest1>;", "link = <&g1g2>;",
      "/guestbroker/imports/uart2: property link refers to nothing; it should be a phandle of one of this guest's link nodes"
    ),
    (
      "guest2", "role = \"borrower\";", "role = \"owner\";",
      "/guestbroker/imports/uart2: property link should be a phandle of a link whose role is \"borrower\""
    ),
    (
      "guest1", "guest-name = \"guest1\";", "guest-name = <1>;", "/guestbroker: property guest-name should be this guest's name"
    ),
    (
      "guest1", "peer-name = \"guest2\";", "peer-name = \"guest/2\";",
      "\(link): 'guest/2' is no name; use 1 to 31 letters, digits and ,._+-"
    ),
    ("guest1", "role = \"owner\";", "role = <1>;", "\(link): property role should be \"owner\" or \"borrower\""),
    (
      "guest1", "memory-region = <&g1g2>;", "memory-region = <&g1g2 0>;",
      "\(link): property memory-region refers to nothing; it should be a phandle of the shared memory's node"
    ),
    (
      "guest1", "memory-region = <&g1g2>;", "memory-region = <&uart2>, <&uart2>;",
      "\(link): property memory-region refers to nothing; it should be a phandle of the shared memory's node"
    ),
    (
      "guest1", "reg = <0x8f000000 0x100000>;", "reg = <0x8f000000 0x100800>;",
      "\(memory): property reg should be whole pages of 4096 bytes, and at least one"
    ),
    (
      "guest1", "reg = <0x8f000000 0x100000>;", "reg = <0x8f000000>;",
      "\(memory): property reg should be the region's address and size"
    ),
    ("guest1", "reg = <0x8f000000 0x100000>;", "reg;", "\(memory): property reg should be the region's address and size"),
    (
      "guest1", "guestbroker,id = \"g1g2\";", "guestbroker,id = <1>;",
      "\(memory): property guestbroker,id should be a name of at most 15 characters"
    ),
    (
      "guest1", "guestbroker,id = \"g1g2\";", "guestbroker,id = \"../g1g2\";",
      "\(memory): '../g1g2' is no name; use 1 to 31 letters, digits and ,._+-"
    ),
    (
      "guest1", "guestbroker,id = \"g1g2\";", "xen,id = \"sixteen-letters-\";",
      "\(memory): property xen,id should be a name of at most 15 characters"
    ),
    ("guest1", "channels = <4>;", "channels = <4 4>;", "\(link): property channels should be one cell from 1 to 8"),
    (
      "guest1", "poll-interval-us = <200>;", "poll-interval-us = <9>;",
      "\(link): property poll-interval-us should be one cell from 10 to 1000000"
    ),
    (
      "guest1", "doorbell = \"poll\";", "doorbell = <1>;",
      "\(link): property doorbell should be \"futex\", \"poll\", \"uio\" (with a memory-region) or \"ivshmem\" (with a pci-address)"
    ),
    (
      "guest1", "\t\t\tuart2 {", "\t\t\tuart@2 {",
      "/guestbroker/exports/uart@2: 'uart@2' is no name; use 1 to 31 letters, digits and ,._+-"
    ),
    (
      "guest1", "class = \"uart\";", "class = <1>;",
      "\(export): property class should be \"uart\", \"i2c\", \"spi\" or \"gpio\""
    ),
    (
      "guest1", "device = <&uart2>;", "device = \"uart2\";",
      "\(export): property device refers to nothing; it should be a phandle of the device's node"
    ),
    (
      "guest1", "clients = \"guest2\";", "clients = \"guest2\", \"\";",
      "\(export): '' is no name; use 1 to 31 letters, digits and ,._+-"
    ),
    ("guest1", "access = \"rw\";", "access = <1>;", "\(export): property access should be \"rw\", \"ro\" or \"wo\""),
    (
      "guest1", "max-baud = <1000000>;", "max-baud = <0x80000000>;",
      "\(export): property max-baud should be one cell from 1 to 2147483647"
    ),
    (
      "guest2", "class = \"uart\";", "",
      "/guestbroker/imports/uart2: property class is missing; it should be \"uart\", \"i2c\", \"spi\" or \"gpio\""
    ),
    (
      "guest2", "\t\t\tuart2 {", "\t\t\tuart@2 {",
      "/guestbroker/imports/uart@2: 'uart@2' is no name; use 1 to 31 letters, digits and ,._+-"
    ),
    (
      "guest2", "link = <&guest1>;", "link = \"guest1\";",
      "/guestbroker/imports/uart2: property link refers to nothing; it should be a phandle of one of this guest's link nodes"
    ),
    (
      "guest2", "link = <&guest1>;", "link = <&guest1>; remote-name = \"a b\";",
      "/guestbroker/imports/uart2: 'a b' is no name; use 1 to 31 letters, digits and ,._+-"
    ),
    (
      "guest2", "link = <&guest1>;", "link = <&guest1>; remote-name;",
      "/guestbroker/imports/uart2: property remote-name should be the export's name at its owner"
    ),
  ].map { Case(guest: $0.0, old: $0.1, new: $0.2, sentence: $0.3) }

  @Test("Each mistake names its node, its property and the remedy", arguments: cases)
  func mistake(_ mistake: Case) throws {
    do {
      _ = try partition(mistake.guest, [(mistake.old, mistake.new)])
      Issue.record("nothing was wrong with it")
    } catch let error as PartitionError {
      #expect(error.text == mistake.sentence)
    }
  }

  @Test("Two links of one name are refused")
  func duplicate() throws {
    let second = """
      	links {
      		again { compatible = "guestbroker,link-v1"; peer-name = "guest3"; role = "owner"; memory-region = <&g1g2>; };
      """
    do {
      _ = try partition("guest1", [("\tlinks {", second)])
      Issue.record("nothing was wrong with it")
    } catch let error as PartitionError {
      #expect(error.text == "two links are called g1g2; rename one")
    }
  }

  @Test("A region whose end is beyond 64 bits is refused")
  func regionEnd() throws {
    let changes = [
      ("reg = <0x8f000000 0x100000>;", "reg = <0xffffffff 0xfffff000 0x1000>;"),
      ("reserved-memory {\n\t\t#address-cells = <1>;", "reserved-memory {\n\t\t#address-cells = <2>;"),
    ]
    #expect(
      sentence("guest1", changes) == "\(Self.memory): property reg should be whole pages of 4096 bytes, and at least one")
  }

  @Test("A link's node that is to be its name needs to be one, but may have an address")
  func linkName() throws {
    let noID = ("guestbroker,id = \"g1g2\";", "")
    let named = try partition("guest1", [noID, ("\t\t\tguest2 {", "\t\t\tlink@8f000000 {")])
    #expect(named.links[0].name == "link@8f000000")
    let long = String(repeating: "a", count: 32)
    let error = sentence("guest1", [noID, ("\t\t\tguest2 {", "\t\t\t\(long) {")])
    #expect(error == "/guestbroker/links/\(long): '\(long)' is no name; use 1 to 31 letters, digits and ,._+-")
    #expect(try partition("guest1", [("\t\t\tguest2 {", "\t\t\t\(long) {")]).links[0].name == "g1g2")
  }

  @Test("Two exports or two imports of one name are refused", arguments: [("guest1", "exports"), ("guest2", "imports")])
  func duplicates(name: String, what: String) throws {
    // dtc would not let two nodes have one name: it sees another name, which is then changed in the blob.
    let node =
      name == "guest1"
      ? "class = \"uart\"; device = <&uart2>; clients = \"guest2\";" : "class = \"uart\"; link = <&guest1>;"
    var blob = try blob(name, [("\t\(what) {", "\t\(what) { uart9 { \(node) };")])
    let wanted = Array("uart9".utf8)
    let place = try #require((0..<blob.count - wanted.count).first { blob[$0..<$0 + wanted.count].elementsEqual(wanted) })
    blob[place + 4] = 0x32
    do {
      _ = try DeviceTree(blob: blob)
      Issue.record("nothing was wrong with it")
    } catch {
      guard case .duplicate(_, "/guestbroker/\(what)") = error else {
        Issue.record("\(error)")
        return
      }
    }
  }

  @Test(
    "As many links, exports and imports as the Spec allows are taken, and not one more",
    arguments: [("guest1", "links", 64), ("guest1", "exports", 256), ("guest2", "imports", 256)])
  func limits(name: String, what: String, limit: Int) throws {
    func changes(_ count: Int) -> [(String, String)] {
      let node =
        switch what {
        case "links":
          "compatible = \"guestbroker,link-v1\"; peer-name = \"guest2\"; role = \"owner\"; memory-region = <&g1g2>;"
        case "exports": "class = \"uart\"; device = <&uart2>; clients = \"guest2\";"
        default: "class = \"uart\"; link = <&guest1>;"
        }
      let nodes = (0..<count - 1).map { "another\($0) { \(node) };" }.joined(separator: "\n")
      return [("guestbroker,id = \"g1g2\";", ""), ("\t\(what) {", "\t\(what) {\n\(nodes)")]
    }
    let most = try partition(name, changes(limit))
    #expect([most.links.count, most.exports.count, most.imports.count].max() == limit)
    #expect(sentence(name, changes(limit + 1)) == "the guestbroker node has more than \(limit) \(what); drop some")
  }

  @Test("The whole board has no guestbroker node")
  func wholeBoard() throws {
    #expect(sentence("system", []) == PartitionError.noGuestNode.text)
  }

  @Test("An import of an unknown class is left out with a note, and one that is not okay without")
  func importsLeftOut() throws {
    let unknown = try partition("guest2", [("class = \"uart\";", "class = \"can\";")])
    #expect(unknown.imports.isEmpty && unknown.links.count == 1)
    #expect(unknown.notes == ["/guestbroker/imports/uart2 is left out: this version does not know class \"can\""])
    let disabled = try partition("guest2", [("class = \"uart\";", "status = \"disabled\";")])
    #expect(disabled.imports.isEmpty && disabled.notes.isEmpty)
  }

  @Test("An import of a link that is not okay refers to nothing")
  func linkLeftOut() throws {
    let error = sentence("guest2", [("role = \"borrower\";", "role = \"borrower\"; status = \"disabled\";")])
    #expect(
      error
        == "/guestbroker/imports/uart2: property link refers to nothing; it should be a phandle of one of this guest's link nodes"
    )
  }

  @Test("An import has its owner's name for it, if that is another")
  func remoteName() throws {
    let partition = try partition("guest2", [("link = <&guest1>;", "link = <&guest1>; remote-name = \"console\";")])
    #expect(partition.imports[0].name == "uart2" && partition.imports[0].remoteName == "console")
  }

  @Test("Nodes that are not okay, and classes that this version doesn't know, are left out; the latter with a note")
  func leftOut() throws {
    let disabled = try partition("guest1", [("class = \"uart\";", "class = \"uart\"; status = \"disabled\";")])
    #expect(disabled.exports.isEmpty && disabled.notes.isEmpty)
    let unknown = try partition("guest1", [("class = \"uart\";", "class = \"can\";")])
    #expect(unknown.exports.isEmpty)
    #expect(unknown.notes == ["/guestbroker/exports/uart2 is left out: this version does not know class \"can\""])
  }

  @Test("Defaults: four channels, a poll of 200 µs, access rw, any speed, the export's own name")
  func defaults() throws {
    let owner = try partition(
      "guest1",
      [
        ("channels = <4>;", ""), ("doorbell = \"poll\";", ""), ("poll-interval-us = <200>;", ""), ("access = \"rw\";", ""),
        ("max-baud = <1000000>;", ""), ("guestbroker,id = \"g1g2\";", ""),
      ])
    #expect(owner.links[0].channels == 4)
    #expect(owner.links[0].doorbell == .poll && owner.links[0].pollInterval == 200)
    #expect(owner.links[0].name == "guest2")
    #expect(owner.exports[0].grant.access == [.read, .write])
    #expect(owner.exports[0].maximumBaud == nil)
  }

  @Test("A region in an ivshmem device, by its place on the PCI bus")
  func ivshmem() throws {
    let link = try partition(
      "guest2", [("memory-region = <&g1g2>;", "pci-address = \"0000:00:0a.1\"; guestbroker,id = \"x\";")]
    )
    .links[0]
    #expect(link.memory == .ivshmem("0000:00:0a.1"))
    #expect(link.name == "x")
  }

  @Test("A doorbell by interrupts says what rings it, and a link how its memory is mapped")
  func interrupts() throws {
    let uio = try partition(
      "guest1", [("doorbell = \"poll\";", "doorbell = \"uio\"; doorbell-write = <0x10 0xffffffff>; mapping = \"device\";")])
    #expect(uio.links[0].doorbell == .uio(ring: Link.RegisterWrite(offset: 16, value: .max)))
    #expect(uio.links[0].mapping == .device)
    let ivshmem = try partition(
      "guest2",
      [
        ("memory-region = <&g1g2>;", "pci-address = \"0000:00:0a.1\"; mapping = \"write-combined\";"),
        ("doorbell = \"poll\";", "doorbell = \"ivshmem\";"),
      ])
    #expect(ivshmem.links[0].doorbell == .ivshmem && ivshmem.links[0].mapping == .writeCombined)
  }

  @Test("A futex doorbell, an access of one kind, several clients, a Xen region's id")
  func others() throws {
    let owner = try partition(
      "guest1",
      [
        ("doorbell = \"poll\";", "doorbell = \"futex\";"), ("access = \"rw\";", "access = \"wo\";"),
        ("clients = \"guest2\";", "clients = \"guest2\", \"guest3\";"), ("guestbroker,id = \"g1g2\";", "xen,id = \"shared\";"),
      ])
    #expect(owner.links[0].doorbell == .futex)
    #expect(owner.links[0].name == "shared")
    #expect(owner.exports[0].grant.access == .write)
    #expect(owner.exports[0].grant.clients == ["guest2", "guest3"])
  }
}

@Suite("Damaged partitions")
struct DamageTests {
  @Test("Any damage to the example is an error, or a partition that makes sense")
  func fuzz() {
    var generator = SeededGenerator("partition fuzz")
    func random(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &generator) }
    for blob in [builtInGuest1, builtInGuest2] {
      var taken = 0
      for _ in 0..<10_000 {
        var damaged = blob
        for _ in 0...random(6) {
          if random(4) > 0 {
            damaged[random(damaged.count)] = UInt8(random(256))
          } else {
            let word: UInt32 = [0, 1, 2, 3, 4, 9, 0x7fff_ffff, 0x8000_0000, 0xffff_fffc, .max][random(10)]
            let offset = random(damaged.count / 4) * 4
            for place in 0..<4 { damaged[offset + place] = UInt8(truncatingIfNeeded: word >> (24 - 8 * place)) }
          }
        }
        guard let tree = try? DeviceTree(blob: damaged), let partition = try? Partition(tree) else { continue }
        taken += 1
        for export in partition.exports { #expect(export.grant.clients.allSatisfy { (1...31).contains($0.utf8.count) }) }
        for item in partition.imports { #expect(partition.links[item.link].role == .borrower) }
        for link in partition.links {
          #expect((1...8).contains(link.channels))
          if case .physical(let range, _) = link.memory { #expect(range.size > 0) }
        }
      }
      #expect(taken > 50)
    }
  }
}
