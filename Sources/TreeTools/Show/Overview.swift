import BrokerProtocol
import DeviceTree
import Text
import Partition

/// What guests' trees say together: who owns, lends and reaches what.
public struct Overview: Sendable {
  public var guests: [Guest] = []
  /// Each link once, though both its ends say it.
  public var links: [Link] = []
  public var loans: [Loan] = []

  public struct Guest: Sendable {
    public var name: String
    /// The tree, as the caller calls it.
    public var file: String
    public var memory: [AddressRange]
    /// Its okay peripherals with addresses, in the order of the tree.
    public var peripherals: [Peripheral]
    /// What the tree says and this version leaves out, or what is wrong with it.
    public var notes: [String]
  }

  public struct Peripheral: Sendable {
    /// The alias, or the node's name without its unit address.
    public var name: String
    public var path: String
    public var range: AddressRange
    public var interrupts: [UInt32]
  }

  public struct Link: Sendable {
    public var name: String
    /// Guests' names; nil when no tree says it.
    public var owner: String?
    public var borrower: String?
    /// Where the region is, in the first guest that says it: "0x8f000000, 1 MiB".
    public var region: String
    /// "poll every 200 us"
    public var doorbell: String
    public var channels: Int
  }

  /// A peripheral that one guest lends and another may use.
  public struct Loan: Sendable {
    public var name: String
    public var type: String
    public var access: String
    /// nil when no tree exports it.
    public var owner: String?
    public var borrower: String
    /// What the borrower calls it; nil when it doesn't import it.
    public var importedAs: String?
    public var link: String?
    /// The device's node; nil when the owner's tree isn't there.
    public var device: String?
  }

  /// - Parameter trees: What the caller calls each, and it.
  public init(_ trees: [(file: String, tree: DeviceTree)]) {
    var partitions: [(name: String, partition: Partition)] = []
    for (file, tree) in trees {
      var guest = Guest(name: file, file: file, memory: [], peripherals: [], notes: [])
      do throws(SystemTreeError) {
        try SystemTree.checkSize(tree)
      } catch {
        guest.notes = [error.text]
        guests.append(guest)
        continue
      }
      guest.memory = tree.memory
      guest.peripherals = Self.peripherals(tree)
      do throws(PartitionError) {
        let partition = try Partition(tree)
        guest.name = partition.guestName
        guest.notes = partition.notes
        partitions.append((partition.guestName, partition))
      } catch {
        guest.notes = [error.text]
      }
      guests.append(guest)
    }
    for (name, partition) in partitions { for link in partition.links { add(link, of: name) } }
    for (name, partition) in partitions { for export in partition.exports { add(export, of: name, partition) } }
    for (name, partition) in partitions { for wanted in partition.imports { add(wanted, of: name, partition) } }
  }

  private static func peripherals(_ tree: DeviceTree) -> [Peripheral] {
    let phandles = PhandleTable(tree)
    var aliases: [Int: String] = [:]
    for alias in tree.aliases { if let node = alias.node { aliases[node.place] = alias.name } }
    var found: [Peripheral] = []
    /// What is a part of a peripheral that was found.
    var isPart = [Bool](repeating: false, count: tree.nodeCount)
    for place in 1..<max(1, tree.nodeCount) {
      let node = tree.node(place: place)
      guard node.property("reg") != nil, node.property("compatible") != nil, node.isReachable, !node.isInterruptController,
        let range = node.physicalRanges?.first(where: { $0.size > 0 })
      else { continue }
      if node.parent?.parent == nil, node.property("device_type")?.string == "memory" { continue }
      if let parent = node.parent, parent.parent?.parent == nil, parent.name == "reserved-memory" { continue }
      if let parent = node.parent, isPart[parent.place], let whole = parent.physicalRanges,
        whole.contains(where: { $0.contains(range) })
      {
        isPart[place] = true
        continue
      }
      isPart[place] = true
      let name = aliases[place] ?? node.name.before("@")
      let interrupts = (try? node.interrupts(phandles)) ?? []
      found.append(
        Peripheral(name: name, path: node.path, range: range, interrupts: interrupts.compactMap { $0.hardwareLine?.line }))
    }
    return found
  }

  private mutating func add(_ link: PartitionLink, of guest: String) {
    let isOwner = link.role == .owner
    if let index = links.firstIndex(where: {
      let (near, far) = isOwner ? ($0.owner, $0.borrower) : ($0.borrower, $0.owner)
      return $0.name == link.name && (far ?? link.peerName) == link.peerName && (near ?? guest) == guest
    }) {
      if isOwner { links[index].owner = guest } else { links[index].borrower = guest }
      return
    }
    links.append(
      Link(
        name: link.name, owner: isOwner ? guest : link.peerName, borrower: isOwner ? link.peerName : guest,
        region: link.memory.text, doorbell: link.doorbellText, channels: link.channels))
  }

  private mutating func add(_ export: Export, of guest: String, _ partition: Partition) {
    // On a bus each address or chip select has a grant of its own.
    let grants = export.elements.isEmpty ? [export.grant] : export.elements.map { $0.grant }
    var seen: Set<String> = []
    for client in grants.flatMap({ $0.clients }) where seen.insert(client).inserted {
      let accesses = grants.filter { $0.clients.contains(client) }.map { $0.access }
      let access = accesses.allSatisfy { $0 == accesses[0] } ? accesses[0].name : "rw and less"
      let link = partition.links.first { $0.role == .owner && $0.peerName == client }
      loans.append(
        Loan(
          name: export.name, type: export.peripheralClass.name, access: access, owner: guest, borrower: client,
          importedAs: nil, link: link?.name, device: export.devicePath))
    }
  }

  private mutating func add(_ wanted: Import, of guest: String, _ partition: Partition) {
    guard partition.links.indices.contains(wanted.link) else { return }
    let link = partition.links[wanted.link]
    if let index = loans.firstIndex(where: {
      $0.name == wanted.remoteName && $0.borrower == guest && $0.owner == link.peerName
    }) {
      loans[index].importedAs = wanted.name
      return
    }
    loans.append(
      Loan(
        name: wanted.remoteName, type: wanted.peripheralClass.name, access: "", owner: nil, borrower: guest,
        importedAs: wanted.name,
        link: link.name, device: nil))
  }
}

/// `Overview.Link` hides it.
typealias PartitionLink = Link

extension Link.Memory {
  var text: String {
    switch self {
    case .physical(let range, _): "\(hexadecimal(range.address)), \(sizeText(range.size))"
    case .ivshmem(let address): "ivshmem at PCI \(address)"
    }
  }
}

extension PartitionLink {
  var doorbellText: String {
    switch doorbell {
    case .futex: "futex"
    case .poll: "poll every \(pollInterval) us"
    case .uio: "uio interrupt"
    case .ivshmem: "ivshmem interrupt"
    }
  }
}

/// "1 MiB", "4 KiB", "100 B"
public func sizeText(_ size: UInt64) -> String {
  for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] as [(UInt64, String)]
  where size >> shift > 0 && size % (1 << shift) == 0 {
    return "\(size >> shift) \(unit)"
  }
  return "\(size) B"
}
