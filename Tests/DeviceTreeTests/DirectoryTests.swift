import Foundation
import Linux
import TestSupport
import Testing

@testable import DeviceTree

@Suite("A tree as Linux shows it in /proc/device-tree")
struct DirectoryTests {
  private func temporaryDirectory() throws -> String {
    let path = temporaryPath()
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    return path
  }

  private func write(_ model: Model, to path: String) throws {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    for pair in model.properties { try Data(pair.value).write(to: URL(fileURLWithPath: "\(path)/\(pair.name)")) }
    for child in model.children { try write(child, to: "\(path)/\(child.name)") }
  }

  @Test("It says the same as the blob")
  func same() throws {
    let path = try temporaryDirectory()
    defer { try? FileManager.default.removeItem(atPath: path) }
    try write(board, to: path)
    let tree = try DeviceTree(path: path)
    #expect(Model(tree.root) == board.sorted)
    #expect(tree.node(at: "serial0")?.physicalRanges == [AddressRange(address: 0x4000_1000, size: 0x100)])
  }

  @Test("A loop of links ends, as too deep or too large")
  func loop() throws {
    let path = try temporaryDirectory()
    defer { try? FileManager.default.removeItem(atPath: path) }
    try FileManager.default.createSymbolicLink(atPath: "\(path)/a", withDestinationPath: path)
    try FileManager.default.createSymbolicLink(atPath: "\(path)/b", withDestinationPath: path)
    #expect(throws: DeviceTreeError.self) { try DeviceTree(path: path) }
  }

  @Test("What isn't there, or is too large, says so")
  func errors() throws {
    do {
      _ = try DeviceTree(path: "/nonexistent")
      Issue.record("read")
    } catch {
      #expect(error.text == "cannot be read: No such file or directory")
    }
    let path = try temporaryDirectory()
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Data(count: DeviceTree.maximumSize + 1).write(to: URL(fileURLWithPath: "\(path)/huge"))
    #expect(throws: DeviceTreeError.tooLarge) { try DeviceTree(path: path) }
    #expect(throws: DeviceTreeError.tooLarge) { try DeviceTree(path: "\(path)/huge") }
  }

  @Test("A property that this user may not read is not there", .enabled(if: geteuid() != 0, "root may read everything"))
  func unreadable() throws {
    let path = try temporaryDirectory()
    defer { try? FileManager.default.removeItem(atPath: path) }
    try write(board, to: path)
    chmod("\(path)/model", 0)
    #expect(try DeviceTree(path: path).root.property("model") == nil)
  }

  @Test("A directory that this user may not read is an error", .enabled(if: geteuid() != 0, "root may read everything"))
  func unreadableDirectory() throws {
    let path = try temporaryDirectory()
    defer {
      chmod("\(path)/soc", 0o700)
      chmod(path, 0o700)
      try? FileManager.default.removeItem(atPath: path)
    }
    try write(board, to: path)
    chmod("\(path)/soc", 0)
    #expect(throws: DeviceTreeError.unreadable(Errno(EACCES))) { try DeviceTree(path: path) }
    chmod(path, 0)
    #expect(throws: DeviceTreeError.unreadable(Errno(EACCES))) { try DeviceTree(path: path) }
  }

  @Test("What is neither a file nor a directory is left out: a pipe, a link to itself, a link to nothing")
  func others() throws {
    let path = try temporaryDirectory()
    defer { try? FileManager.default.removeItem(atPath: path) }
    try write(board, to: path)
    #expect(mkfifo("\(path)/pipe", 0o600) == 0)
    try FileManager.default.createSymbolicLink(atPath: "\(path)/self", withDestinationPath: "self")
    try FileManager.default.createSymbolicLink(atPath: "\(path)/nowhere", withDestinationPath: "nothing")
    #expect(Model(try DeviceTree(path: path).root) == board.sorted)
  }

  @Test("Directories nest as deep as a blob's nodes may, and no deeper")
  func deep() throws {
    let path = try temporaryDirectory()
    defer { try? FileManager.default.removeItem(atPath: path) }
    var deepest = path
    for _ in 1..<DeviceTree.maximumDepth { deepest += "/a" }
    try FileManager.default.createDirectory(atPath: deepest, withIntermediateDirectories: true)
    let tree = try DeviceTree(path: path)
    #expect(tree.node(at: String(deepest.dropFirst(path.count))) != nil)
    try FileManager.default.createDirectory(atPath: deepest + "/a", withIntermediateDirectories: true)
    do {
      _ = try DeviceTree(path: path)
      Issue.record("read")
    } catch {
      guard case .tooDeep = error else {
        Issue.record("\(error)")
        return
      }
    }
  }

  @Test("The sum of the properties is bounded, not only each one")
  func sum() throws {
    let path = try temporaryDirectory()
    defer { try? FileManager.default.removeItem(atPath: path) }
    let half = Data(count: DeviceTree.maximumSize / 2)
    try half.write(to: URL(fileURLWithPath: "\(path)/a"))
    #expect(try DeviceTree(path: path).root.property("a")?.bytes.count == half.count)
    try FileManager.default.createDirectory(atPath: "\(path)/child", withIntermediateDirectories: false)
    try half.write(to: URL(fileURLWithPath: "\(path)/child/b"))
    #expect(throws: DeviceTreeError.tooLarge) { try DeviceTree(path: path) }
  }
}
