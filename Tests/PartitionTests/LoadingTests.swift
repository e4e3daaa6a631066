import DeviceTree
import Foundation
import Linux
import Program
import Text
import TestSupport
import Testing

@testable import Partition

@Suite("Which device tree")
struct LoadingTests {
  private func file(_ bytes: [UInt8]) throws -> String {
    let path = temporaryPath()
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    return path
  }

  private func failure(_ tree: String?, guest: String = "guest1", running: [String] = []) -> LoadError? {
    do {
      _ = try Partition.load(deviceTree: tree, builtInGuest: guest, running: running)
      return nil
    } catch {
      return error
    }
  }

  /// A tree with a root and nothing of ours.
  private var plain: [UInt8] {
    var blob = builtInGuest1
    // The guest node's own "compatible" no longer fits.
    let wanted = Array("guestbroker,guest-v1".utf8)
    if let place = (0..<blob.count - wanted.count).first(where: { blob[$0..<$0 + wanted.count].elementsEqual(wanted) }) {
      blob[place] = 0x78
    }
    return blob
  }

  @Test("The one that the user names")
  func given() throws {
    let path = try file(builtInGuest2)
    defer { unlink(path) }
    let (partition, source) = try Partition.load(deviceTree: path, builtInGuest: "guest1", running: [])
    #expect(partition.guestName == "guest2")
    #expect(source.text == path)
  }

