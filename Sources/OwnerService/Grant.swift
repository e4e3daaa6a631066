import Linux
import Partition

extension Export {
  /// What a guest may do with it: bit 0 read, bit 1 write; 0 when it has no grant.
  func grant(to guest: String) -> UInt8 {
    guard grant.clients.contains(where: { sameText($0, guest) }) else { return 0 }
    return (grant.access.allowsRead ? 1 : 0) | (grant.access.allowsWrite ? 2 : 0)
  }
}
