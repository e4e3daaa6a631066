import CLinux
import Foundation
import TestSupport
import Testing

@Suite("The heap of a guest's program")
struct HeapTests {
  /// What was taken, and what was written into it.
  private struct Block {
    let memory: UnsafeMutableRawPointer
    let size: Int
    let mark: UInt8

    init?(_ alignment: Int, _ size: Int, mark: UInt8) {
      guard let memory = lx_heap_take(alignment, size) else { return nil }
      if Int(bitPattern: memory) % max(16, alignment) != 0 { Issue.record("\(memory) is not aligned to \(alignment)") }
      memset(memory, Int32(mark), size)
      (self.memory, self.size, self.mark) = (memory, size, mark)
    }

    func give() {
      for place in 0..<size where memory.load(fromByteOffset: place, as: UInt8.self) != mark {
        Issue.record("byte \(place) of \(size) was changed")
        break
      }
      lx_heap_give(memory)
    }
  }

  private static func churn() {
    var generator = SeededGenerator("heap")
    var blocks: [Block] = []
    for step in 0..<20_000 {
      if blocks.count < 64, Bool.random(using: &generator) {
        // Most are small; some have blocks of their own, and the sizes around the powers of two are among them.
        let power = 1 << Int.random(in: 0...(step % 50 == 0 ? 18 : 12), using: &generator)
        let size = max(0, power + Int.random(in: -17...1, using: &generator))
        let alignment = 1 << Int.random(in: 0...7, using: &generator)
        guard let block = Block(alignment, size, mark: UInt8.random(in: 1...255, using: &generator)) else {
          Issue.record("no memory")
          return
        }
        blocks.append(block)
      } else if !blocks.isEmpty {
        blocks.remove(at: Int.random(in: 0..<blocks.count, using: &generator)).give()
      }
    }
    for block in blocks { block.give() }
  }

  @Test("Blocks of every size and alignment keep what is in them, until they are given back")
  func blocks() { Self.churn() }

  @Test("Threads take and give at once")
  func threads() {
    DispatchQueue.concurrentPerform(iterations: 4) { _ in Self.churn() }
  }

  @Test("What was given back is used again")
  func again() {
    let first = lx_heap_take(16, 3000)
    lx_heap_give(first)
    // Others of that size may come and go meanwhile.
    var isAgain = false
    for _ in 0..<1000 where !isAgain {
      let other = lx_heap_take(16, 3000)
      isAgain = other == first
      lx_heap_give(other)
    }
    #expect(isAgain)
  }

  @Test("More than there is, is refused", arguments: [Int.max, -1, -16, -100])
  func tooMuch(size: Int) {
    #expect(lx_heap_take(16, size) == nil)
    #expect(errno == ENOMEM)
    #expect(lx_heap_take(64, size) == nil)
    lx_heap_give(nil)
  }
}
