import BrokerProtocol
import Linux
import RingBuffer

/// From a request to its answer: in which lane, in which order, until when. What nobody has to wait for is answered in `Channel.serve`.
extension Pump {
  /// Does what a channel's next request asks for, or has it wait. Returns whether there was one.
  @inline(__always)
  mutating func serveNext(of index: Int) throws(PoisonReason) -> Bool {
    switch try channels[index].serve(served, now: lastTurn) {
    case .nothing: return false
    case .answered: break
    case .answeredStopping(let number): obeyStop(of: number)
    case .broker(let slot): answerBroker(slot, of: index)
    case .waits(let slot, let number, let lane, let cost): enqueue(slot, of: index, number, lane, cost)
    }
    return true
  }

  @inline(never)
  private mutating func refuse(_ slot: Int, of index: Int, _ status: Status, value: UInt32 = 0) {
    channels[index].answer(slot, .refused(status, value: value))
  }

  @inline(never)
  private mutating func enqueue(_ slot: Int, of index: Int, _ number: Int, _ lane: Int, _ cost: Int) {
    let now = monotonicNanoseconds()
    let call = CallID(channel: index, slot: slot)
    let right = channels[index].rights[number]
    channels[index].calls[slot].startWaiting(now: now)
    // What nobody was before has been begun: nothing comes between its bytes.
    let isBegun = !served[number].isBusy(lane) && !right.isLimited
    served[number].add(
      Queue.Entry(call: call, guest: channels[index].guest, priority: right.priority, cost: cost), to: lane)
    if isBegun { served[number].setCurrent((call, .event), in: lane) }
    // Before the next sleep it is looked at what it waits for.
    needsTurn = true
    obeyStop(of: number)
    // Who doesn't wait is told at once.
    guard channels[index].calls[slot].request.timeout == 0 else { return }
    advance(number, lane, now: now)
    if served[number].lanes[lane].queue.entries.contains(where: { $0.call == call }) {
      stop(call, number, lane, .timedOut, now: now)
    }
  }

  // ---- Lanes ---------------------------------------------------------------------------------------------------------

  /// Has everything that waits go on as far as it can, and ends what has waited until its deadline.
  mutating func turnLanes(now: UInt64) {
    for number in 0..<served.count where served[number].busy != 0 {
      for lane in served[number].lanes.indices where served[number].isBusy(lane) {
        advance(number, lane, now: now)
        expire(number, lane, now: now)
      }
    }
  }

  private mutating func advance(_ number: Int, _ lane: Int, now: UInt64) {
    while let call = head(number, lane, now: now) {
      switch served[number].advance(call.slot, of: &channels[call.channel], now: now) {
      case .done(let answer):
        served[number].remove(call, from: lane)
        charge(answer, to: call, number, lane, now: now)
        channels[call.channel].answer(call.slot, answer, of: number)
        obeyStop(of: number)
      case .waits(let wait):
        served[number].setCurrent((call, wait), in: lane)
        return
      }
    }
  }

  /// What a guest gets counts as what it gives does.
  private mutating func charge(_ answer: Answer, to call: CallID, _ number: Int, _ lane: Int, now: UInt64) {
    guard answer.isReturnable else { return }
    let guest = channels[call.channel].guest
    served[number].charge(guest, answer.data, in: lane)
    guests[guest].grants[number]?.bytes.charge(answer.data, now: now)
  }

  /// The call whose turn it is in a lane. What hasn't been begun is not begun for a borrower that may be dead; what has been waits for it.
  private mutating func head(_ number: Int, _ lane: Int, now: UInt64) -> CallID? {
    if let current = served[number].lanes[lane].current {
      guard channels[current.call.channel].isSuspect else { return current.call }
      if channels[current.call.channel].calls[current.call.slot].done > 0 { return nil }
      served[number].setCurrent(nil, in: lane)
    }
    served[number].setNotBefore(nil, in: lane)
    /// Guests that have used their rate for now.
    var waiting: [Int] = []
    while true {
      let suspects = suspects
      let chosen = served[number].next(in: lane) { entry in
        !suspects.contains(entry.call.channel) && !waiting.contains(entry.guest)
      }
      guard let chosen else { return nil }
      guard let later = guests[chosen.guest].grants[number]?.take(chosen.cost, now: now) else {
        served[number].begin(chosen, in: lane)
        return chosen.call
      }
      waiting.append(chosen.guest)
      served[number].setNotBefore(min(served[number].lanes[lane].notBefore ?? .max, later), in: lane)
    }
  }

  private mutating func expire(_ number: Int, _ lane: Int, now: UInt64) {
    let late = served[number].lanes[lane].queue.entries.filter {
      channels[$0.call.channel].calls[$0.call.slot].deadline <= now
    }
    for entry in late { stop(entry.call, number, lane, .timedOut, now: now) }
    // What comes behind them may go on.
    if !late.isEmpty { needsTurn = true }
  }

