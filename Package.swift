// swift-tools-version: 6.2
import PackageDescription

// No package dependency: the toolchain's own modules only.
let rules: [SwiftSetting] = [.strictMemorySafety(), .treatAllWarnings(as: .error)]
// Tests and Benchmarks run on the host only, so they may use what Embedded Swift lacks.
let hostRules: [SwiftSetting] = [.treatAllWarnings(as: .error)]
// The toolchain's view of the C library and CLinux's must be the same one.
let view: [CSetting] = [.define("_GNU_SOURCE")]

/// A library of the guests' wing, which also compiles as Embedded Swift. It may name only modules that stand above it in the list below.
func module(_ name: String, uses: [Target.Dependency] = [], settings: [SwiftSetting] = []) -> Target {
  .target(name: name, dependencies: uses, exclude: ["README.md"], cSettings: view, swiftSettings: rules + settings)
}

/// A library of the host's wing: ordinary Swift, which no guest's program may need.
func hostModule(_ name: String, uses: [Target.Dependency]) -> Target {
  .target(name: name, dependencies: uses, exclude: ["README.md"], cSettings: view, swiftSettings: rules)
}

/// A program, as thin as it can be.
func program(_ name: String, uses: [Target.Dependency]) -> Target {
  .executableTarget(name: name, dependencies: uses, exclude: ["README.md"], cSettings: view, swiftSettings: rules)
}

/// The tests of a module.
func tests(of name: String, uses: [Target.Dependency]) -> Target {
  .testTarget(
    name: "\(name)Tests", dependencies: uses + ["TestSupport"], cSettings: view, swiftSettings: hostRules)
}

let package = Package(
  name: "GuestBroker",
  products: [
    .executable(name: "guestagent", targets: ["GuestAgentCLI"]),
    .executable(name: "brokerd", targets: ["brokerd"]),
    .executable(name: "dt-partition", targets: ["dt-partition"]),
    .library(name: "GuestAgent", targets: ["GuestAgent"]),
    .library(name: "OwnerService", targets: ["OwnerService"]),
  ],
  targets: [
    .target(name: "CLinux", exclude: ["README.md"]),
    module("RingBuffer", uses: ["CLinux"], settings: [.enableExperimentalFeature("Lifetimes")]),
    module("Text"),
    module("Linux", uses: ["CLinux", "Text"]),
    module("DeviceTree", uses: ["Linux", "Text"]),
    module("BrokerProtocol", uses: ["Text"]),
    module("Partition", uses: ["BrokerProtocol", "DeviceTree", "Linux", "Text"]),
    module("Program", uses: ["CLinux", "Linux", "Partition", "Text"]),
    module("SharedMemory", uses: ["CLinux", "DeviceTree", "Linux", "Partition", "RingBuffer", "Text"]),
    module("GuestAgent", uses: ["BrokerProtocol", "Linux", "Partition", "RingBuffer", "SharedMemory", "Text"]),
    module(
      "OwnerService", uses: ["BrokerProtocol", "CLinux", "Linux", "Partition", "RingBuffer", "SharedMemory", "Text"]),
    program(
      "GuestAgentCLI",
      uses: ["BrokerProtocol", "GuestAgent", "Linux", "Partition", "Program", "RingBuffer", "SharedMemory", "Text"]),
    program(
      "brokerd",
      uses: ["BrokerProtocol", "CLinux", "Linux", "OwnerService", "Partition", "Program", "RingBuffer", "SharedMemory", "Text"]),
    hostModule("TreeTools", uses: ["BrokerProtocol", "DeviceTree", "Linux", "Partition", "Program", "Text"]),
    program("dt-partition", uses: ["DeviceTree", "Linux", "Partition", "Program", "Text", "TreeTools"]),
    // What Tests/Guests runs inside its guests, built as the programs are.
    .executableTarget(
      name: "guestprobe",
      dependencies: ["BrokerProtocol", "GuestAgent", "Linux", "Partition", "Program", "RingBuffer", "SharedMemory", "Text"],
      path: "Tests/Guests/Probe", cSettings: view, swiftSettings: rules),
    // Reads and writes trees for Tests/DeviceTrees/check.
    .executableTarget(
      name: "rewrite-trees", dependencies: ["DeviceTree", "Linux", "Program", "Text", "TreeTools"],
      path: "Tests/DeviceTrees/Rewrite",
      cSettings: view,
      swiftSettings: hostRules),
    // What `swift run Benchmarks` builds for debugging: it has `measure` built for release and becomes it.
    .executableTarget(name: "Benchmarks", path: "Benchmarks/Launcher", swiftSettings: hostRules),
    .executableTarget(
      name: "measure",
      dependencies: [
        "BrokerProtocol", "CLinux", "DeviceTree", "GuestAgent", "Linux", "OwnerService", "Partition", "Program", "RingBuffer",
        "SharedMemory", "Text", "TreeTools",
      ],
      path: "Benchmarks", exclude: ["Launcher", "README.md", "count-instructions"], cSettings: view, swiftSettings: hostRules),

    .target(
      name: "TestSupport", dependencies: ["CLinux", "DeviceTree"], path: "Tests/TestSupport", cSettings: view,
      swiftSettings: hostRules),
    // The ring's own sources over memory that a scheduler controls.
    .target(
      name: "ScheduledRingBuffer", path: "Tests/ScheduledRingBuffer",
      swiftSettings: hostRules + [.enableExperimentalFeature("Lifetimes")]),
    tests(of: "RingBuffer", uses: ["RingBuffer"]),
    tests(of: "ScheduledRingBuffer", uses: ["ScheduledRingBuffer"]),
    tests(of: "Text", uses: ["Text"]),
    tests(of: "Linux", uses: ["CLinux", "Linux"]),
    tests(of: "Program", uses: ["CLinux", "Linux", "Program", "Text"]),
    tests(of: "DeviceTree", uses: ["DeviceTree", "Linux", "Text"]),
    tests(of: "Partition", uses: ["BrokerProtocol", "DeviceTree", "Linux", "Partition", "Program", "Text"]),
    tests(of: "TreeTools", uses: ["BrokerProtocol", "DeviceTree", "Linux", "Partition", "Program", "Text", "TreeTools"]),
    tests(
      of: "SharedMemory", uses: ["CLinux", "DeviceTree", "Linux", "Partition", "RingBuffer", "SharedMemory"]),
    tests(of: "BrokerProtocol", uses: ["BrokerProtocol"]),
    tests(
      of: "GuestAgent", uses: ["BrokerProtocol", "CLinux", "GuestAgent", "Linux", "Partition", "RingBuffer", "SharedMemory"]),
    tests(
      of: "OwnerService",
      uses: [
        "BrokerProtocol", "CLinux", "GuestAgent", "Linux", "OwnerService", "Partition", "RingBuffer", "SharedMemory", "Text",
      ]),
    tests(
      of: "EndToEnd",
      uses: [
        "CLinux", "DeviceTree", "GuestAgentCLI", "Partition", "RingBuffer", "SharedMemory", "TreeTools", "brokerd",
        "dt-partition",
      ]),
  ],
  swiftLanguageModes: [.v6])
