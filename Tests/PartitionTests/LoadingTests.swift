import DeviceTree
import Foundation
import Linux
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

  @Test("The near name is the one that was probably meant")
  func near() {
    #expect(nearest("uart3", in: ["i2c1", "uart2"]) == "uart2")
    #expect(nearest("uatr2", in: ["uart1", "uart2"]) == "uart2")
    #expect(nearest("spi0", in: ["uart2"]) == nil)
    #expect(nearest("", in: ["uart2"]) == nil)
    #expect(nearest("uart2", in: []) == nil)
    #expect(nearest(String(repeating: "x", count: 100_000), in: ["uart2"]) == nil)
  }
}
