import BrokerProtocol
import Linux
import RingBuffer

extension Agent {
  /// How long the owner takes to say nothing but "here": one exchange of `size` bytes each way, in nanoseconds.
  ///
  /// - Throws: Also when other bytes come back than were sent.
  public mutating func ping(size: Int = 8) throws(AgentError) -> UInt64 {
    let seed = sessions &* 31 &+ lastID
    let data = (0..<size).map { UInt8(truncatingIfNeeded: seed &* 167 &+ UInt32(truncatingIfNeeded: $0) &* 59) }
    let start = monotonicNanoseconds()
    let response = try call(
      Request(id: 0, frameClass: .broker, operation: BrokerOperation.ping.rawValue), data: unsafe data.span.bytes)
    let end = monotonicNanoseconds()
    guard response.status == .ok else { throw AgentError(.refused(response.status), executed: response.executed) }
    guard replyData.elementsEqual(data) else { throw AgentError(.protocolError(.badFrame), executed: .yes) }
    return end &- start
  }

  /// What the owner offers to this guest.
  public mutating func directory() throws(AgentError) -> [DirectoryEntry] {
    var entries: [DirectoryEntry] = []
    while true {
      let response = try call(
        Request(
          id: 0, frameClass: .broker, operation: BrokerOperation.directory.rawValue, argument0: UInt32(entries.count)),
        data: RawSpan())
      guard response.status == .ok else { throw AgentError(.refused(response.status), executed: response.executed) }
      let known = entries.count
      var offset = Response.size
      while let entry = DirectoryEntry(reply.bytes, at: &offset) { entries.append(entry) }
      // At most as many as numbers can mean, whatever the owner says.
      if entries.count >= Int(clamping: response.value) || entries.count == known || entries.count > 0xffff { return entries }
    }
  }

  /// Looks up a peripheral that the owner exports.
  public mutating func find(_ name: String) throws(AgentError) -> DirectoryEntry {
    let data = Array(name.utf8)
    let response = try call(
      Request(id: 0, frameClass: .broker, operation: BrokerOperation.find.rawValue), data: unsafe data.span.bytes)
    guard response.status == .ok else { throw AgentError(.refused(response.status), executed: response.executed) }
    var offset = Response.size
    guard let entry = DirectoryEntry(reply.bytes, at: &offset) else {
      throw AgentError(.protocolError(.badFrame), executed: .no)
    }
    return entry
  }
}
