import CLinux
import Foundation
import TestSupport
import Testing

@testable import SharedMemory

@Suite("Who holds a link's channels")
struct HoldersTests {
  @Test("The bytes of a file's description that are locked are counted, others' and other files' lines are not")
  func lines() {
    let info = """
      pos:\t0
      flags:\t02100002
      lock:\t1: OFDLCK ADVISORY  WRITE -1 00:1b:35 0 2
      lock:\t2: OFDLCK  ADVISORY  WRITE -1 00:1b:35 4 4
      lock:\t3: POSIX  ADVISORY  WRITE 17 00:1b:35 3 3
      lock:\t4: OFDLCK
      lock:\t5: OFDLCK ADVISORY  WRITE -1 00:1b:35 9 EOF
      lock:\t6: OFDLCK ADVISORY  WRITE -1 00:1b:35 x 3
      """
    func locked(_ first: UInt64, _ count: UInt64) -> Int { lockedBytes(Array(info.utf8), from: first, count: count) }
    #expect(locked(1, 4) == 3)
    #expect(locked(1, 8) == 3)
    #expect(locked(1, 10) == 5)
    #expect(locked(0, 1) == 1)
    #expect(locked(5, 2) == 0)
    #expect(lockedBytes([], from: 1, count: 4) == 0)
    #expect(lockedBytes([0xff, 0x0a, 0x6c], from: .max, count: 8) == 0)
  }

  @Test("A process is found with how many it holds; the owner's byte and other files' locks don't count")
  func processes() throws {
    let paths = (0..<2).map { _ in temporaryMemory() }
    defer { for path in paths { unlink(path) } }
    let mappings = try paths.map { try Mapping(.file($0), size: 8192) }
    #expect(try mappings[0].lock(.owner))
    #expect(try mappings[1].lock(.channel(3)))
    #expect(mappings[0].holders(channels: 4) == ChannelHolders())
    #expect(try mappings[0].lock(.channel(1)))
    #expect(try mappings[0].lock(.channel(2)))
    let own = UInt64(getpid())
    #expect(mappings[0].holders(channels: 4) == ChannelHolders(processes: [own], channels: 2))
    // A file that has lost its name still has its holders.
    unlink(paths[1])
    #expect(mappings[1].holders(channels: 4) == ChannelHolders(processes: [own], channels: 1))
  }
}
