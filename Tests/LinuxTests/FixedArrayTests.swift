import Linux
import Testing

@Suite("Arrays of things that can't be copied")
struct FixedArrayTests {
  @Test("An array of things that can't be copied destroys each of them once, also when making one fails")
  func fixedArray() throws {
    final class Counter { var alive = 0 }
    struct Thing: ~Copyable {
      let counter: Counter
      init(_ counter: Counter) {
        self.counter = counter
        counter.alive += 1
      }
      deinit { counter.alive -= 1 }
    }
    let counter = Counter()
    do {
      let things = FixedArray(count: 5) { _ in Thing(counter) }
      #expect(things.count == 5)
      #expect(counter.alive == 5)
    }
    #expect(counter.alive == 0)
    struct Failure: Error {}
    do {
      _ = try FixedArray(count: 5) { index in
        if index == 3 { throw Failure() }
        return Thing(counter)
      }
      Issue.record("nothing was thrown")
    } catch {}
    #expect(counter.alive == 0)
  }
}
