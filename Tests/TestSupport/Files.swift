import Foundation

/// The project's top folder.
public let projectRoot = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent()

/// A file name in /dev/shm that no other test uses. Whoever makes the file removes it.
public func temporaryMemory() -> String { "/dev/shm/guestbroker-test-\(getpid())-\(UInt32.random(in: 0...UInt32.max))" }

/// A file name on disk that no other test uses. Whoever makes the file removes it.
public func temporaryPath() -> String { NSTemporaryDirectory() + "guestbroker-test-\(UUID().uuidString)" }

/// Whether the device tree compiler is there.
public let hasCompiler = ["/usr/bin/dtc", "/usr/local/bin/dtc"].contains { FileManager.default.isExecutableFile(atPath: $0) }

/// An example's source, changed.
///
/// - Throws: When the example doesn't say what is to be replaced.
public func exampleSource(_ name: String, _ changes: [(String, String)] = []) throws -> String {
  struct NotThere: Error { let text: String }
  let path = projectRoot.appendingPathComponent("Examples/vexpress-a9/\(name).dts")
  var source = try String(contentsOf: path, encoding: .utf8)
  for (old, new) in changes {
    guard source.contains(old) else { throw NotThere(text: old) }
    source = source.replacingOccurrences(of: old, with: new)
  }
  return source
}

/// What dtc makes of a source, and what it complains about.
public func compile(_ source: String) throws -> (blob: Data, complaints: String) {
  let dtc = Process()
  dtc.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  dtc.arguments = ["dtc", "-I", "dts", "-O", "dtb", "-i", projectRoot.appendingPathComponent("Examples/vexpress-a9").path, "-"]
  let (input, output, errors) = (Pipe(), Pipe(), Pipe())
  dtc.standardInput = input
  dtc.standardOutput = output
  dtc.standardError = errors
  try dtc.run()
  input.fileHandleForWriting.write(Data(source.utf8))
  try input.fileHandleForWriting.close()
  let blob = output.fileHandleForReading.readDataToEndOfFile()
  let complaints = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
  dtc.waitUntilExit()
  return (blob, complaints)
}

/// The lines of a file in Spec/vectors, as words, with their numbers. What follows '#' is for people.
public func vectors(_ name: String) throws -> [(line: Int, words: [String])] {
  let text = try String(contentsOf: projectRoot.appendingPathComponent("Spec/vectors/\(name)"), encoding: .utf8)
  return text.split(separator: "\n", omittingEmptySubsequences: false).enumerated().compactMap { index, line in
    let words = line.prefix { $0 != "#" }.split(separator: " ").map(String.init)
    return words.isEmpty ? nil : (index + 1, words)
  }
}

/// The bytes that hex digits mean; nil when they are none.
public func bytes(hex words: some Sequence<String>) -> [UInt8]? {
  let digits = Array(words.joined().utf8)
  guard digits.count % 2 == 0 else { return nil }
  var bytes: [UInt8] = []
  for start in stride(from: 0, to: digits.count, by: 2) {
    guard let byte = UInt8(String(decoding: digits[start..<start + 2], as: UTF8.self), radix: 16) else { return nil }
    bytes.append(byte)
  }
  return bytes
}

/// Something that was built: it lies beside the test bundle.
public func built(_ name: String) -> URL {
  let bundle = Bundle.main.bundleURL
  for directory in [bundle, bundle.deletingLastPathComponent()] {
    let url = directory.appendingPathComponent(name)
    if FileManager.default.fileExists(atPath: url.path) { return url }
  }
  return bundle.appendingPathComponent(name)
}