  private mutating func stop(_ call: CallID, _ number: Int, _ lane: Int, _ reason: StopReason, now: UInt64) {
    let isBegun = served[number].lanes[lane].current?.call == call
    served[number].remove(call, from: lane)
    let answer = served[number].stop(call.slot, of: &channels[call.channel], reason, isBegun: isBegun, now: now)
    charge(answer, to: call, number, lane, now: now)
    channels[call.channel].answer(call.slot, answer, of: number)
  }

  /// Does what a peripheral has to say to the calls that wait for it.
  @inline(__always)
  mutating func obeyStop(of number: Int) {
    if let stop = served[number].peripheral.takeStop() { stopAll(number, stop.lane, stop.reason) }
  }

  @inline(never)
  mutating func stopAll(_ number: Int, _ lane: Int?, _ reason: StopReason) {
    let now = monotonicNanoseconds()
    for place in served[number].lanes.indices where lane == nil || lane == place {
      // The one that is under way first: what the device still had was its.
      if let current = served[number].lanes[place].current { stop(current.call, number, place, reason, now: now) }
      for entry in served[number].lanes[place].queue.entries { stop(entry.call, number, place, reason, now: now) }
    }
  }

  /// Forgets what a channel whose session ended had under way.
  mutating func dropCalls(of channel: Int) {
    for number in 0..<served.count {
      for lane in served[number].lanes.indices {
        for entry in served[number].lanes[lane].queue.entries where entry.call.channel == channel {
          served[number].remove(entry.call, from: lane)
          channels[channel].drop(entry.call.slot)
        }
      }
    }
  }

  /// When something that waits has to be looked at next, though no event tells.
  func nextDeadline(now: UInt64) -> UInt64? {
    var next: UInt64?
    for number in 0..<served.count {
      for lane in served[number].lanes {
        for entry in lane.queue.entries {
          next = min(next ?? .max, channels[entry.call.channel].calls[entry.call.slot].deadline)
        }
        if lane.current == nil, let notBefore = lane.notBefore { next = min(next ?? .max, notBefore) }
        if let current = lane.current, current.wait == .time, !channels[current.call.channel].isSuspect {
          next = min(next ?? .max, now &+ 1_000_000)
        }
      }
    }
    return next
  }

  /// Whether a call waits for the device to take bytes.
  func wantsOutput(_ number: Int) -> Bool {
    served[number].lanes.contains { lane in
      lane.current.map { $0.wait == .writable && !channels[$0.call.channel].isSuspect } ?? false
    }
  }

  // ---- The broker itself (Spec 4 §6) ---------------------------------------------------------------------------------

  @_optimize(speed) @inline(never)
  private mutating func answerBroker(_ slot: Int, of index: Int) {
    let request = channels[index].calls[slot].request
    guard let operation = BrokerOperation(rawValue: request.operation) else { return refuse(slot, of: index, .notSupported) }
    guard request.peripheral == 0 else { return refuse(slot, of: index, .noDevice) }
    guard operation.allows(request, data: channels[index].calls[slot].dataCount) else {
      return refuse(slot, of: index, .invalid)
    }
    switch operation {
    case .ping: channels[index].echo(slot)
    case .find: find(slot, of: index)
    case .directory: list(slot, of: index, from: request.argument0)
    }
  }

  private mutating func find(_ slot: Int, of index: Int) {
    let data = channels[index].calls[slot].copyData(limit: maximumName)
    guard let number = (0..<served.count).first(where: { served[$0].name.utf8.elementsEqual(data) }) else {
      return refuse(slot, of: index, .noDevice)
    }
    guard let entry = entry(number, for: index) else { return refuse(slot, of: index, .access) }
    channels[index].answer(slot, Answer(count: 1, data: entry.size)) { entry.encode(into: &$0, at: $1) }
  }

  private mutating func list(_ slot: Int, of index: Int, from first: UInt32) {
    var entries: [DirectoryEntry] = []
    for number in 0..<served.count { if let entry = entry(number, for: index) { entries.append(entry) } }
    let total = entries.count
    var room = channels[index].maximumResponseData
    let page = entries.dropFirst(Int(clamping: first)).prefix {
      room -= $0.size
      return room >= 0
    }
    let size = page.reduce(0) { $0 + $1.size }
    channels[index].answer(slot, Answer(count: page.count, value: UInt32(clamping: total), data: size)) { bytes, offset in
      var place = offset
      for entry in page {
        entry.encode(into: &bytes, at: place)
        place += entry.size
      }
    }
  }

  /// What this channel's borrower may know of a peripheral; nil when it has no grant.
  private func entry(_ number: Int, for channel: Int) -> DirectoryEntry? {
    guard let access = channels[channel].rights[number].access else { return nil }
    return DirectoryEntry(
      number: UInt16(truncatingIfNeeded: number), peripheralClass: served[number].peripheral.peripheralClass, access: access,
      name: served[number].name)
  }
}
