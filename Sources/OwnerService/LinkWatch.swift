import Linux
import Partition
import SharedMemory

/// An eye on a link's region while it is served.
struct LinkWatch {
  private let name: String
  private let guest: String
  private let mapping: Mapping
  /// The region went away: nobody is served on this link any more.
  private(set) var isLost = false
  private var isRemoved = false
  /// The file's name is looked up at every tenth look only.
  private var looks: UInt32 = 0

  init(_ link: Link, _ opened: OpenLink) {
    name = link.name
    guest = link.peerName
    mapping = opened.mapping
  }

  /// What is to be said about the region for the first time; nil when it is as it was.
  mutating func look() -> String? {
    guard !isLost else { return nil }
    looks &+= 1
    if looks % 10 == 0, !isRemoved, mapping.isRemoved, let path = mapping.path {
      isRemoved = true
      return
        "link \(name): its region's file \(path) was removed; programs that run go on, new ones of \(guest) can't find it: start brokerd again"
    }
    mapping.probe()
    guard mapping.isLost else { return nil }
    isLost = true
    return "link \(name): \(mapping.lossText); \(guest) is not served any more until brokerd is started again"
  }
}

extension Pump {
  /// Looks after the regions of all links, with every heartbeat. What there is to say of one is reported, unless no link is left to serve:
  /// then it is why the service ends.
  mutating func watchLinks() {
    for index in links.indices {
      guard let news = links[index].look() else { continue }
      if links.contains(where: { !$0.isLost }) { report(news) } else { end = .regionLost(news) }
    }
  }
}
