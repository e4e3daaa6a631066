import Foundation
import TestSupport
import Testing

@testable import RingBuffer

/// Two threads, a real region, and far more messages than positions can count.
@Suite("A stream of messages")
struct StreamTests {
  /// GUESTBROKER_MESSAGES, or as many as a minute of a debug build allows; 10^9 take an optimised build some minutes.
  static let count: UInt64 = {
    if let text = ProcessInfo.processInfo.environment["GUESTBROKER_MESSAGES"], let count = UInt64(text) { return count }
    #if DEBUG
      return 300_000
    #else
      return 10_000_000
    #endif
  }()

  /// What message `number` holds: its number first, its sum last, so that one of another place or with a changed word differs.
  struct Recipe {
    let size: Int
    private let seed: UInt64

    init(_ number: UInt64, seed: UInt64) {
      // SplitMix64: cheap, and another one for each number.
      var word = number &+ seed
      word = (word ^ word >> 30) &* 0xbf58_476d_1ce4_e5b9
      word = (word ^ word >> 27) &* 0x94d0_49bb_1331_11eb
      self.seed = word ^ word >> 31
      // Most are as short as requests are; one in 64 takes several lines.
      size = word & 63 == 0 ? Int(16 + (word >> 32) % 880) : Int(1 + (word >> 32) % 63)
    }

    func word(_ index: Int) -> UInt64 { seed &+ UInt64(truncatingIfNeeded: index) &* 0x9e37_79b9_7f4a_7c15 }

    /// FNV-1a over words.
    static func sum(_ sum: UInt64, _ word: UInt64) -> UInt64 { (sum ^ word) &* 0x100_0000_01b3 }
  }

  @Test("Messages of random sizes arrive in order with their checksums right, from positions just below the wrap on")
  func randomSizes() throws {
    let seed = SeededGenerator("stream").seed
    let memory = TestRegion(size: 1 << 18)
    let layout = try LinkLayout(size: 1 << 18, channels: 1)
    final class Outcome: @unchecked Sendable { var text = "the receiver did not end" }
    let outcome = Outcome()
    // Sessions of which the low bits are dropped are where positions begin: 64 lines below the wrap.
    let receiver = inThread {
      var side = Endpoint(memory.region, layout: layout, channel: 0, role: .owner)
      side.start(session: 0xffff_fe07)
      while side.state != .established { _ = side.refresh() }
      outcome.text = Self.receive(&side.consumer, seed)
      side.end()
    }
    let sender = inThread {
      var side = Endpoint(memory.region, layout: layout, channel: 0, role: .borrower)
      side.start(session: 0xffff_fe0f)
      while side.state != .established { _ = side.refresh() }
      // Ends early when the other side does, which has something to say then.
      Self.send(&side, seed)
    }
    sender.wait()
    receiver.wait()
    #expect(outcome.text == "all arrived")
  }

  private static func send(_ side: inout Endpoint, _ seed: UInt64) {
    var message = MessageBuffer(capacity: 896)
    for number in 0..<count {
      let recipe = Recipe(number, seed: seed)
      let words = recipe.size / 8
      var storage = message.storage
      var sum: UInt64 = 0
      for index in 0..<words {
        let word = index == 0 ? number : index == words - 1 ? sum : recipe.word(index)
        sum = Recipe.sum(sum, word)
        storage.storeBytes(of: word, toByteOffset: 8 * index, as: UInt64.self)
      }
      for place in 8 * words..<recipe.size {
        storage.storeBytes(of: UInt8(truncatingIfNeeded: number), toByteOffset: place, as: UInt8.self)
      }
      message.count = recipe.size
      while (try? side.producer.send(message)) != true { if side.refresh() != .none { return } }
    }
  }

  /// Returns what is wrong with the first message that isn't as it was sent.
  private static func receive(_ consumer: inout Consumer, _ seed: UInt64) -> String {
    var message = MessageBuffer(capacity: 896)
    for number in 0..<count {
      let recipe = Recipe(number, seed: seed)
      do throws(RingError) {
        while try !consumer.receive(into: &message) {}
      } catch {
        return "message \(number): \(error)"
      }
      let bytes = message.bytes
      guard bytes.byteCount == recipe.size else { return "message \(number) has \(bytes.byteCount) bytes, not \(recipe.size)" }
      let words = recipe.size / 8
      var sum: UInt64 = 0
      for index in 0..<words {
        let word = bytes.unsafeLoad(fromByteOffset: 8 * index, as: UInt64.self)
        if index == 0, word != number { return "message \(word) came in the place of \(number)" }
        if index > 0, index == words - 1, word != sum { return "message \(number) has another checksum" }
        sum = Recipe.sum(sum, word)
      }
      for place in 8 * words..<recipe.size {
        let byte = bytes.unsafeLoad(fromByteOffset: place, as: UInt8.self)
        if byte != UInt8(truncatingIfNeeded: number) { return "message \(number) differs in byte \(place)" }
      }
    }
    return "all arrived"
  }
}
