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

  init(_ link: Link, _ opened: OpenLink) {
    name = link.name
    guest = link.peerName
    mapping = opened.mapping
  }

  /// What is to be said about the region for the first time; nil when it is as it was.
  mutating func look() -> String? {
    guard !isLost else { return nil }
    mapping.probe()
    guard mapping.isLost else { return nil }
    isLost = true
    return "link \(name): \(mapping.lossText); \(guest) is not served any more until brokerd is started again"
  }
}

extension Pump {
  /// Looks after the regions of all links. What there is to say of one is reported, unless no other is left to serve: then it is why the
  /// service ends.
  mutating func watchLinks() {
    for index in links.indices {
      guard let news = links[index].look() else { continue }
      if links.contains(where: { !$0.isLost }) { report(news) } else { end = .regionLost(news) }
    }
  }
}
