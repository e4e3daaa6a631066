import DeviceTree
import Text
import Partition

/// Links, exports and imports of all guests against each other.
func checkSharing(_ guests: [Guest], _ report: Report) {
  for (index, guest) in guests.enumerated() {
    if guest.survey.guestNode != nil, let twin = guests[..<index].first(where: { $0.name == guest.name }) {
      report.add(
        .duplicateGuest, guest.survey, guest.survey.guestNode ?? 0,
        "this guest is called \(guest.name), as the one of \(report.name(of: twin.survey))",
        "give each guest a guest-name of its own"
      )
    }
    for link in guest.links { checkPeer(guest, link, guests, report) }
    for other in guests[..<index] where other.name != guest.name { checkLinks(other, guest, report) }
    for offer in guest.exports { checkExport(guest, offer, report) }
    checkI2C(guest, report)
    for request in guest.imports { checkImport(guest, request, guests, report) }
  }
}

private func checkPeer(_ guest: Guest, _ link: Guest.LinkEnd, _ guests: [Guest], _ report: Report) {
  guard let peer = link.peer else { return }
  if peer == guest.name {
    report.add(
      .unknownGuest, guest.survey, link.node, "peer-name \"\(peer)\" is this guest itself", "name the guest at the other end")
  } else if guests.count > 1, !guests.contains(where: { $0.name == peer }) {
    let names = guests.map { $0.name }.filter { $0 != guest.name }
    let near = nearest(peer, in: names)
    report.add(
      .unknownGuest, guest.survey, link.node, "peer-name \"\(peer)\" is none of the guests whose trees are checked",
      near.map { "did you mean \"\($0)\"? Else name \(peer)'s tree too" }
        ?? "name \(peer)'s tree too; there are \(listed(names))")
  }
}

/// The links between two guests, which come in pairs.
private func checkLinks(_ a: Guest, _ b: Guest, _ report: Report) {
  var those = b.links.filter { $0.peer == a.name }
  var alone: [Guest.LinkEnd] = []
  for link in a.links where link.peer == b.name {
    if let index = those.firstIndex(where: { $0.name == link.name }) {
      checkEnds(a, link, b, those.remove(at: index), report)
    } else {
      alone.append(link)
    }
  }
  if alone.count == 1, those.count == 1 {
    // Without ids they are called as the links' nodes, each as it likes.
    if alone[0].hasID || those[0].hasID {
      report.add(
        .linkID, b.survey, those[0].node,
        "the region's id is \"\(those[0].name)\" here, and \"\(alone[0].name)\" at \(a.name) (\(report.place(a.survey, alone[0].node)))",
        "give both regions the same guestbroker,id")
    }
    checkEnds(a, alone[0], b, those[0], report)
    return
  }
  for (guest, other, links) in [(a, b, alone), (b, a, those)] {
    for link in links {
      let remedy =
        "add a link \"\(link.name)\" with peer-name \"\(guest.name)\" to \(report.name(of: other.survey)), or drop this one"
      report.add(
        .linkOneSided, guest.survey, link.node, "\(other.name) has no link \"\(link.name)\" to \(guest.name)", remedy)
    }
  }
}

private func checkEnds(_ a: Guest, _ one: Guest.LinkEnd, _ b: Guest, _ two: Guest.LinkEnd, _ report: Report) {
  func compare(_ rule: Rule, _ what: String, _ here: String, _ there: String, _ remedy: String) {
    guard here != there else { return }
    report.add(
      rule, b.survey, two.node, "\(what) is \(here) here, and \(there) at \(a.name) (\(report.place(a.survey, one.node)))",
      remedy)
  }
  if let role = two.role, role == one.role {
    report.add(
      .linkRole, b.survey, two.node,
      "role is \"\(role)\" here, and the same at \(a.name) (\(report.place(a.survey, one.node)))",
      "make the guest with the peripheral the \"owner\", the other the \"borrower\"")
  }
  if let here = two.range, let there = one.range {
    compare(
      .linkSize, "the region's size", hexadecimal(here.size), hexadecimal(there.size),
      "give both regions the size that the hypervisor shares")
  }
  compare(.linkChannels, "channels", "\(two.channels)", "\(one.channels)", "set the same number in both trees")
  compare(.linkDoorbell, "doorbell", "\"\(two.doorbell)\"", "\"\(one.doorbell)\"", "set the same in both trees")
  compare(.linkMapping, "mapping", "\"\(two.mapping)\"", "\"\(one.mapping)\"", "set the same in both trees")
}

private func checkExport(_ guest: Guest, _ offer: Guest.Offer, _ report: Report) {
  let survey = guest.survey
  if let device = offer.device, !survey.isOkay(device) {
    report.add(
      .exportNotOkay, survey, offer.node,
      "it exports \(survey.path(device)), which is not okay in this tree: \(statusText(survey, device))",
      "set status = \"okay\" there if this guest owns it, else drop the export")
  }
  for client in unique(offer.clients) {
    let reaches = guest.links.contains { $0.peer == client && ($0.role ?? "owner") == "owner" }
    if !reaches {
      report.add(
        .exportUnreachable, survey, offer.node,
        "it is granted to \(client), but no link of this guest with role \"owner\" leads there",
        "add the link, or take \(client) out of clients")
    }
  }
  for reference in survey.references.of(survey.nodes[offer.node]) where reference.property == "gpios" {
    guard let controller = reference.target.map({ survey.place(of: $0) }), !survey.isOkay(controller) else { continue }
    report.add(
      .exportNotOkay, survey, offer.node,
      "it exports a line of \(survey.path(controller)), which is not okay in this tree: \(statusText(survey, controller))",
      "set status = \"okay\" there if this guest owns it, else drop the line")
    break
  }
}

