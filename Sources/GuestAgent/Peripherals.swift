import BrokerProtocol
import Linux
import Text
import RingBuffer

extension Agent {
  /// How long the owner takes to say nothing but "here": one exchange of `size` bytes each way, in nanoseconds.
  ///
  /// - Throws: Also when other bytes come back than were sent.
  public mutating func ping(size: Int = 8) throws(AgentError) -> UInt64 {
    let seed = sessions &* 31 &+ lastID
    let data = (0..<size).map { UInt8(truncatingIfNeeded: seed &* 167 &+ UInt32(truncatingIfNeeded: $0) &* 59) }
    let start = monotonicNanoseconds()
    _ = try ask(.ping, data: unsafe data.span.bytes)
    let end = monotonicNanoseconds()
    let answer = reply.bytes
    guard answer.byteCount == Response.size + size,
      data.indices.allSatisfy({ unsafe answer.unsafeLoad(fromByteOffset: Response.size + $0, as: UInt8.self) == data[$0] })
    else { throw AgentError(.protocolError(.badFrame), executed: .yes) }
    return end &- start
  }

  /// What the owner offers to this guest. Takes as long as an owner may be silent, at most.
  public mutating func directory() throws(AgentError) -> [DirectoryEntry] {
    var entries: [DirectoryEntry] = []
    let start = monotonicNanoseconds()
    while true {
      let response = try ask(.directory, argument0: UInt32(entries.count))
      let known = entries.count
      var offset = Response.size
      while let entry = DirectoryEntry(reply.bytes, at: &offset) { entries.append(entry) }
      // At most as many as numbers can mean, whatever the owner says.
      if monotonicNanoseconds() &- start > Self.ownerTimeout, entries.count < Int(clamping: response.value) {
        throw AgentError(.implausible("its list of peripherals has no end"), executed: .no)
      }
      if entries.count >= Int(clamping: response.value) || entries.count == known || entries.count > 0xffff { return entries }
    }
  }

  /// Looks up a peripheral that the owner exports.
  public mutating func find(_ name: String) throws(AgentError) -> DirectoryEntry {
    let data = Array(name.utf8)
    _ = try ask(.find, data: unsafe data.span.bytes)
    var offset = Response.size
    guard let entry = DirectoryEntry(reply.bytes, at: &offset), sameText(entry.name, name) else {
      throw AgentError(.protocolError(.badFrame), executed: .no)
    }
    return entry
  }

  /// One request to the broker itself. An answer that is not `ok` is thrown.
  @inline(never)
  private mutating func ask(
    _ operation: BrokerOperation, argument0: UInt32 = 0, data: RawSpan = RawSpan()
  ) throws(AgentError) -> Response {
    let response = try call(
      Request(id: 0, peripheralClass: .broker, operation: operation.rawValue, argument0: argument0), data: data)
    guard response.status == .ok else { throw AgentError(.refused(response.status), executed: response.executed) }
    return response
  }
}
