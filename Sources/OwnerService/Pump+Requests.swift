import BrokerProtocol
import Linux
import Partition

extension Pump {
  @inline(__always)
  mutating func dispatch(_ slot: Int, of index: Int) {
    let request = clients[index].slots[slot].request
    if request.frameClass == FrameClass.broker.rawValue { return answerBroker(request, slot, of: index) }
    let number = Int(request.peripheral)
    guard number < directory.count else { return clients[index].answer(slot, .noDevice, executed: .no) }
    let access = clients[index].grants[number]
    guard access != 0 else { return clients[index].answer(slot, .access, executed: .no) }
    switch directory[number].kind {
    case .uart(let uart) where request.frameClass == FrameClass.uart.rawValue:
      uarts[uart].handle(slot: slot, of: index, &clients, access: access)
    default:
      clients[index].answer(slot, .notSupported, executed: .no)
    }
  }

  @_optimize(speed) @inline(never)
  private mutating func answerBroker(_ request: Request, _ slot: Int, of index: Int) {
    guard let operation = BrokerOperation(rawValue: request.operation) else {
      return clients[index].answer(slot, .notSupported, executed: .no)
    }
    guard request.peripheral == 0 else { return clients[index].answer(slot, .noDevice, executed: .no) }
    guard operation.allows(request, data: clients[index].slots[slot].dataCount) else {
      return clients[index].answer(slot, .invalid, executed: .no)
    }
    switch operation {
    case .ping: clients[index].echo(slot)
    case .find:
      let data = clients[index].slots[slot].copyData(limit: maximumName)
      guard let number = directory.firstIndex(where: { $0.name.utf8.elementsEqual(data) }) else {
        return clients[index].answer(slot, .noDevice, executed: .no)
      }
      guard let entry = entry(number, for: index) else { return clients[index].answer(slot, .access, executed: .no) }
      clients[index].answer(slot, executed: .yes, count: 1, data: entry.size) { entry.encode(into: &$0, at: $1) }
    case .directory:
      var entries: [DirectoryEntry] = []
      for number in directory.indices { if let entry = entry(number, for: index) { entries.append(entry) } }
      let total = entries.count
      var room = clients[index].maximumResponseData
      let page = entries.dropFirst(Int(clamping: request.argument0)).prefix {
        room -= $0.size
        return room >= 0
      }
      let size = page.reduce(0) { $0 + $1.size }
      clients[index].answer(slot, executed: .yes, count: page.count, value: total, data: size) { bytes, offset in
        var place = offset
        for entry in page {
          entry.encode(into: &bytes, at: place)
          place += entry.size
        }
      }
    }
  }

  /// What this client may know of a peripheral; nil when it has no grant.
  private func entry(_ number: Int, for client: Int) -> DirectoryEntry? {
    let access = clients[client].grants[number]
    guard access != 0 else { return nil }
    let frameClass: FrameClass =
      switch directory[number].kind {
      case .uart: .uart
      }
    return DirectoryEntry(
      number: UInt16(truncatingIfNeeded: number), frameClass: frameClass, access: access, name: directory[number].name)
  }
}
