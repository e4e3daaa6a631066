import TestSupport
import Testing

@testable import OwnerService

@Suite("The queue of received bytes")
struct ByteQueueTests {
  @Test("Bytes come out as they went in, through every wrap; what comes back is the oldest again, and always has room")
  func model() {
    var generator = SeededGenerator("byteQueue")
    var queue = ByteQueue(capacity: 37)
    var model: [UInt8] = []
    /// What is lent, in the order in which it went out.
    var lent: [[UInt8]] = []
    var next: UInt8 = 0
    for _ in 0..<50_000 {
      switch Int.random(in: 0..<8, using: &generator) {
      case 0...2:
        let most = Int.random(in: 0...40, using: &generator)
        let got = queue.fill { space in
          let count = min(most, space.count)
          for i in 0..<count {
            space[i] = next
            model.append(next)
            next &+= 1
          }
          return count
        }
        expect(got >= 0)
      case 3...5:
        let most = Int.random(in: 0...40, using: &generator)
        var bytes = [UInt8](repeating: 99, count: 50)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        let count = queue.lend(most, to: &raw, at: 10)
        let out = Array(bytes[10..<10 + count])
        expect(count == min(most, model.count) && out == Array(model.prefix(count)))
        model.removeFirst(count)
        if count > 0 { lent.append(out) }
      case 6:
        guard !lent.isEmpty else { continue }
        queue.settle(lent.removeFirst().count)
      default:
        guard let bytes = lent.popLast() else { continue }
        queue.takeBack(bytes[...])
        model = bytes + model
      }
      expect(queue.count == model.count && queue.lent == lent.reduce(0) { $0 + $1.count })
      expect(queue.count + queue.lent <= 37 && queue.isFull == (queue.count + queue.lent == 37))
    }
    _ = queue.fill { _ in -1 }
    expect(queue.count == model.count)
  }

  /// As `#expect`, which can't look into an expression with values that can't be copied.
  private func expect(_ condition: Bool, at place: SourceLocation = #_sourceLocation) {
    if !condition { Issue.record(sourceLocation: place) }
  }
}
