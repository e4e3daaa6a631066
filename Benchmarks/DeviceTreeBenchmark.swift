import CLinux
import DeviceTree
import Glibc
import Linux
import Program
import Text
import TreeTools

/// Measures how long it takes to read the largest device tree there is, next to libfdt walking over its nodes and properties.
func measureDeviceTree(rounds: Int, path: String?, json: String?) throws(DeviceTreeError) {
  let (name, blob) = try largestTree(path)
  let tree = try DeviceTree(blob: blob)
  let (nodes, properties) = count(tree.root)
  printLine("Reading \(name): \(blob.count) bytes, \(nodes) nodes, \(properties) properties; median of \(rounds) rounds")
  printLine("")

  let fdt = Libfdt()
  if let fdt {
    let walked = fdt.walk(blob)
    guard walked == (nodes, properties) else {
      printError("Benchmarks: libfdt sees \(walked.nodes) nodes and \(walked.properties) properties")
      exitProcess(ExitCode.software.rawValue)
    }
  }
  let references = References(tree)
  var jobs: [TreeJob] = [
    TreeJob(name: "tree-read", text: "DeviceTree: read") { _ = try? DeviceTree(blob: blob) },
    TreeJob(name: "tree-write", text: "DeviceTree: write") { _ = try? tree.blob() },
    TreeJob(name: "tree-references", text: "DeviceTree: all references and interrupts") { follow(tree.root, references) },
    // Two guests that have the whole board: everything is found, so that this is the most that there is to do.
    TreeJob(name: "tree-check", text: "TreeCheck: three trees together") {
      _ = TreeCheck(
        guests: [NamedTree(file: "guest1", tree: tree), NamedTree(file: "guest2", tree: tree)],
        system: NamedTree(file: "board", tree: tree)
      ).findings()
    },
  ]
  if let fdt {
    jobs.insert(TreeJob(name: "libfdt-walk", text: "libfdt: walk over nodes and properties") { _ = fdt.walk(blob) }, at: 0)
  }
  // Each kind in turn in every round, so that a slow minute meets all of them.
  for _ in 0..<rounds { for index in jobs.indices { jobs[index].measure() } }

  printLine("                                              us   x libfdt")
  let reference = fdt == nil ? nil : jobs[0].times
  for job in jobs { printLine(job.line(reference)) }
  printLine("")
  if let reference, let ratio = median(zip(jobs[1].times, reference).map { $0 / $1 }) {
    printLine("Reading takes \(decimal(ratio)) times as long as libfdt's walk (aim: at most 1.5).")
  } else {
    printLine("not measured: libfdt's walk; there is no libfdt.so.1 (it comes with dtc: apt-get install device-tree-compiler)")
  }
  printLine(
    "Checking three together takes \(decimal((jobs.last.flatMap { median($0.times) } ?? 0) / 1000)) ms (aim: at most 50).")
  guard let json else { return }
  do throws(Errno) {
    try writeLines(jobs.map { $0.json(bytes: blob.count, reference) }, to: json)
  } catch {
    printError("Benchmarks: cannot write \(json): \(error.text)")
    exitProcess(ExitCode.cantCreate.rawValue)
  }
}

private struct TreeJob {
  let name: String
  let text: String
  let body: () -> Void
  /// Microseconds of each round.
  var times: [Double] = []

  init(name: String, text: String, body: @escaping () -> Void) {
    self.name = name
    self.text = text
    self.body = body
  }

  mutating func measure() {
    let start = monotonicNanoseconds()
    for _ in 0..<4 { body() }
    times.append(Double(monotonicNanoseconds() - start) / 4000)
  }

  func line(_ reference: [Double]?) -> String {
    func right(_ text: String) -> String { String(repeating: " ", count: max(0, 8 - text.utf8.count)) + text }
    let ratio = reference.flatMap { median(zip(times, $0).map { $0 / $1 }) }
    return "\(text.padded(to: 42))\(right(decimal(median(times) ?? 0)))\(right(ratio.map(decimal) ?? "-"))"
  }

  func json(bytes: Int, _ reference: [Double]?) -> String {
    let ratio = reference.flatMap { median(zip(times, $0).map { $0 / $1 }) }
    return
      "{\"benchmark\":\"\(name)\",\"bytes\":\(bytes),\"p50_us\":\(decimal(median(times) ?? 0)),\"ratio_to_libfdt_p50\":\(ratio.map(decimal) ?? "null"),\"rounds\":\(times.count)}"
  }
}

private func count(_ node: Node) -> (nodes: Int, properties: Int) {
  var sum = (nodes: 1, properties: node.propertyNames.count)
  for child in node.children {
    let below = count(child)
    sum.nodes += below.nodes
    sum.properties += below.properties
  }
  return sum
}

