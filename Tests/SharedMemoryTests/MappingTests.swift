import CLinux
import DeviceTree
import Foundation
import RingBuffer
import TestSupport
import Testing

@testable import Partition
@testable import SharedMemory

@Suite("A link's region, mapped")
struct MappingTests {
  @Test("A file is made with the size and for this user alone, and both sides see the same words")
  func file() throws {
    let path = temporaryMemory()
    defer { unlink(path) }
    let one = try Mapping(.file(path), size: 8192)
    let other = try Mapping(.file(path), size: 8192)
    one.region.word(at: 4096).store(0x1234_5678)
    #expect(other.region.word(at: 4096).load() == 0x1234_5678)
    let attributes = try FileManager.default.attributesOfItem(atPath: path)
    #expect(attributes[.size] as? Int == 8192)
    #expect(attributes[.posixPermissions] as? Int == 0o600)
  }

  @Test("A file that is too small is left as it is")
  func tooSmall() throws {
    let path = temporaryMemory()
    defer { unlink(path) }
    _ = FileManager.default.createFile(atPath: path, contents: Data(count: 4096))
    do {
      _ = try Mapping(.file(path), size: 8192)
      Issue.record("a short file was mapped")
    } catch {
      #expect(error.text == "\(path) has 4096 bytes, but the link needs 8192; make it larger or mend the device tree's reg")
    }
    #expect(try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int == 4096)
  }

  struct Contents {
    let bytes: Int
    /// Where `text` stands; all else is 0.
    let place: Int
    let text: String
    let isTaken: Bool

    init(_ bytes: Int, _ place: Int, _ text: String, isTaken: Bool) {
      (self.bytes, self.place, self.text, self.isTaken) = (bytes, place, text, isTaken)
    }

    static let all: [Contents] = [
      Contents(8192, 0, "#!/b", isTaken: true),
      Contents(8193, 0, "#!/b", isTaken: false),
      Contents(1 << 20, 0x10, "text", isTaken: false),
      Contents(1 << 20, 4095, "x", isTaken: false),
      Contents(1 << 20, 0, "GBLK", isTaken: true),
      Contents(1 << 20, 4096, "text", isTaken: true),
      // A borrower's control words, where no owner has been yet.
      Contents(1 << 20, 0x180, "text", isTaken: true),
      Contents(1 << 20, 0x1f0, "text", isTaken: true),
      Contents(1 << 20, 0x880, "text", isTaken: true),
      Contents(1 << 20, 0x980, "text", isTaken: false),
    ]
  }

