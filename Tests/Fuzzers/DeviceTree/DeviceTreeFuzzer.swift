// Sources/TreeTools and this are one module.

import CLinux
import DeviceTree

/// A blob is an error, or a tree that can be written and read again as the same, and of which everything can be asked. Reading and
/// writing take at most 16 times the input's memory, nothing else makes one allocation of more, and no input takes more than 100 ms.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
  if !Memory.isCounting { Memory.start() }
  // Beside what grows with the input there is what doesn't: tables for as many nodes as may be open.
  Memory.limit = 16 * max(count, 512)
  // What libFuzzer allocates doesn't count.
  defer { Memory.limit = .max }
  let input = Array(UnsafeBufferPointer(start: bytes, count: count))
  let begin = nanoseconds()
  do throws(DeviceTreeError) {
    Memory.begin()
    let tree = try DeviceTree(blob: input)
    Memory.end("reading")
    Memory.begin()
    let blob = try tree.blob()
    Memory.end("writing")
    let again = read(blob)
    compare(tree, again)
    compare(tree, read(try tree.blob(version: .v16)))
    precondition(write(again) == blob, "what was written is written in another way")
    ask(tree)
  } catch {
    Memory.end("reading")
    precondition(error.text.utf8.count > 10, "an error without a text")
  }
  let time = nanoseconds() - begin
  precondition(time < 100_000_000, "it took more than 100 ms")
  return 0
}

private func read(_ blob: [UInt8]) -> DeviceTree {
  do throws(DeviceTreeError) { return try DeviceTree(blob: blob) } catch {
    fatalError("what was written can't be read: \(error.text)")
  }
}

private func write(_ tree: DeviceTree) -> [UInt8] {
  do throws(DeviceTreeError) { return try tree.blob() } catch { fatalError("what was written can't be written: \(error.text)") }
}

private func compare(_ a: DeviceTree, _ b: DeviceTree) {
  precondition(
    a.nodes.count == b.nodes.count && a.properties.count == b.properties.count, "another number of nodes or properties")
  precondition(a.reservations == b.reservations && a.bootCPU == b.bootCPU, "another header")
  for (x, y) in zip(a.nodes, b.nodes) {
    precondition(a.slice(x.name) == b.slice(y.name), "another node's name")
    precondition(
      x.parent == y.parent && x.firstChild == y.firstChild && x.nextSibling == y.nextSibling
        && x.firstProperty == y.firstProperty && x.propertyCount == y.propertyCount, "another structure")
  }
  for (x, y) in zip(a.properties, b.properties) {
    precondition(a.slice(x.name) == b.slice(y.name) && a.slice(x.value) == b.slice(y.value), "another property")
  }
}

/// Asks everything that a tree can be asked. Whatever is found stays in bounds.
private func ask(_ tree: DeviceTree) {
  let references = References(tree)
  let phandles = references.phandles
  for node in phandles.duplicates { precondition(node.phandle != nil) }
  for label in tree.aliases + tree.symbols + [tree.standardOutput, tree.standardInput].compactMap({ $0 }) {
    _ = label.node?.path
  }
  for range in tree.memory { precondition(range.size > 0) }
  for memory in tree.reservedMemory { _ = memory.ranges }
  for index in tree.nodes.indices {
    let node = Node(tree: tree, index: index)
    precondition(node.path.utf8.first == 0x2f)
    precondition(node.children.allSatisfy { $0.parent?.index == index })
    _ = node.isReachable
    if let ranges = node.physicalRanges { precondition(ranges.count == node.localRanges?.count) }
    for name in node.propertyNames { look(node.property(name)) }
    for reference in references.of(node) {
      precondition(
        4 * (reference.cell + 1 + reference.arguments.count + reference.unreadCells) <= node.property(reference.property)?.bytes
          .count ?? 0)
      if let target = reference.target { precondition(target.phandle == reference.phandle) }
    }
    do throws(InterruptError) {
      for interrupt in try node.interrupts(phandles) { precondition(!interrupt.cells.isEmpty) }
    } catch {
      precondition(error.text.utf8.count > 10, "an error without a text")
    }
  }
  _ = references.to(tree.root).count
}

private func look(_ property: Property?) {
  guard let property else { fatalError("a property that a node says it has isn't there") }
  if let cells = property.cells { precondition(4 * cells.count == property.bytes.count) }
  if let strings = property.strings { precondition(strings.reduce(0) { $0 + $1.utf8.count + 1 } == property.bytes.count) }
  _ = property.number
}

/// Of this thread, so that others on the machine don't count.
private func nanoseconds() -> Int {
  var time = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return time.tv_sec * 1_000_000_000 + time.tv_nsec
}

// ---- Memory --------------------------------------------------------------------------------------------------------

@_silgen_name("__sanitizer_install_malloc_and_free_hooks")
private func installHooks(
  _ allocated: @convention(c) (UnsafeRawPointer?, Int) -> Void, _ freed: @convention(c) (UnsafeRawPointer?) -> Void
) -> Int32

@_silgen_name("__sanitizer_get_allocated_size")
private func allocatedSize(_ pointer: UnsafeRawPointer?) -> Int

/// Counts what is allocated.
private enum Memory {
  nonisolated(unsafe) static var isCounting = false
  /// The largest single allocation, and the most at a time, in bytes.
  nonisolated(unsafe) static var limit = Int.max
  nonisolated(unsafe) static var live = 0
  nonisolated(unsafe) static var peak = 0

  static func start() {
    isCounting = true
    // A table that is made once.
    precondition(!ReferenceForms.byName.isEmpty)
    let installed = installHooks(
      { _, size in
        if size > Memory.limit { fatalError("one allocation of \(size) bytes, the limit is \(Memory.limit)") }
        Memory.live += size
        Memory.peak = max(Memory.peak, Memory.live)
      }, { if let pointer = $0 { Memory.live -= allocatedSize(pointer) } })
    precondition(installed != 0, "this sanitizer can't count allocations")
  }

  static func begin() {
    live = 0
    peak = 0
  }

  static func end(_ what: StaticString) { precondition(peak <= limit, "\(what) took \(peak) bytes, the limit is \(limit)") }
}