  @Test("The example is taken when it is asked for, and not when it is ruled out")
  func exampleUse() throws {
    let own = try file(builtInGuest2)
    defer { unlink(own) }
    let (example, source) = try Partition.load(deviceTree: nil, builtInGuest: "guest1", use: .always, running: [own])
    #expect(example.guestName == "guest1")
    #expect(source.text == "the built-in example")
    let (partition, _) = try Partition.load(deviceTree: nil, builtInGuest: "guest1", use: .never, running: [own])
    #expect(partition.guestName == "guest2")
    let error = #expect(throws: LoadError.self) {
      try Partition.load(deviceTree: nil, builtInGuest: "guest1", use: .never, running: ["/nonexistent"])
    }
    #expect(error?.text.hasPrefix("there is no guestbroker node in /proc/device-tree") == true)
    #expect(error?.exitCode == .config)
  }

  @Test("A pipe or a device is refused: it may have no end")
  func notAFile() throws {
    let path = temporaryPath()
    #expect(mkfifo(path, 0o600) == 0)
    defer { unlink(path) }
    for path in [path, "/dev/zero"] {
      let error = try #require(failure(path))
      #expect(error.text.hasPrefix("\(path) is neither a file nor a directory; name a flattened device tree (.dtb)"))
      #expect(error.exitCode == .noInput)
    }
  }

  @Test("A path that is not UTF-8 reaches the file")
  func anyPath() throws {
    let path = temporaryPath()
    let other = Array("\(path)-".utf8) + [0xe9]
    try Data(builtInGuest2).write(to: URL(fileURLWithPath: path))
    #expect(rename(path, String(systemBytes: other).systemPath) == 0)
    defer { unlink(String(systemBytes: other).systemPath) }
    #expect(failure(String(systemBytes: other)) == nil)
  }

  @Test("Else the running guest's own, if it has a guestbroker node; else the built-in example")
  func running() throws {
    let (other, own) = (try file(plain), try file(builtInGuest2))
    defer {
      unlink(other)
      unlink(own)
    }
    let (partition, source) = try Partition.load(
      deviceTree: nil, builtInGuest: "guest1", running: ["/nonexistent", other, own])
    #expect(partition.guestName == "guest2")
    #expect(source.text == own)
    let (example, builtIn) = try Partition.load(deviceTree: nil, builtInGuest: "guest1", running: ["/nonexistent", other])
    #expect(example.guestName == "guest1")
    #expect(builtIn.text == "the built-in example")
  }

  @Test("A running tree in a directory is recognised by its node, and a mistake in it is not passed over for the example")
  func runningDirectory() throws {
    let path = temporaryPath()
    try FileManager.default.createDirectory(atPath: path + "/broker", withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Data("guestbroker,guest-v1\0".utf8).write(to: URL(fileURLWithPath: path + "/broker/compatible"))
    let error = try #require(failure(nil, running: [path]))
    #expect(error.text == "\(path): /broker: property guest-name is missing; it should be this guest's name")
    #expect(error.exitCode == .config)
  }

  @Test("What can't be read, or is no tree, says so, with the exit code for it")
  func errors() throws {
    let missing = try #require(failure("/nonexistent"))
    #expect(missing.text == "/nonexistent cannot be read: No such file or directory")
    #expect(missing.exitCode == .noInput)
    let half = try file(Array(builtInGuest1.prefix(1000)))
    let garbage = try file([1, 2, 3])
    let other = try file(plain)
    defer { for path in [half, garbage, other] { _ = unlink(path) } }
    #expect(failure(half)?.text == "\(half) is truncated: what offset 0x4 refers to is missing")
    #expect(failure(half)?.exitCode == .dataError)
    #expect(failure(garbage)?.exitCode == .dataError)
    #expect(
      failure(other)?.text
        == "\(other): no node is compatible with \"guestbroker,guest-v1\"; add one to this guest's device tree")
    #expect(failure(other)?.exitCode == .config)
    let guest = try #require(failure(nil, guest: "guest3"))
    #expect(
      guest.text
        == "the built-in example partition has no guest called guest3, but guest1 and guest2; name one of them, or a device tree with --device-tree"
    )
    #expect(guest.exitCode == .config)
  }

  @Test("Bytes that are no device tree, and a mistake in one that the user names, are said with its path")
  func mistakes() throws {
    let garbage = try file([1, 2, 3])
    var blob = builtInGuest1
    let wanted = Array("owner".utf8)
    let place = try #require((0..<blob.count - wanted.count).first { blob[$0..<$0 + wanted.count].elementsEqual(wanted) })
    blob[place] = 0x78
    let wrong = try file(blob)
    defer { for path in [garbage, wrong] { _ = unlink(path) } }
    #expect(
      failure(garbage)?.text
        == "\(garbage) is not a flattened device tree (no 0xd00dfeed at its start); compile it with dtc")
    #expect(
      failure(wrong)?.text
        == "\(wrong): /guestbroker/links/guest2: property role should be \"owner\" or \"borrower\"")
    #expect(failure(wrong)?.exitCode == .config)
    // Nor is it passed over when it is the running one.
    #expect(failure(nil, running: [wrong])?.text == failure(wrong)?.text)
  }

  @Test("A file that this user may not read says so", .enabled(if: geteuid() != 0, "root may read everything"))
  func unreadable() throws {
    let path = try file(builtInGuest1)
    defer { unlink(path) }
    chmod(path, 0)
    let error = try #require(failure(path))
    #expect(error.text == "\(path) cannot be read: Permission denied")
    #expect(error.exitCode == .noPermission)
    // As the running one, it is as good as none.
    #expect(failure(nil, guest: "guest2", running: [path]) == nil)
  }

  @Test("Each failure has its exit code")
  func exitCodes() {
    #expect(LoadError.tree(path: "a", .unreadable(Errno(EACCES))).exitCode == .noPermission)
    #expect(LoadError.tree(path: "a", .unreadable(Errno(EPERM))).exitCode == .noPermission)
    #expect(LoadError.tree(path: "a", .unreadable(Errno(ENOENT))).exitCode == .noInput)
    #expect(LoadError.tree(path: "a", .unreadable(.io)).exitCode == .noInput)
    for error: DeviceTreeError in [.tooLarge, .notADeviceTree, .unsupportedVersion(1), .truncated(offset: 0, path: "")] {
      #expect(LoadError.tree(path: "a", error).exitCode == .dataError)
    }
    #expect(LoadError.partition(path: "a", .noGuestNode).exitCode == .config)
    #expect(LoadError.unknownGuest("a").exitCode == .config)
  }

  @Test("A directory says the same as the blob that it was made from")
  func directory() throws {
    func write(_ node: Node, to path: String) throws {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      for name in node.propertyNames {
        try Data(node.property(name)?.bytes ?? []).write(to: URL(fileURLWithPath: "\(path)/\(name)"))
      }
      for child in node.children { try write(child, to: "\(path)/\(child.name)") }
    }
    for blob in [builtInGuest1, builtInGuest2] {
      let path = temporaryPath()
      defer { try? FileManager.default.removeItem(atPath: path) }
      try write(try DeviceTree(blob: blob).root, to: path)
      let expected = try Partition(try DeviceTree(blob: blob))
      for (partition, source) in [
        try Partition.load(deviceTree: path, builtInGuest: "guest1", running: []),
        try Partition.load(deviceTree: nil, builtInGuest: "guest1", running: [path]),
      ] {
        #expect(String(describing: partition) == String(describing: expected))
        #expect(source.text == path)
      }
    }
  }
}