  @Test(
    "A longer file is taken if it begins as a region or with zeros, a file of the region's size whatever is in it; another one is left as it is",
    arguments: Contents.all)
  func otherFile(contents: Contents) throws {
    let (bytes, place, text, isTaken) = (contents.bytes, contents.place, contents.text, contents.isTaken)
    let path = temporaryMemory()
    defer { unlink(path) }
    var content = Data(count: bytes)
    content.replaceSubrange(place..<place + text.utf8.count, with: Data(text.utf8))
    try content.write(to: URL(fileURLWithPath: path))
    do {
      let mapping = try Mapping(.file(path), size: 8192)
      #expect(isTaken)
      withExtendedLifetime(mapping) {}
    } catch {
      #expect(!isTaken)
      #expect(
        error.text
          == "\(path) has \(bytes) bytes of something else: it is not as long as the link's region, 8192 bytes, and doesn't begin as one; it was left as it is. Name another file with --memory, or remove this one"
      )
    }
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == content)
  }

  @Test("Where the tree doesn't say the region's size a file must begin as a region or with zeros")
  func unknownSize() throws {
    let path = temporaryMemory()
    defer { unlink(path) }
    try Data(repeating: 7, count: 1 << 16).write(to: URL(fileURLWithPath: path))
    let (partition, _) = try Partition.load(deviceTree: nil, builtInGuest: "guest2", running: [])
    var link = partition.links[0]
    link.memory = .ivshmem("0000:00:06.0")
    do {
      _ = try OpenLink(link, override: path, isExample: false)
      Issue.record("mapped")
    } catch {
      #expect(
        error.text
          == "\(path) has 65536 bytes of something else: it doesn't begin as a link's region; it was left as it is. Name another file with --memory, or remove this one"
      )
    }
  }

  @Test("A region that the tree makes larger than a link uses may be a file of just that size")
  func largeRegion() throws {
    let path = temporaryPath()
    defer { unlink(path) }
    let size = LinkLayout.maximumSize + 4096
    let file = open(path, O_RDWR | O_CREAT, 0o600)
    #expect(pwrite(file, "x", 1, 0) == 1 && ftruncate(file, off_t(size)) == 0)
    close(file)
    let opened = try RegionFile(path, for: .file(path))
    try opened.check(Int(LinkLayout.maximumSize), described: size)
    do {
      try opened.check(Int(LinkLayout.maximumSize), described: size + 4096)
      Issue.record("taken")
    } catch {
      guard case .otherContents = error else { throw error }
    }
  }

  @Test("A file that two make at once is one file, and a link to nothing makes what it names")
  func makers() throws {
    for _ in 0..<50 {
      let path = temporaryMemory()
      defer { unlink(path) }
      DispatchQueue.concurrentPerform(iterations: 4) { _ in
        do { _ = try Mapping(.file(path), size: 8192) } catch { Issue.record("\(error)") }
      }
    }
    let (path, target) = (temporaryMemory(), temporaryMemory())
    defer {
      unlink(path)
      unlink(target)
    }
    #expect(symlink(target, path) == 0)
    _ = try Mapping(.file(path), size: 8192)
    #expect(access(target, F_OK) == 0)
  }

  @Test("A link planted in /dev/shm by another is not followed")
  func planted() throws {
    let path = temporaryMemory()
    let target = temporaryMemory()
    defer {
      unlink(path)
      unlink(target)
    }
    #expect(symlink(target, path) == 0)
    #expect(throws: MappingError.self) { try Mapping(.ownFile(path), size: 4096) }
    #expect(access(target, F_OK) != 0)
  }

  @Test("What can't be opened or mapped says why")
  func unreachable() {
    do {
      _ = try Mapping(.file("/nonexistent/x"), size: 4096)
      Issue.record("mapped")
    } catch {
      #expect(error.text == "cannot open /nonexistent/x: No such file or directory")
    }
    do {
      _ = try Mapping(.file("/dev/null"), size: 4096)
      Issue.record("mapped")
    } catch {
      #expect(error.text == "cannot map /dev/null: No such device")
    }
  }

  @Test(
    "/dev/mem that is missing or forbidden says so",
    .enabled(if: access("/dev/mem", R_OK | W_OK) != 0, "this machine lets /dev/mem be opened"))
  func physical() {
    do {
      _ = try Mapping(.physical(0x8f00_0000), size: 4096)
      Issue.record("mapped")
    } catch {
      #expect(error.text.hasPrefix("cannot open /dev/mem at 0x8f000000: "))
    }
  }

  @Test("A part is one holder's until its mapping goes")
  func locks() throws {
    let path = temporaryMemory()
    defer { unlink(path) }
    let one = try Mapping(.file(path), size: 8192)
    do {
      let other = try Mapping(.file(path), size: 8192)
      #expect(try other.lock(.owner))
      #expect(try !one.lock(.owner))
      #expect(try one.lock(.channel(0)))
      #expect(try !other.lock(.channel(0)))
      #expect(try other.lock(.channel(1)))
    }
    #expect(try one.lock(.owner))
    #expect(try one.lock(.channel(1)))
  }

  @Test("The built-in example's link is a file of this user's with a futex; a board's is /dev/mem with a timed poll")
  func openLink() throws {
    let (partition, _) = try Partition.load(deviceTree: nil, builtInGuest: "guest2", running: [])
    var link = partition.links[0]
    link.name = "test\(UInt16.random(in: 0...UInt16.max))"
    let opened = try OpenLink(link, override: nil, isExample: true)
    #expect(opened.source.text == "/dev/shm/guestbroker-\(geteuid())-\(link.name)")
    unlink(opened.source.text)
    #expect(opened.doorbell.isFutex)
    #expect(opened.layout.size == 1 << 20 && opened.layout.channels == 4)
    let path = temporaryMemory()
    defer { unlink(path) }
    let board = try OpenLink(link, override: path, isExample: false)
    if case .poll(200_000) = board.doorbell {} else { Issue.record("\(board.doorbell)") }
    #expect(board.source.text == path)
  }

  @Test("A region that doesn't fit its channels is refused before anything is opened")
  func badLayout() throws {
    let (partition, _) = try Partition.load(deviceTree: nil, builtInGuest: "guest2", running: [])
    var link = partition.links[0]
    link.memory = .physical(AddressRange(address: 0x8f00_0000, size: 4096), node: "/x")
    do {
      _ = try OpenLink(link, override: "/nonexistent/x", isExample: false)
      Issue.record("opened")
    } catch {
      #expect(
        error.text
          == "its region has 4096 bytes, but its channels need 36864; enlarge reg or lower channels in both device trees")
    }
  }
}

