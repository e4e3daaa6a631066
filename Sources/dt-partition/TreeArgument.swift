import DeviceTree
import Linux
import Program

/// A device tree that the command line names.
struct TreeArgument {
  /// As it was named.
  let path: String
  let tree: DeviceTree

  /// Reads a flattened tree, a source (by way of dtc), or a directory such as /proc/device-tree.
  ///
  /// - Parameter withLabels: What a source calls its nodes, and which of its cells refer to some, is in the tree too
  ///   (`__symbols__`, `__local_fixups__`).
  init(_ path: String, withLabels: Bool = false) throws(Failure) {
    self.path = path
    let content: [UInt8]
    do throws(DeviceTreeError) {
      if fileKind(path) == .directory {
        // Before all of it is read: it may be any folder.
        guard ["compatible", "#address-cells"].contains(where: { fileKind("\(path)/\($0)") == .regular }) else {
          throw .notADeviceTree
        }
        tree = try DeviceTree(directory: path)
        return
      }
      do throws(Errno) {
        content = try readFile(path, limit: DeviceTree.maximumSize)
      } catch {
        throw error == .fileTooBig ? .tooLarge : .unreadable(error)
      }
      if !Self.isSource(content, path) {
        tree = try DeviceTree(blob: content)
        return
      }
    } catch {
      throw Failure(Self.sentence(path, error), error.exitCode)
    }
    let blob = try Self.compile(path, content, withLabels ? ["-@"] : [])
    do throws(DeviceTreeError) {
      let plain = try DeviceTree(blob: blob)
      tree = withLabels ? Self.asPlugin(path, content) ?? plain : plain
    } catch {
      throw Failure("what dtc makes of \(path) \(error.text)", .dataError)
    }
  }

  /// A source's tree with its `__local_fixups__`, which dtc adds to plugins alone. Nil when the source isn't one as it stands.
  private static func asPlugin(_ path: String, _ content: [UInt8]) -> DeviceTree? {
    let mark = Array("/dts-v1/".utf8)
    guard
      let start = content.indices.first(where: { content[$0] == mark[0] && content[$0...].starts(with: mark) }),
      let end = content[start...].firstIndex(of: 0x3b)
    else { return nil }
    let source = content[...end] + Array("/plugin/;".utf8) + content[(end + 1)...]
    guard
      let (blob, status) = try? runProgram(
        ["dtc", "-q", "-q", "-@", "-I", "dts", "-O", "dtb", "-i", folder(path), "-"], input: Array(source),
        limit: DeviceTree.maximumSize),
      status == 0, let tree = try? DeviceTree(blob: blob), tree.root.child("__fixups__") == nil
    else { return nil }
    return tree
  }

  /// The folder whose files a source includes.
  private static func folder(_ path: String) -> String {
    guard let end = path.utf8.lastIndex(of: 0x2f) else { return "." }
    let folder = String(decoding: Array(path.utf8[..<end]), as: UTF8.self)
    return folder.utf8.isEmpty ? "/" : folder
  }

  private static func sentence(_ path: String, _ error: DeviceTreeError) -> String {
    guard case .notADeviceTree = error else { return "\(path) \(error.text)" }
    return fileKind(path) == .directory
      ? "\(path) is a directory, but not one of a device tree (it has neither compatible nor #address-cells); try /proc/device-tree"
      : "\(path) is neither a flattened device tree (no 0xd00dfeed at its start) nor a source (no /dts-v1/)"
  }

  /// Whether it is for dtc: called so, or text that says so.
  private static func isSource(_ content: [UInt8], _ path: String) -> Bool {
    if content.starts(with: [0xd0, 0x0d, 0xfe, 0xed]) { return false }
    let name = Array(path.utf8)
    if name.suffix(4).elementsEqual(".dts".utf8) || name.suffix(5).elementsEqual(".dtsi".utf8) { return true }
    guard !content.contains(0) else { return false }
    let mark = Array("/dts-v1/".utf8)
    return content.indices.contains { content[$0] == mark[0] && content[$0...].starts(with: mark) }
  }

  /// What dtc makes of a source. What it complains about goes to standard error.
  private static func compile(_ path: String, _ content: [UInt8], _ options: [String]) throws(Failure) -> [UInt8] {
    // A pipe can't be read twice; a name that begins with '-' is no option.
    let isFile = fileKind(path) == .regular
    let file = !isFile ? "-" : path.utf8.first == 0x2d ? "./\(path)" : path
    let words = ["dtc"] + options + ["-I", "dts", "-O", "dtb", "-i", isFile ? folder(path) : ".", file]
    let blob: [UInt8]
    let status: Int32
    do throws(Errno) {
      (blob, status) = try runProgram(words, input: isFile ? nil : content, limit: DeviceTree.maximumSize)
    } catch {
      if error.isMissing {
        throw Failure(
          "\(path) is a source, for which dtc is needed: install it (Debian: device-tree-compiler), or name a .dtb",
          .unavailable)
      }
      if error == .fileTooBig { throw Failure("what dtc makes of \(path) \(DeviceTreeError.tooLarge.text)", .dataError) }
      throw Failure("\(path): cannot run dtc: \(error.text)", .osError)
    }
    guard status == 0 else {
      let remedy =
        needsPreprocessor(content)
        ? "; it has #include: pass it through cpp -nostdinc -undef -x assembler-with-cpp -P first" : ""
      throw Failure("\(path): dtc can't compile it, see above\(remedy)", .dataError)
    }
    return blob
  }

  /// Whether a line begins with "#include", which is nothing to dtc.
  private static func needsPreprocessor(_ source: [UInt8]) -> Bool {
    let word = Array("#include".utf8)
    return source.indices.contains { index in
      source[index] == word[0] && (index == 0 || source[index - 1] == 0x0a) && source[index...].starts(with: word)
    }
  }
}

extension DeviceTreeError {
  var exitCode: ExitCode {
    guard case .unreadable(let errno) = self else { return .dataError }
    return errno.isPermission ? .noPermission : .noInput
  }
}
