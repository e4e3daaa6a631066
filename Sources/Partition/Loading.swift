import DeviceTree
import Linux
import Text

/// Where a partition was read from.
public enum TreeSource: Sendable {
  /// A path that the user named.
  case given(String)
  /// This machine's own device tree.
  case running(String)
  /// The example that is part of the programs, for machines without a guestbroker node.
  case builtIn

  public var text: String {
    switch self {
    case .given(let path), .running(let path): path
    case .builtIn: "the built-in example"
    }
  }
}

/// Whether the built-in example may be taken.
public enum ExampleUse: Sendable {
  /// Where no tree is named and this machine's has no guestbroker node.
  case fallback
  /// Whatever this machine's tree has.
  case always
  case never
}

/// Why there is no partition. `text` is a sentence without its full stop.
public indirect enum LoadError: Error, Sendable {
  case tree(path: String, DeviceTreeError)
  /// A pipe or a device, which may have no end.
  case notAFile(path: String)
  case partition(path: String, PartitionError)
  case unknownGuest(String)
  /// This machine's tree has no guestbroker node, and the example is not to be taken.
  case noGuestNode

  public var text: String {
    switch self {
    case .tree(let path, let error): "\(path) \(error.text)"
    case .notAFile(let path):
      "\(path) is neither a file nor a directory; name a flattened device tree (.dtb) or a directory such as /proc/device-tree"
    case .partition(let path, let error): "\(path): \(error.text)"
    case .unknownGuest(let name):
      "the built-in example partition has no guest called \(name), but guest1 and guest2; name one of them, or a device tree with --device-tree"
    case .noGuestNode:
      "there is no guestbroker node in /proc/device-tree, so that there is nothing to serve; mend this machine's device tree, pass one with -t, or --example for the simulated example"
    }
  }
}

/// A guest's tree of the built-in example.
public func builtInTree(_ guest: String) -> [UInt8]? {
  sameText(guest, "guest1") ? builtInGuest1 : sameText(guest, "guest2") ? builtInBorrower : nil
}

/// The tree of the built-in example's guest2.
public var builtInBorrower: [UInt8] { builtInGuest2 }

extension Partition {
  /// Finds this guest's partition: in the tree that the user named; else in this machine's own tree, if that has a
  /// guestbroker node; else in the built-in example.
  ///
  /// - Parameters:
  ///   - deviceTree: A blob or a directory; nil to look around.
  ///   - builtInGuest: Whose side of the example to take.
  ///   - use: Whether it may be the example.
  ///   - example: That side's tree; nil for a guest that the example doesn't have. A program for a guest has only those trees in
  ///     it that it names.
  ///   - withExports: As `init` has it.
  ///   - running: Where this machine's own tree may be.
  public static func load(
    deviceTree: String?, builtInGuest: String, use: ExampleUse = .fallback, example: (String) -> [UInt8]? = builtInTree,
    withExports: Bool = true,
    running: [String] = ["/proc/device-tree", "/sys/firmware/fdt"]
  ) throws(LoadError) -> (Partition, TreeSource) {
    if let deviceTree { return (try read(deviceTree, withExports), .given(deviceTree)) }
    if use != .always {
      for path in running where hasGuestNode(path) { return (try read(path, withExports), .running(path)) }
    }
    if use == .never { throw .noGuestNode }
    guard let blob = example(builtInGuest) else { throw .unknownGuest(builtInGuest) }
    let partition = try parse(TreeSource.builtIn.text, withExports) { () throws(DeviceTreeError) in try DeviceTree(blob: blob) }
    return (partition, .builtIn)
  }

  /// Whether a running tree is meant for us. Reads the whole of a directory only when there is a node that may be ours: a
  /// board's tree has thousands of files.
  private static func hasGuestNode(_ path: String) -> Bool {
    switch fileKind(path) {
    case .directory:
      guard let names = try? listDirectory(path, limit: 4096) else { return false }
      let isLikely = names.contains { name in
        guard let value = try? readFile("\(path)/\(name)/compatible", limit: 4096) else { return false }
        return Property(bytes: value).strings?.contains { sameText($0, "guestbroker,guest-v1") } ?? false
      }
      guard isLikely else { return false }
      // One that can't be read is not passed over: reading it again tells why.
      guard let tree = try? DeviceTree(path: path) else { return true }
      return guestNode(in: tree) != nil
    case .regular:
      guard let tree = try? DeviceTree(path: path) else { return false }
      return guestNode(in: tree) != nil
    case .none, .other: return false
    }
  }

  private static func read(_ path: String, _ withExports: Bool) throws(LoadError) -> Partition {
    if fileKind(path) == .other { throw .notAFile(path: path) }
    return try parse(path, withExports) { () throws(DeviceTreeError) in try DeviceTree(path: path) }
  }

  private static func parse(
    _ path: String, _ withExports: Bool, _ read: () throws(DeviceTreeError) -> DeviceTree
  ) throws(LoadError) -> Partition {
    let tree: DeviceTree
    do throws(DeviceTreeError) {
      tree = try read()
    } catch {
      throw .tree(path: path, error)
    }
    do throws(PartitionError) {
      return try Partition(tree, withExports: withExports)
    } catch {
      throw .partition(path: path, error)
    }
  }
}
