import TestSupport
import Testing

@testable import OwnerService

@Suite("Who is next")
struct QueueTests {
  private func entry(_ slot: Int, guest: Int, priority: UInt8 = 0, cost: Int = 1) -> Queue.Entry {
    Queue.Entry(call: CallID(channel: guest, slot: slot), guest: guest, priority: priority, cost: cost)
  }

  @Test("A guest's calls are done in the order in which they came")
  func order() {
    var queue = Queue(guests: 2)
    for slot in 0..<10 { queue.add(entry(slot, guest: 0, cost: slot * 1000)) }
    var found: [Int] = []
    while let next = queue.next({ _ in true }) {
      found.append(next.call.slot)
      queue.begin(next)
      queue.remove(next.call)
    }
    #expect(found == Array(0..<10))
  }

  @Test("The highest priority comes first, whoever it is and however much it has had")
  func priority() {
    var queue = Queue(guests: 3)
    queue.add(entry(0, guest: 0, priority: 1, cost: 4096))
    queue.add(entry(1, guest: 1, priority: 7, cost: 4096))
    queue.add(entry(2, guest: 2, priority: 3, cost: 4096))
    queue.add(entry(3, guest: 1, priority: 7, cost: 4096))
    var found: [Int] = []
    while let next = queue.next({ _ in true }) {
      found.append(next.call.slot)
      queue.begin(next)
      queue.remove(next.call)
    }
    #expect(found == [1, 3, 2, 0])
  }

  @Test("What can't be begun is passed over, and nothing is next when nothing can")
  func eligible() {
    var queue = Queue(guests: 2)
    queue.add(entry(0, guest: 0))
    queue.add(entry(1, guest: 1))
    #expect(queue.next { $0.guest == 1 }?.call.slot == 1)
    #expect(queue.next { _ in false } == nil)
    #expect(queue.entries.count == 2)
  }

  @Test("Guests of one priority get shares of equal size, whatever sizes their calls have and however many they queue")
  func shares() {
    var generator = SeededGenerator("shares")
    for _ in 0..<20 {
      let guests = Int.random(in: 2...8, using: &generator)
      var queue = Queue(guests: guests)
      var got = [Int](repeating: 0, count: guests)
      // Guest 0 floods with many calls; each has sizes of its own.
      let sizes = (0..<guests).map { _ in Int.random(in: 1...4096, using: &generator) }
      var slot = 0
      func refill(_ guest: Int) {
        slot += 1
        queue.add(entry(slot, guest: guest, cost: sizes[guest]))
      }
      for guest in 0..<guests { for _ in 0..<(guest == 0 ? 50 : 1) { refill(guest) } }
      while got.reduce(0, +) < guests * 1_000_000 {
        guard let next = queue.next({ _ in true }) else {
          Issue.record("nothing is next")
          return
        }
        queue.begin(next)
        queue.remove(next.call)
        got[next.guest] += next.cost
        refill(next.guest)
      }
      for share in got { #expect(abs(share - 1_000_000) < 10_000, "\(got) of \(sizes)") }
    }
  }

  @Test("A guest that had nothing to ask for for long gets no more before the others than the allowance")
  func idle() {
    var queue = Queue(guests: 2)
    for slot in 0..<1000 {
      queue.add(entry(slot, guest: 0, cost: 4096))
      if let next = queue.next({ _ in true }) {
        queue.begin(next)
        queue.remove(next.call)
      }
    }
    for slot in 0..<100 {
      queue.add(entry(slot, guest: 0, cost: 4096))
      queue.add(entry(100 + slot, guest: 1, cost: 4096))
    }
    var first: [Int] = []
    for _ in 0..<60 {
      guard let next = queue.next({ _ in true }) else { break }
      first.append(next.guest)
      queue.begin(next)
      queue.remove(next.call)
    }
    let ahead = first.filter { $0 == 1 }.count - first.filter { $0 == 0 }.count
    #expect((14...18).contains(ahead))
  }

  @Test(
    "Random traffic: every call is next exactly once, and a call of a lower priority never before a higher one that could be begun"
  )
  func model() {
    var generator = SeededGenerator("queue")
    var queue = Queue(guests: 5)
    var waiting: [Queue.Entry] = []
    var slot = 0
    for _ in 0..<20_000 {
      if Bool.random(using: &generator) {
        slot += 1
        let new = entry(
          slot, guest: Int.random(in: 0..<5, using: &generator), priority: UInt8.random(in: 0...2, using: &generator),
          cost: Int.random(in: 0...9000, using: &generator))
        queue.add(new)
        waiting.append(new)
      } else {
        let blocked = Int.random(in: 0..<6, using: &generator)
        let next = queue.next { $0.guest != blocked }
        let able = waiting.filter { $0.guest != blocked }
        guard let next else {
          #expect(able.isEmpty)
          continue
        }
        #expect(next.priority == able.map { $0.priority }.max())
        #expect(able.first { $0.guest == next.guest && $0.priority == next.priority } == next)
        queue.begin(next)
        queue.remove(next.call)
        waiting.removeAll { $0 == next }
      }
      #expect(queue.entries == waiting)
    }
  }
}
