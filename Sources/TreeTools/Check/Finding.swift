import DeviceTree

/// Something that is wrong in a tree, or between trees.
public struct Finding: Sendable {
  public var rule: Rule
  /// The tree, as the caller called it.
  public var file: String
  /// The node's path.
  public var node: String
  /// What is wrong, a clause: "is okay here and in guest1.dts".
  public var what: String
  /// How to mend it.
  public var remedy: String

  public var severity: Severity { rule.severity }
}

public enum Severity: Sendable {
  /// Something will not work, or not safely.
  case error
  /// Something may be meant so, and is a trap if it isn't.
  case warning

  public var text: String {
    switch self {
    case .error: "error"
    case .warning: "warning"
    }
  }
}

/// What is checked. `id` is how people call it; it stays the same from version to version.
public enum Rule: String, Sendable, CaseIterable {
  // A tree by itself.
  case binding
  case badName = "bad-name"
  case danglingPhandle = "dangling-phandle"
  case danglingStdout = "dangling-stdout"
  case danglingAlias = "dangling-alias"
  case supplierElsewhere = "supplier-elsewhere"
  // Memory.
  case regionBounds = "region-bounds"
  case regionOverlap = "region-overlap"
  case regionMapped = "region-mapped"
  // Peripherals and guests.
  case duplicateGuest = "duplicate-guest"
  case okayTwice = "okay-twice"
  case registerOverlap = "register-overlap"
  case registerMismatch = "register-mismatch"
  case interruptTwice = "interrupt-twice"
  case interruptOffset = "interrupt-offset"
  case gpioTwice = "gpio-twice"
  case dmaTwice = "dma-twice"
  case sharedSupplier = "shared-supplier"
  case unassigned
  // Links, exports, imports.
  case unknownGuest = "unknown-guest"
  case linkOneSided = "link-one-sided"
  case linkID = "link-id"
  case linkRole = "link-role"
  case linkSize = "link-size"
  case linkChannels = "link-channels"
  case linkDoorbell = "link-doorbell"
  case linkMapping = "link-mapping"
  case exportNotOkay = "export-not-okay"
  case exportUnreachable = "export-unreachable"
  case importNotExported = "import-not-exported"
  case importNotGranted = "import-not-granted"
  case i2cAddress = "i2c-address"
  case i2cTwice = "i2c-twice"
  case i2cDriver = "i2c-driver"
  // The hypervisor's side.
  case manifest
  case missingRegion = "missing-region"
  case wrongRegion = "wrong-region"
  case unusedRegion = "unused-region"
  case blockAlignment = "block-alignment"
  case passedTwice = "passed-twice"
  case passedMemory = "passed-memory"
  case sharedMemory = "shared-memory"
  // A running guest.
  case liveNoDevice = "live-no-device"
  case liveForeignDevice = "live-foreign-device"
  case liveNoDriver = "live-no-driver"

  public var id: String { rawValue }

  public var severity: Severity {
    switch self {
    case .danglingAlias, .supplierElsewhere, .sharedSupplier, .unassigned, .unknownGuest, .exportUnreachable, .i2cDriver,
      .unusedRegion,
      .liveNoDevice, .liveNoDriver:
      .warning
    default: .error
    }
  }

