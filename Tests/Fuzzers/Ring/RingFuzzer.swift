// Sources/RingBuffer and this are one module.

/// Both sides of a channel take steps in an order that the input says, while it writes anything anywhere between them and, at
/// each load, within them. Whatever it does: a state, a message of a possible length, or an error; and afterwards a new session
/// works.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
  Memory.input = Input(bytes, count)
  Memory.isTampered = false
  Memory.accesses = 0
  Memory.fill(Memory.input.word())
  let layout = try! LinkLayout(size: Memory.size, channels: 1)
  let identity = LinkIdentity(layout, protocolVersion: 1)
  var owner = Endpoint(SharedRegion(), layout: layout, channel: 0, role: .owner, identity: identity)
  var borrower = Endpoint(SharedRegion(), layout: layout, channel: 0, role: .borrower)
  let start = Memory.input.word()
  owner.start(session: max(1, start))
  borrower.start(session: max(1, ~start))
  // Most inputs are to get beyond the handshake.
  if start & 7 != 0 { settle(&owner, &borrower) }
  while !Memory.input.isEmpty {
    let step = Memory.input.byte()
    Memory.accesses = 0
    Memory.isTampered = step & 0x40 != 0
    if step & 0x80 != 0 { take(step, &owner) } else { take(step, &borrower) }
  }
  recover(&owner, &borrower)
  return 0
}

private let maximum = 64 / 4 * 56
nonisolated(unsafe) private var small = MessageBuffer(capacity: 8)
nonisolated(unsafe) private var large = MessageBuffer(capacity: maximum)

private func take(_ step: UInt8, _ side: inout Endpoint) {
  do throws(RingError) {
    switch step & 0x0f {
    case 0:
      Memory.isTampered = false
      let offset = Int(Memory.input.word() % UInt32(Memory.size / 4)) * 4
      Memory.store(offset, Memory.input.word())
    case 1: forge(&side, last: Memory.input.word())
    case 2: _ = side.refresh()
    case 3:
      large.count = 1 + Int(Memory.input.word() % UInt32(maximum))
      _ = try side.producer.send(large)
    case 4:
      small.count = 1 + Int(step >> 4 & 3)
      for _ in 0..<8 { _ = try side.producer.send(small) }
    case 5:
      large.count = 1 + Int(Memory.input.byte())
      _ = try side.producer.append(large)
    case 6:
      large.count = Int(Memory.input.word() % UInt32(maximum)) / 8 * 8
      let sent = try side.producer.append(large, each: 8 * (1 + Int(step >> 4 & 3)))
      precondition(sent >= 0 && sent <= large.count / 8, "more was sent than there was")
    case 7: side.producer.publish()
    case 8, 9, 10:
      if try side.consumer.receive(into: &large) {
        precondition(large.count > 0 && large.count <= maximum, "an impossible length")
      }
    case 11:
      if try side.consumer.receive(into: &small) { precondition(small.count > 0 && small.count <= 8, "an impossible length") }
    case 12:
      side.arm()
      _ = side.needsAttention
      side.disarm()
      _ = side.shouldRing()
    case 13: _ = side.isStillWanted()
    case 14:
      small.count = 8
      let start = side.producer.position
      if try side.producer.send(small) { _ = side.giveUp(messageAt: start, session: side.session ^ 1 | 2) }
    default: side.consumer.giveCredit()
    }
  } catch {
    side.poison(error.reason)
  }
}

/// Lays a message of several lines before a consumer, with full lines that nobody sent and `last` behind them.
private func forge(_ side: inout Endpoint, last: UInt32) {
  Memory.isTampered = false
  let first = side.consumer.position & ~7
  let count = Memory.input.byte() & 31
  for index in 0...UInt32(count) {
    let at = first &+ 8 &* index
    let tags = index < count ? Line.allMore : last
    side.consumer.lines[at].header.store(tags & ~15 | side.consumer.lines.lap(of: at))
  }
}

private func settle(_ owner: inout Endpoint, _ borrower: inout Endpoint) {
  for _ in 0..<8 {
    Memory.accesses = 0
    _ = owner.refresh()
    _ = borrower.refresh()
  }
}

/// What was written into the region before doesn't hinder two new sessions. Three attempts: an input may have written just the
/// number that a session has, and one that broke the rules is not taken up.
private func recover(_ owner: inout Endpoint, _ borrower: inout Endpoint) {
  Memory.isTampered = false
  for attempt in 1...3 as ClosedRange<UInt32>
  where attempt == 1 || owner.state != .established || borrower.state != .established {
    Memory.accesses = 0
    owner.start(session: 0x5eed_0000 | attempt)
    borrower.start(session: 0x600d_0000 | attempt)
    settle(&owner, &borrower)
  }
  precondition(owner.state == .established && borrower.state == .established, "a new session does not begin")
  for size in [1, 8, 9, 56, 57, 300, maximum] {
    Memory.accesses = 0
    large.count = size
    precondition((try? owner.producer.send(large)) == true && (try? borrower.consumer.receive(into: &large)) == true)
    precondition(large.count == size, "a new session does not work")
    precondition((try? borrower.producer.send(large)) == true && (try? owner.consumer.receive(into: &large)) == true)
    precondition(large.count == size, "a new session does not work")
  }
}
