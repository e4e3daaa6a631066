import DeviceTree
import Foundation
import TestSupport
import Testing

@testable import TreeTools

@Suite("Writing flattened trees")
struct FlattenedWriterTests {
  @Test("What is read is written, and read again as the same", arguments: [FlattenedVersion.v16, .v17])
  func roundTrip(version: FlattenedVersion) throws {
    let tree = try DeviceTree(blob: BlobWriter.blob(board))
    let blob = try tree.blob(version: version)
    let again = try DeviceTree(blob: blob)
    #expect(Model(again.root) == board)
    #expect(try again.blob(version: version) == blob)
    #expect(bigEndianWord(blob, at: 20) == version.rawValue && bigEndianWord(blob, at: 24) == 16)
    #expect((bigEndianWord(blob, at: 36) == 0) == (version == .v16))
  }

  @Test("Very many nodes, and very many properties, are written as they were read")
  func many() throws {
    let names = (0..<50_000).map { String($0, radix: 36) }
    for root in [Model("", [], names.map { Model($0) }), Model("", names.map { ($0, []) })] {
      let tree = try DeviceTree(blob: BlobWriter.blob(root))
      #expect(try DeviceTree(blob: try tree.blob()).nodes.count == tree.nodes.count)
    }
  }

  @Test("Reservations and the boot processor are written")
  func header() throws {
    var writer = FlattenedWriter()
    writer.beginNode("")
    writer.endNode()
    let reserved = [AddressRange(address: 0x1_0000_2000, size: 0x3000), AddressRange(address: .max, size: 1)]
    let tree = try DeviceTree(blob: try writer.finish(reservations: reserved, bootCPU: 5))
    #expect(tree.reservations == reserved && tree.bootCPU == 5)
    let again = try DeviceTree(blob: try tree.blob(version: .v16))
    #expect(again.reservations == reserved && again.bootCPU == 5)
  }

  @Test("A name is kept once, and within one that ends with it")
  func strings() throws {
    var writer = FlattenedWriter()
    writer.beginNode("")
    for name in ["reg", "clock-names", "names", "x", "clocks", "ex"] { writer.property(name, [1]) }
    writer.beginNode("a")
    for name in ["reg", "names", "clocks"] { writer.property(name, []) }
    writer.endNode()
    writer.endNode()
    let blob = try writer.finish()
    // reg, clock-names, clocks, ex
    #expect(bigEndianWord(blob, at: 32) == 4 + 12 + 7 + 3)
    let tree = try DeviceTree(blob: blob)
    #expect(tree.root.propertyNames == ["reg", "clock-names", "names", "x", "clocks", "ex"])
    #expect(tree.root.children[0].propertyNames == ["reg", "names", "clocks"])
  }

  @Test("A directory's tree can be written")
  func directory() throws {
    let path = temporaryPath()
    try FileManager.default.createDirectory(atPath: path + "/b/c", withIntermediateDirectories: true)
    try FileManager.default.createDirectory(atPath: path + "/a", withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Data([1]).write(to: URL(fileURLWithPath: path + "/b/c/reg"))
    try Data([2]).write(to: URL(fileURLWithPath: path + "/model"))
    let again = try DeviceTree(blob: try DeviceTree(directory: path).blob())
    #expect(Model(again.root) == Model("", [("model", [2])], [Model("a"), Model("b", [], [Model("c", [("reg", [1])])])]))
  }

  @Test("What nobody could read is not written")
  func refused() throws {
    func error(_ body: (inout FlattenedWriter) -> Void) -> DeviceTreeError? {
      var writer = FlattenedWriter()
      writer.beginNode("")
      body(&writer)
      writer.endNode()
      do throws(DeviceTreeError) {
        _ = try writer.finish()
        return nil
      } catch {
        return error
      }
    }
    #expect(error { $0.property(String(repeating: "a", count: 255), []) } == nil)
    #expect(error { $0.property(String(repeating: "a", count: 256), []) } == .badString(offset: nil, path: ""))
    #expect(error { $0.property("a\0b", []) } == .badString(offset: nil, path: ""))
    #expect(
      error {
        $0.beginNode("a\0b")
        $0.endNode()
      } == .badString(offset: nil, path: ""))
    #expect(error { $0.property("a", [UInt8](repeating: 0, count: DeviceTree.maximumSize)) } == .tooLarge)
    #expect(
      error { writer in
        for index in 0..<5 { writer.property("a\(index)", [UInt8](repeating: 0, count: DeviceTree.maximumSize / 4)) }
      } == .tooLarge)
    func nested(_ count: Int) -> DeviceTreeError? {
      error { writer in
        for _ in 0..<count { writer.beginNode("a") }
        for _ in 0..<count { writer.endNode() }
      }
    }
    #expect(nested(63) == nil)
    #expect(nested(64) == .tooDeep(offset: nil, path: ""))
  }

  @Test("dtc reads what was written as the same tree", .enabled(if: hasCompiler, "dtc is not installed"))
  func compiler() throws {
    for version in [FlattenedVersion.v16, .v17] {
      let blob = [UInt8](try compile(try exampleSource("guest1")).blob)
      let tree = try DeviceTree(blob: blob)
      #expect(try source(try tree.blob(version: version)) == source(blob))
    }
  }

  private func source(_ blob: [UInt8]) throws -> String {
    let path = temporaryPath()
    try Data(blob).write(to: URL(fileURLWithPath: path))
    defer { try? FileManager.default.removeItem(atPath: path) }
    let dtc = Process()
    dtc.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    dtc.arguments = ["dtc", "-q", "-s", "-I", "dtb", "-O", "dts", path]
    let output = Pipe()
    dtc.standardOutput = output
    try dtc.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    dtc.waitUntilExit()
    #expect(dtc.terminationStatus == 0 && text.contains("/dts-v1/"))
    return text
  }
}