@Suite("A region's file that changes while it is mapped", .serialized)
struct LossTests {
  @Test("All of a file's bytes have room once it is mapped, in a new one and in the holes of an old one, whose contents stay")
  func reserved() throws {
    for isOld in [false, true] {
      let path = temporaryMemory()
      defer { unlink(path) }
      if isOld {
        let file = open(path, O_RDWR | O_CREAT, 0o600)
        #expect(pwrite(file, "GBLK", 4, 0) == 4)
        #expect(ftruncate(file, 1 << 16) == 0)
        close(file)
      }
      let mapping = try Mapping(.file(path), size: 1 << 16)
      var found = stat()
      #expect(stat(path, &found) == 0)
      #expect(found.st_blocks * 512 >= 1 << 16)
      #expect(mapping.region.word(at: 0).load() == (isOld ? 0x4b4c_4247 : 0))
      withExtendedLifetime(mapping) {}
    }
  }

  @Test("A mapping whose file is cut short becomes zeros and says so; another one stays as it was")
  func lost() throws {
    let paths = (0..<2).map { _ in temporaryMemory() }
    defer { for path in paths { unlink(path) } }
    let mappings = try paths.map { try Mapping(.file($0), size: 1 << 16) }
    for mapping in mappings { mapping.region.word(at: 4096).store(7) }
    #expect(truncate(paths[0], 0) == 0)
    #expect(mappings.map { $0.isLost } == [false, false])
    mappings[0].region.word(at: 8192).store(5)
    #expect(mappings.map { $0.isLost } == [true, false])
    #expect(mappings.map { $0.region.word(at: 4096).load() } == [0, 7])
    #expect(mappings[0].region.word(at: 8192).load() == 5)
    // A mapping that is made where that one was has nothing of it.
    let others = try (0..<4).map { _ in try Mapping(.file(paths[1]), size: 1 << 16) }
    #expect(!others.contains { $0.isLost })
    withExtendedLifetime(mappings) {}
  }

  @Test("A file that was removed, or whose name another one has, is noticed; one that is reached by another name too is not")
  func removed() throws {
    let (path, other) = (temporaryMemory(), temporaryMemory())
    defer {
      unlink(path)
      unlink(other)
    }
    let mapping = try Mapping(.file(path), size: 4096)
    #expect(!mapping.isRemoved)
    #expect(link(path, other) == 0)
    #expect(!mapping.isRemoved)
    unlink(path)
    #expect(mapping.isRemoved)
    _ = try Mapping(.file(path), size: 4096)
    #expect(mapping.isRemoved)
    #expect(rename(other, path) == 0)
    #expect(!mapping.isRemoved)
    unlink(path)
    #expect(mapping.isRemoved)
  }

  @Test("Threads that all touch a region that is cut short go on, thousands of times")
  func manyThreads() throws {
    for _ in 0..<200 {
      let path = temporaryMemory()
      let mapping = try Mapping(.file(path), size: 1 << 16)
      let done = DispatchGroup()
      for start in 0..<4 {
        done.enter()
        Thread.detachNewThread {
          var place = start * 4
          while !mapping.isLost {
            mapping.region.word(at: place).store(1)
            place = (place + 4096) % (1 << 16)
          }
          done.leave()
        }
      }
      #expect(truncate(path, 0) == 0)
      unlink(path)
      done.wait()
    }
  }

  // By SIGBUS, or by what a sanitizer makes of it.
  @Test("A bad access elsewhere still ends the program")
  func elsewhere() async {
    await #expect(processExitsWith: .failure) {
      let paths = (0..<2).map { _ in temporaryMemory() }
      let mapping = try Mapping(.file(paths[0]), size: 4096)
      let file = open(paths[1], O_RDWR | O_CREAT, 0o600)
      let memory = try #require(lx_map(file, 0, 4096))
      for path in paths { unlink(path) }
      mapping.probe()
      memory.storeBytes(of: 1, as: UInt8.self)
    }
  }

  @Test("SIGBUS that somebody sends still ends the program")
  func sent() async {
    await #expect(processExitsWith: .failure) {
      let path = temporaryMemory()
      let mapping = try Mapping(.file(path), size: 4096)
      unlink(path)
      mapping.probe()
      kill(getpid(), SIGBUS)
      sleep(60)  // another thread may have got it
    }
  }

  @Test("A futex's watch ends when its doorbell's page is gone, whether it slept or not")
  func watch() throws {
    for isAsleep in [false, true] {
      let path = temporaryMemory()
      let mapping = try Mapping(.file(path), size: 4096)
      let event = lx_eventfd(0)
      defer { close(event) }
      let watch = try FutexWatch(mapping.region.word(at: 64), of: mapping, event: event)
      if isAsleep { usleep(50_000) }
      #expect(truncate(path, 0) == 0)
      unlink(path)
      _ = watch
    }
  }
}