private func follow(_ node: Node, _ references: References) {
  for _ in references.of(node) {}
  _ = try? node.interrupts(references.phandles)
  for child in node.children { follow(child, references) }
}

/// The tree that was named; else the largest that Tests/DeviceTrees/check has unpacked; else one with the shape of a large board's.
private func largestTree(_ path: String?) throws(DeviceTreeError) -> (name: String, blob: [UInt8]) {
  if let path {
    do throws(Errno) { return (path, try readFile(path, limit: DeviceTree.maximumSize)) } catch { throw .unreadable(error) }
  }
  if let program = realPath("/proc/self/exe"),
    let build = program.parts(separatedBy: 0x2f).lastIndex(where: { sameText($0, ".build") })
  {
    let package = program.parts(separatedBy: 0x2f)[..<build].joined(separator: "/")
    var largest: (name: String, blob: [UInt8])?
    var folders = ["\(package)/.build-trees"]
    while let folder = folders.popLast() {
      for name in (try? listDirectory(folder, limit: 4096)) ?? [] {
        let file = "\(folder)/\(name)"
        if fileKind(file) == .directory { folders.append(file) }
        guard name.hasSuffix(".dtb"), let blob = try? readFile(file, limit: DeviceTree.maximumSize) else { continue }
        if blob.count > largest?.blob.count ?? 0 { largest = (name, blob) }
      }
    }
    if let largest { return largest }
  }
  return ("a tree made up (Tests/DeviceTrees/check downloads real ones)", try madeUpTree())
}

/// 1500 nodes three levels deep with 6 properties each.
private func madeUpTree() throws(DeviceTreeError) -> [UInt8] {
  var writer = FlattenedWriter()
  writer.beginNode("")
  for bus in 0..<30 {
    writer.beginNode("interconnect@\(bus)0000")
    for device in 0..<16 {
      writer.beginNode("target-module@\(device)000")
      for child in 0..<2 {
        writer.beginNode("device@\(child)")
        for name in ["compatible", "reg", "interrupts", "clocks", "clock-names", "status"] {
          writer.property(name, [UInt8](repeating: UInt8(device), count: name.utf8.count * 2))
        }
        writer.endNode()
      }
      writer.endNode()
    }
    writer.endNode()
  }
  writer.endNode()
  return try writer.finish()
}

/// libfdt, if this machine has it: looked up while running, so that nothing needs it.
private struct Libfdt {
  private typealias NextNode = @convention(c) (UnsafeRawPointer, Int32, UnsafeMutablePointer<Int32>) -> Int32
  private typealias GetName = @convention(c) (UnsafeRawPointer, Int32, UnsafeMutablePointer<Int32>) -> UnsafePointer<CChar>?
  private typealias Offset = @convention(c) (UnsafeRawPointer, Int32) -> Int32
  private typealias Property =
    @convention(c) (
      UnsafeRawPointer, Int32, UnsafeMutablePointer<UnsafePointer<CChar>?>, UnsafeMutablePointer<Int32>
    ) -> UnsafeRawPointer?
  private let nextNode: NextNode
  private let getName: GetName
  private let firstProperty: Offset
  private let nextProperty: Offset
  private let property: Property

  init?() {
    guard let library = dlopen("libfdt.so.1", RTLD_NOW) else { return nil }
    guard
      let nextNode = dlsym(library, "fdt_next_node"), let getName = dlsym(library, "fdt_get_name"),
      let firstProperty = dlsym(library, "fdt_first_property_offset"),
      let nextProperty = dlsym(library, "fdt_next_property_offset"), let property = dlsym(library, "fdt_getprop_by_offset")
    else { return nil }
    self.nextNode = unsafeBitCast(nextNode, to: NextNode.self)
    self.getName = unsafeBitCast(getName, to: GetName.self)
    self.firstProperty = unsafeBitCast(firstProperty, to: Offset.self)
    self.nextProperty = unsafeBitCast(nextProperty, to: Offset.self)
    self.property = unsafeBitCast(property, to: Property.self)
  }

  /// Asks for the name of each node, and the name and value of each property.
  func walk(_ blob: [UInt8]) -> (nodes: Int, properties: Int) {
    blob.withUnsafeBytes { bytes in
      guard let tree = bytes.baseAddress else { return (0, 0) }
      var sum = (nodes: 0, properties: 0)
      var (depth, length): (Int32, Int32) = (0, 0)
      var name: UnsafePointer<CChar>?
      var node = nextNode(tree, -1, &depth)
      while node >= 0, depth >= 0 {
        if getName(tree, node, &length) != nil { sum.nodes += 1 }
        var place = firstProperty(tree, node)
        while place >= 0 {
          if property(tree, place, &name, &length) != nil { sum.properties += 1 }
          place = nextProperty(tree, place)
        }
        node = nextNode(tree, node, &depth)
      }
      return sum
    }
  }
}
