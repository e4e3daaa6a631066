import Testing

@testable import RingBuffer

@Suite("Where everything lies in a region")
struct LinkLayoutTests {
  @Test("Spec 2 §2: the example's 1 MiB with four channels has rings of 1024 lines")
  func example() throws {
    let layout = try LinkLayout(size: 1 << 20, channels: 4)
    #expect(layout.lines == 1024)
    #expect(layout.control(.owner, channel: 0) == 0x100)
    #expect(layout.control(.borrower, channel: 0) == 0x180)
    #expect(layout.control(.owner, channel: 3) == 0x400)
    #expect(layout.ring(from: .borrower, channel: 0) == 0x1000)
    #expect(layout.ring(from: .owner, channel: 0) == 0x1000 + 1024 * 64)
    #expect(layout.ring(from: .borrower, channel: 1) == 0x1000 + 2 * 1024 * 64)
  }

  @Test("Spec 2 §2: rings never overlap each other, the control words or the end", arguments: 1...8)
  func disjoint(channels: Int) throws {
    for size in [0x1000 + channels * 2 * 64 * 64, 1 << 16, 1 << 20, (1 << 24) + 4096, 1 << 28] {
      guard let layout = try? LinkLayout(size: size, channels: channels) else {
        #expect(size < 0x1000 + channels * 2 * 64 * 64)
        continue
      }
      #expect(layout.lines.nonzeroBitCount == 1)
      #expect((64...65536).contains(layout.lines))
      var starts: [Int] = []
      for channel in 0..<channels {
        #expect(layout.control(.borrower, channel: channel) + 0x80 <= 0x1000)
        starts += [layout.ring(from: .borrower, channel: channel), layout.ring(from: .owner, channel: channel)]
      }
      for (index, start) in starts.enumerated() { #expect(start == 0x1000 + index * layout.lines * 64) }
      #expect(starts[starts.count - 1] + layout.lines * 64 <= size)
    }
  }

  @Test("Too small a region says how many bytes it needs")
  func tooSmall() {
    #expect(throws: LinkLayout.Invalid.tooSmall(needed: 0x1000 + 8192)) { try LinkLayout(size: 0x2fff, channels: 1) }
    #expect(throws: LinkLayout.Invalid.tooSmall(needed: 0x1000 + 8 * 8192)) { try LinkLayout(size: 0, channels: 8) }
  }

  @Test("Channels are 1 to 8", arguments: [-1, 0, 9, .max])
  func channels(count: Int) {
    #expect(throws: LinkLayout.Invalid.badChannels) { try LinkLayout(size: 1 << 20, channels: count) }
  }

  @Test("Spec 2 §2: the identity is read back as it was written")
  func identity() throws {
    let memory = TestRegion(size: 4096)
    let identity = LinkIdentity(try LinkLayout(size: 1 << 20, channels: 4), protocolVersion: 7)
    #expect(LinkIdentity(reading: memory.region) != identity)
    identity.write(to: memory.region)
    #expect(LinkIdentity(reading: memory.region) == identity)
  }
}