/// An I2C address that clients may write to.
private struct Writing {
  var bus: Int?
  var address: UInt32
  var node: Int
}

/// The addresses that a guest's I2C exports grant: of one bus there may be several exports.
private func checkI2C(_ guest: Guest, _ report: Report) {
  let survey = guest.survey
  var writings: [Writing] = []
  for offer in guest.exports where offer.type == "i2c" {
    let drivers = offer.device.map { driven(survey, $0) } ?? []
    for index in survey.children(offer.node).prefix(Partition.maximumElements) where survey.nodes[index].isOkay {
      let node = survey.nodes[index]
      guard let address = node.property("reg")?.cells?.first else { continue }
      let text = hexadecimal(address)
      guard (0x08...0x77).contains(address) else {
        report.add(
          .i2cAddress, survey, index, "\(text) is no address of a device on an I2C bus",
          "grant the device's own address, from 0x08 to 0x77: the 7-bit one, not shifted for the read/write bit")
        continue
      }
      if let driver = drivers.first(where: { $0.address == address }) {
        report.add(
          .i2cDriver, survey, index, "the owner's kernel binds a driver to \(text): \(survey.path(driver.node)) is okay",
          "set status = \"reserved\" for that node, or don't grant the address")
      }
      let access = node.property("access")?.string ?? survey.nodes[offer.node].property("access")?.string ?? "rw"
      guard access != "ro" else { continue }
      let clients = unique(
        node.property("clients")?.strings ?? survey.nodes[offer.node].property("clients")?.strings ?? [])
      if let other = writings.first(where: { $0.address == address && $0.bus == offer.device }) {
        report.add(
          .i2cTwice, survey, index, "\(text) is granted for writing here and in \(survey.path(other.node))",
          "grant it for writing once; access = \"ro\" for the others")
      } else if clients.count > 1 {
        report.add(
          .i2cTwice, survey, index, "\(text) is granted for writing to \(listed(clients))",
          "grant it for writing to one of them; in another export of the bus, with access = \"ro\" to the others")
      }
      writings.append(Writing(bus: offer.device, address: address, node: index))
    }
  }
}

/// The devices of a bus to which this guest's kernel binds drivers, as many as there are addresses.
private func driven(_ survey: Survey, _ bus: Int) -> [(address: UInt32, node: Int)] {
  var found: [(address: UInt32, node: Int)] = []
  for child in survey.children(bus) where found.count < 128 && survey.isOkay(child) {
    guard survey.nodes[child].property("compatible") != nil, let address = survey.nodes[child].property("reg")?.cells?.first
    else { continue }
    found.append((address, child))
  }
  return found
}

private func checkImport(_ guest: Guest, _ request: Guest.Request, _ guests: [Guest], _ report: Report) {
  guard let link = request.link, let peer = guest.links[link].peer, let owner = guests.first(where: { $0.name == peer })
  else { return }
  let exports = owner.exports
  guard let offer = exports.first(where: { $0.name == request.remoteName }) else {
    let elsewhere = guests.first { other in
      other.name != guest.name && other.exports.contains { $0.name == request.remoteName }
    }
    let remedy: String
    if let elsewhere {
      remedy = "\(elsewhere.name) exports one: let link lead there"
    } else if let near = nearest(request.remoteName, in: exports.map { $0.name }) {
      remedy = "did you mean \"\(near)\"? Set remote-name, or add the export to \(report.name(of: owner.survey))"
    } else {
      remedy = "add the export to \(report.name(of: owner.survey)), which has \(listed(exports.map { $0.name }))"
    }
    report.add(.importNotExported, guest.survey, request.node, "\(owner.name) exports no \"\(request.remoteName)\"", remedy)
    return
  }
  if offer.type != request.type {
    report.add(
      .importNotExported, guest.survey, request.node,
      "it is imported as class \"\(request.type)\", and exported as \"\(offer.type)\" (\(report.place(owner.survey, offer.node)))",
      "set the same class in both")
  }
  if !offer.clients.contains(guest.name) {
    report.add(
      .importNotGranted, guest.survey, request.node,
      "\(owner.name) exports \"\(offer.name)\" to \(listed(unique(offer.clients))), not to \(guest.name)",
      "add \"\(guest.name)\" to the export's clients (\(report.place(owner.survey, offer.node)))")
  }
}

/// Each text once, in the order of the first; at most 64.
private func unique(_ texts: [String]) -> [String] {
  var seen: Set<String> = []
  return Array(texts.filter { seen.insert($0).inserted }.prefix(64))
}

/// "its status is "reserved"", or the bus's.
func statusText(_ survey: Survey, _ node: Int) -> String {
  var at = node
  while at >= 0 {
    if !survey.nodes[at].isOkay {
      let status = survey.nodes[at].property("status")?.string ?? "unreadable"
      return at == node ? "its status is \"\(status)\"" : "the status of \(survey.path(at)) is \"\(status)\""
    }
    at = survey.parents[at]
  }
  return "its status is \"okay\""
}