  /// Why it matters: a sentence.
  public var why: String {
    switch self {
    case .binding: "brokerd and guestagent refuse a guestbroker node that breaks the binding: nothing of it is shared"
    case .badName: "tools and kernels cut such a name off, refuse it, or can't be told it in a path"
    case .danglingPhandle: "the driver finds no supplier of that, and fails or waits for it for ever"
    case .danglingStdout: "the kernel boots without a console, and says nothing about it"
    case .danglingAlias: "the kernel skips the alias, so that devices are numbered in another way than the tree says"
    case .supplierElsewhere: "this guest binds no driver to a supplier that isn't okay: whoever needs it is deferred for ever"
    case .regionBounds:
      "memory is mapped and protected in whole pages: a part of one is refused, or takes its neighbour with it"
    case .regionOverlap: "what one side writes there destroys what the other keeps there"
    case .regionMapped: "the kernel hands these pages out to programs, and maps them cacheable beside the link's own mapping"
    case .duplicateGuest: "links, imports and grants name guests: they can't tell these apart"
    case .okayTwice: "both kernels drive it: they reset it, and take its data and interrupts, under each other"
    case .registerOverlap: "what one kernel writes to its device changes the other's"
    case .registerMismatch: "the driver reaches other registers than the device's, or none: a data abort in the guest's kernel"
    case .interruptTwice: "the hypervisor delivers an interrupt to one guest; the other's driver never hears of it"
    case .interruptOffset: "the driver waits for an interrupt that is another device's, or nobody's"
    case .gpioTwice: "each kernel sets the line as it likes, and believes it to be its own"
    case .dmaTwice: "two drivers program one channel: data goes where the other one pointed it"
    case .sharedSupplier: "a guest that thinks it unused switches it off, or sets it anew, under the other guest's devices"
    case .unassigned: "no guest drives it, so that nobody can use it"
    case .unknownGuest: "what leads there is checked on this side only"
    case .linkOneSided: "a link works when both trees have it: the one side waits for ever"
    case .linkID: "the ends can't be told to be of one link, and the programs name it differently in each guest"
    case .linkRole: "one side makes the layout and serves, the other asks: two owners or two borrowers never meet"
    case .linkSize: "the rings' places follow from the size: each side looks for them elsewhere, and the link is refused"
    case .linkChannels: "the rings' places follow from the number of channels: the link is refused"
    case .linkDoorbell: "one side rings where the other doesn't listen: requests wait until a time-out"
    case .linkMapping: "with different cacheability each side reads its own stale copy"
    case .exportNotOkay: "the owner's kernel binds no driver to it, so that brokerd has nothing to serve"
    case .exportUnreachable: "without a link to it that guest can't ask: the grant is a dead letter"
    case .importNotExported: "every request ends with 'no such peripheral'"
    case .importNotGranted: "every request ends with 'not granted'"
    case .i2cAddress: "no device answers there: 7-bit addresses below 0x08 and above 0x77 are the bus's own"
    case .i2cTwice:
      "a write of one client falls between the write and the read of another: the device answers for the wrong register"
    case .i2cDriver: "Linux refuses i2c-dev an address that has a driver: every request ends with 'busy'"
    case .manifest: "the hypervisor says only that it failed to create the guest"
    case .missingRegion:
      "the guest's kernel refers to what the hypervisor doesn't give it: it panics with a data abort at the first access, or its processor is halted in silence"
    case .wrongRegion: "what the guest finds there isn't what its tree promises"
    case .unusedRegion: "this guest's kernel drives nothing there, and no other guest can have it"
    case .blockAlignment:
      "the hypervisor maps 2 MiB at once and drops the lower bits of the address: the guest reaches its neighbour's memory"
    case .passedTwice: "the hypervisor accepts it in silence: both guests drive one device, and one gets its interrupts"
    case .passedMemory: "the hypervisor accepts it in silence: the guest reads and writes other guests' memory"
    case .sharedMemory: "the two ends map different memory: each side waits for a peer that it can't see"
    case .liveNoDevice: "the kernel made no device of this node: its driver is not built in, not loaded or refused it"
    case .liveForeignDevice: "this kernel drives what the tree says is another guest's"
    case .liveNoDriver: "brokerd can serve an export only through the driver of its device"
    }
  }

  public init?(_ id: String) { self.init(rawValue: id) }

  /// Its place among all.
  var order: Int { Self.allCases.firstIndex(of: self) ?? 0 }
}

/// Collects findings, in the order of files, nodes and rules.
final class Report {
  private var found: [(file: Int, node: Int, finding: Finding)] = []
  /// How often each rule was found in each file, and the last node: a tree of a million nodes should not make a million sentences.
  private var counts: [RuleInFile: (count: Int, node: Int)] = [:]
  private let files: [String]
  /// Of one rule in one file.
  static var limit: Int { 100 }

  private struct RuleInFile: Hashable {
    var rule: Rule
    var file: Int
  }

  init(files: [String]) { self.files = files }

  /// - Parameters:
  ///   - tree: The tree, and the node's place in it.
  ///   - what: This and the remedy are made only if they are wanted.
  func add(
    _ rule: Rule, _ tree: Survey, _ node: Int, _ what: @autoclosure () -> String, _ remedy: @autoclosure () -> String
  ) {
    let before = counts[RuleInFile(rule: rule, file: tree.file)] ?? (0, 0)
    counts[RuleInFile(rule: rule, file: tree.file)] = (before.count + 1, max(before.node, node))
    guard before.count < Self.limit else { return }
    let finding = Finding(
      rule: rule, file: files[tree.file], node: tree.path(node), what: printable(what()), remedy: printable(remedy()))
    found.append((tree.file, node, finding))
  }

  /// The tree's name.
  func name(of tree: Survey) -> String { files[tree.file] }

  /// "guest1.dts: /soc/serial@1000"
  func place(_ tree: Survey, _ node: Int) -> String { "\(files[tree.file]): \(tree.path(node))" }

  /// Whether something was found about this node.
  func hasError(_ tree: Survey, at path: String) -> Bool {
    found.contains { $0.file == tree.file && $0.finding.severity == .error && $0.finding.node == path }
  }

  var sorted: [Finding] {
    var all = found
    for (key, over) in counts where over.count > Self.limit {
      let finding = Finding(
        rule: key.rule, file: files[key.file], node: "/", what: "\(over.count - Self.limit) more of this kind",
        remedy: "mend those above first")
      all.append((key.file, over.node, finding))
    }
    // What was found first stays first.
    let order = all.indices.sorted {
      let (a, b) = (all[$0], all[$1])
      return (a.file, a.node, a.finding.rule.order, $0) < (b.file, b.node, b.finding.rule.order, $1)
    }
    return order.map { all[$0].finding }
  }
}
