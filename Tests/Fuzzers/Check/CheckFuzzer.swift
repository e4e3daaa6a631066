// Sources/TreeTools and this are one module.

import CLinux
import DeviceTree

/// A tree is checked as two guests', as the board's and as the hypervisor's at once: findings with texts that a terminal can show, in
/// at most 100 ms.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
  guard let tree = try? DeviceTree(blob: Array(UnsafeBufferPointer(start: bytes, count: count))) else { return 0 }
  let begin = nanoseconds()
  let check = TreeCheck(
    guests: [NamedTree(file: "1", guest: "guest1", tree: tree), NamedTree(file: "2", guest: "guest2", tree: tree)],
    system: NamedTree(file: "3", tree: tree),
    hypervisor: [NamedTree(file: "4", guest: "guest1", tree: tree), NamedTree(file: "5", guest: "guest2", tree: tree)])
  let findings = check.findings()
  for finding in findings {
    for text in [finding.node, finding.what, finding.remedy] {
      precondition(!text.utf8.isEmpty && text.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7f }, "a text that a terminal can't show")
    }
  }
  precondition(nanoseconds() - begin < 100_000_000, "it took more than 100 ms")
  return 0
}

/// Of this thread, so that others on the machine don't count.
private func nanoseconds() -> Int {
  var time = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return Int(time.tv_sec) * 1_000_000_000 + Int(time.tv_nsec)
}
