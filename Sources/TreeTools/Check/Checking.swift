import DeviceTree
import Text
import Partition

/// A tree to be checked.
public struct NamedTree: Sendable {
  /// How findings call it.
  public var file: String
  /// Whose it is, where the caller knows: a guest's own `guest-name` goes first.
  public var guest: String?
  public var tree: DeviceTree

  public init(file: String, guest: String? = nil, tree: DeviceTree) {
    self.file = file
    self.guest = guest
    self.tree = tree
  }
}

/// The trees of a partitioned system, to be checked together.
///
/// It takes time in proportion to the trees, times a logarithm, whatever is in them.
public struct TreeCheck: Sendable {
  /// What each guest's kernel is handed.
  public var guests: [NamedTree]
  /// The whole board's.
  public var system: NamedTree?
  /// The hypervisor's side of guests: Xvisor's guest trees, or Xen's host tree with dom0less domains and the partial trees of
  /// what it passes through.
  public var hypervisor: [NamedTree]
  /// Each guest has a board of its own, as QEMU and KVM make one up: the same device at the same address is not the same.
  public var hasSeparateBoards = false

  public init(guests: [NamedTree], system: NamedTree? = nil, hypervisor: [NamedTree] = []) {
    self.guests = guests
    self.system = system
    self.hypervisor = hypervisor
  }

  /// What is wrong: in the order of the trees (guests, system, hypervisor), their nodes, and the rules.
  public func findings() -> [Finding] {
    let all = guests + (system.map { [$0] } ?? []) + hypervisor
    let report = Report(files: all.map { $0.file })
    var guests: [Guest] = []
    for (index, named) in self.guests.enumerated() {
      let survey = Survey(named.tree, file: index)
      guests.append(Guest(survey, called: named.guest ?? Self.stem(named.file)))
    }
    if let system, let parts = try? SystemTree(system.tree) {
      for index in guests.indices { guests[index].emulated = parts.emulatedRanges(ofGuest: guests[index].name) }
    }
    let system = system.map { Survey($0.tree, file: guests.count) }
    let first = guests.count + (system == nil ? 0 : 1)
    let manifests = hypervisor.enumerated().map { Survey($0.element.tree, file: first + $0.offset) }
    for (named, survey) in zip(hypervisor, manifests) { Self.assign(survey, named.guest, &guests, report) }

    for guest in guests {
      checkTree(guest.survey, report)
      checkMemory(guest, report)
    }
    if let system { checkTree(system, report) }
    checkSharing(guests, report)
    if hasSeparateBoards {
      for guest in guests { checkReferences([guest], report) }
    } else {
      checkReferences(guests, report)
      checkOwnership(guests, system, report)
    }
    checkHypervisor(guests, system, report)
    if let host = manifests.first(where: { !Manifest.xenDomains(in: $0).isEmpty }) { checkXenPaths(guests, host, report) }
    // Last: where a rule has said it better, this says nothing.
    for guest in guests where guest.survey.guestNode != nil { Self.checkBinding(guest.survey, report) }
    return report.sorted
  }

  /// "trees/guest1.dts" is guest1's.
  private static func stem(_ file: String) -> String {
    let name = file.split(separator: "/").last ?? file[...]
    return String(name.split(separator: ".").first ?? name)
  }

  /// What brokerd and guestagent would say.
  private static func checkBinding(_ survey: Survey, _ report: Report) {
    do throws(PartitionError) {
      _ = try Partition(survey.tree)
    } catch {
      let guest = survey.guestNode ?? 0
      var node = guest
      if let path = error.node(below: survey.path(guest)) { node = survey.node(path: path) ?? guest }
      guard !report.hasError(survey, at: survey.path(node)) else { return }
      report.add(.binding, survey, node, error.text, "see guestbroker's device-tree binding (Spec/device-tree.md)")
    }
  }

  /// Finds out what a hypervisor's tree is, and which guests it is about.
  private static func assign(_ survey: Survey, _ name: String?, _ guests: inout [Guest], _ report: Report) {
    var manifests: [(manifest: Manifest, node: Int)] = []
    checkNames(survey, limit: Manifest.xvisorGuests(in: survey).isEmpty ? .max : Manifest.maximumXvisorName, report)
    for node in Manifest.xvisorGuests(in: survey) { manifests.append((Manifest(xvisor: node, survey, report), node)) }
    for node in Manifest.xenDomains(in: survey) { manifests.append((Manifest(xenDomain: node, survey, report), node)) }
    if Manifest.isXenPartial(survey) {
      guard let index = find(name, guests) else { return ambiguous(survey, 0, name, guests, report) }
      var manifest = guests[index].manifest ?? Manifest(guest: name, maker: .xen, survey: survey, isComplete: true)
      manifest.add(xenPartial: survey, report)
      guests[index].manifest = manifest
    } else if manifests.isEmpty {
      report.add(
        .manifest, survey, 0,
        "it describes no guest of a hypervisor: neither aspace (Xvisor), xen,domain nor passthrough (Xen) is in it",
        "name a tree of the hypervisor's side, or this one without --hypervisor")
    }
    for (manifest, node) in manifests {
      // Several domains are in one tree by their own names.
      let wanted = manifests.count == 1 ? name ?? manifest.guest : manifest.guest
      guard let index = find(wanted, guests) else {
        // Domains whose trees were not named are not checked.
        if manifest.maker == .xvisor || manifests.count == 1 { ambiguous(survey, node, wanted, guests, report) }
        continue
      }
      guests[index].manifest = manifest
    }
  }

  private static func find(_ name: String?, _ guests: [Guest]) -> Int? {
    guard let name else { return guests.count == 1 ? 0 : nil }
    return guests.firstIndex { $0.name == name }
  }

  private static func ambiguous(_ survey: Survey, _ node: Int, _ name: String?, _ guests: [Guest], _ report: Report) {
    let names = listed(guests.map { $0.name })
    if let name {
      report.add(
        .manifest, survey, node, "it is for \(name), but no guest's tree is called so: there are \(names)",
        "name that guest's tree too, or say whose this is: --hypervisor GUEST=TREE")
    } else {
      report.add(
        .manifest, survey, node, "it doesn't say which guest it is for: there are \(names)", "say so: --hypervisor GUEST=TREE")
    }
  }
}

extension PartitionError {
  /// The path of the node that it is about; nil when it is the guestbroker node.
  func node(below guest: String) -> String? {
    switch self {
    case .missing(let node, _, _), .invalid(let node, _, _), .dangling(let node, _, _), .badName(let node, _): node
    case .notOkay(let export, _): "\(guest)/exports/\(export)"
    case .noGuestNode, .duplicate, .tooMany: nil
    }
  }
}
