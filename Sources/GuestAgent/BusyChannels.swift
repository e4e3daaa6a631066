import BrokerProtocol
import Linux
import Partition
import RingBuffer
import SharedMemory

extension Agent {
  static func channelsBusy(_ link: OpenLink) -> AgentError {
    let count = link.layout.channels
    return AgentError(.channelsBusy(count, link.mapping.holders(channels: count)), executed: .no)
  }

  /// Whether the owner's heartbeat moves: what can be told of it without a channel. Waits 250 ms at most, a heartbeat and a quarter.
  public static func isOwnerUp(_ link: Link, _ configuration: AgentConfiguration) -> Bool {
    guard let opened = try? OpenLink(link, override: configuration.memory, isExample: configuration.isExample) else {
      return false
    }
    // The region stays mapped as long as it is looked at.
    return withExtendedLifetime(opened.mapping) {
      // It only looks: it begins no session.
      let endpoint = Endpoint(opened.mapping.region, layout: opened.layout, channel: 0, role: .borrower)
      let heartbeat = endpoint.peerHeartbeat
      let start = monotonicNanoseconds()
      while monotonicNanoseconds() &- start < 250_000_000 {
        if endpoint.peerHeartbeat != heartbeat { return true }
        sleepNanoseconds(5_000_000)
      }
      return endpoint.peerHeartbeat != heartbeat
    }
  }
}
