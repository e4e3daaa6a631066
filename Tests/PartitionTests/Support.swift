import Foundation

/// The project's top folder.
let projectRoot = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent()
let examples = projectRoot.appendingPathComponent("Examples/vexpress-a9")

let hasCompiler = ["/usr/bin/dtc", "/usr/local/bin/dtc"].contains { FileManager.default.isExecutableFile(atPath: $0) }

/// What dtc makes of a source, and what it complains about.
func compile(_ source: String) throws -> (blob: [UInt8], complaints: String) {
  let dtc = Process()
  dtc.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  dtc.arguments = ["dtc", "-I", "dts", "-O", "dtb", "-i", examples.path, "-"]
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
  return (Array(blob), complaints)
}

func source(_ name: String) throws -> String {
  try String(contentsOf: examples.appendingPathComponent("\(name).dts"), encoding: .utf8)
}
