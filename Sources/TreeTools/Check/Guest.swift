import DeviceTree
import Partition

/// A guest's tree and what it says of sharing, read without giving up at a mistake: `Partition` says what is wrong with it.
struct Guest {
  /// Its `guest-name`; else what the caller called it.
  let name: String
  let survey: Survey
  var links: [LinkEnd] = []
  var exports: [Offer] = []
  var imports: [Request] = []
  /// What its hypervisor gives it, where that is known.
  var manifest: Manifest?
  /// What its hypervisor emulates, where the system's tree says so: at addresses that the board has for itself.
  var emulated: [AddressRange] = []

  struct LinkEnd {
    var node: Int
    /// As `Link.name`.
    var name: String
    /// Its region has an id, so that it isn't called as its node.
    var hasID: Bool
    var peer: String?
    var role: String?
    /// The region's node and place.
    var region: Int?
    var range: AddressRange?
    var channels: UInt32
    var doorbell: String
    var mapping: String
  }

  struct Offer {
    var node: Int
    var name: String
    var type: String
    /// Of the export and of all that is below it.
    var clients: [String]
    /// Of the device, or the bus.
    var device: Int?
  }

  struct Request {
    var node: Int
    var name: String
    var type: String
    /// Which of `links`; nil when it is none.
    var link: Int?
    var remoteName: String
  }

  init(_ survey: Survey, called name: String) {
    self.survey = survey
    guard let guest = survey.guestNode else {
      self.name = name
      return
    }
    self.name = survey.nodes[guest].property("guest-name")?.string ?? name
    for index in children(of: guest, "links").prefix(Partition.maximumLinks) { links.append(link(index)) }
    for index in children(of: guest, "exports").prefix(Partition.maximumPeripherals) { exports.append(offer(index)) }
    for index in children(of: guest, "imports").prefix(Partition.maximumPeripherals) { imports.append(request(index)) }
  }

  private func children(of guest: Int, _ name: String) -> [Int] {
    guard let parent = survey.child(guest, name) else { return [] }
    return survey.children(parent).filter { survey.nodes[$0].isOkay }
  }

  private func link(_ index: Int) -> LinkEnd {
    let node = survey.nodes[index]
    let region = node.property("memory-region")?.cells?.first.flatMap { survey.node(phandle: $0) }
    let idNode = region.map { survey.nodes[$0] } ?? node
    let id = (idNode.property("guestbroker,id") ?? idNode.property("xen,id"))?.string
    return LinkEnd(
      node: index, name: id ?? node.name, hasID: id != nil, peer: node.property("peer-name")?.string,
      role: node.property("role")?.string,
      region: region, range: region.flatMap { region in survey.device(region)?.ranges.first },
      channels: node.property("channels")?.cell ?? 4, doorbell: node.property("doorbell")?.string ?? "poll",
      mapping: node.property("mapping")?.string ?? "device")
  }

  private func offer(_ index: Int) -> Offer {
    let node = survey.nodes[index]
    var clients = node.property("clients")?.strings ?? []
    for child in survey.children(index).prefix(Partition.maximumPeripherals) where survey.nodes[child].isOkay {
      clients += survey.nodes[child].property("clients")?.strings ?? []
    }
    return Offer(
      node: index, name: node.name, type: node.property("class")?.string ?? "", clients: clients,
      device: node.property("device")?.cell.flatMap { survey.node(phandle: $0) })
  }

  private func request(_ index: Int) -> Request {
    let node = survey.nodes[index]
    let link = node.property("link")?.cell.flatMap { survey.node(phandle: $0) }
    return Request(
      node: index, name: node.name, type: node.property("class")?.string ?? "",
      link: links.firstIndex { $0.node == link }, remoteName: node.property("remote-name")?.string ?? node.name)
  }
}
