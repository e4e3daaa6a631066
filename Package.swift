// swift-tools-version: 6.2
import PackageDescription

// No package dependency: the toolchain's own modules only.
let rules: [SwiftSetting] = [.strictMemorySafety(), .treatAllWarnings(as: .error)]
// Tests and Benchmarks run on the host only, so they may use what Embedded Swift lacks.
let hostRules: [SwiftSetting] = [.treatAllWarnings(as: .error)]

// Foundation's view of the C library and CLinux's must be the same one.
let gnu: [CSetting] = [.define("_GNU_SOURCE")]

let package = Package(
  name: "GuestBroker",
  products: [
    .executable(name: "guestagent", targets: ["GuestAgentCLI"]),
    .executable(name: "brokerd", targets: ["brokerd"]),
    .library(name: "GuestAgent", targets: ["GuestAgent"]),
    .library(name: "OwnerService", targets: ["OwnerService"]),
  ],
  targets: [
    // The layers, lowest first; each may name only what stands above it in this list.
    .target(name: "CLinux"),
    .target(name: "RingBuffer", swiftSettings: rules + [.enableExperimentalFeature("Lifetimes")]),
    .target(name: "Linux", dependencies: ["CLinux"], swiftSettings: rules),
    .target(name: "DeviceTree", dependencies: ["Linux"], swiftSettings: rules),
    .target(name: "Partition", dependencies: ["DeviceTree", "Linux"], swiftSettings: rules),
    .target(name: "SharedMemory", dependencies: ["CLinux", "Linux", "Partition", "RingBuffer"], swiftSettings: rules),
    .target(name: "BrokerProtocol", swiftSettings: rules),
    .target(
      name: "GuestAgent",
      dependencies: ["BrokerProtocol", "Linux", "Partition", "RingBuffer", "SharedMemory"], swiftSettings: rules),
    .target(
      name: "OwnerService",
      dependencies: ["BrokerProtocol", "CLinux", "Linux", "Partition", "RingBuffer", "SharedMemory"],
      swiftSettings: rules),
    .executableTarget(
      name: "GuestAgentCLI", dependencies: ["BrokerProtocol", "GuestAgent", "Linux", "Partition", "RingBuffer", "SharedMemory"],
      swiftSettings: rules),
    .executableTarget(
      name: "brokerd", dependencies: ["BrokerProtocol", "CLinux", "Linux", "OwnerService", "Partition", "RingBuffer", "SharedMemory"], swiftSettings: rules),
    .executableTarget(
      name: "Benchmarks",
      dependencies: ["BrokerProtocol", "CLinux", "GuestAgent", "Linux", "OwnerService", "Partition", "RingBuffer", "SharedMemory"],
      path: "Benchmarks", swiftSettings: hostRules),
    .testTarget(name: "RingBufferTests", dependencies: ["RingBuffer"], swiftSettings: hostRules),
    .testTarget(name: "LinuxTests", dependencies: ["Linux"], swiftSettings: hostRules),
    .testTarget(
      name: "SharedMemoryTests", dependencies: ["CLinux", "Linux", "Partition", "RingBuffer", "SharedMemory"], cSettings: gnu,
      swiftSettings: hostRules),
    .testTarget(name: "BrokerProtocolTests", dependencies: ["BrokerProtocol"], swiftSettings: hostRules),
    .testTarget(
      name: "GuestAgentTests",
      dependencies: ["BrokerProtocol", "CLinux", "GuestAgent", "Linux", "Partition", "RingBuffer", "SharedMemory"],
      cSettings: gnu, swiftSettings: hostRules),
    .testTarget(
      name: "OwnerServiceTests",
      dependencies: [
        "BrokerProtocol", "CLinux", "GuestAgent", "Linux", "OwnerService", "Partition", "RingBuffer", "SharedMemory",
      ],
      cSettings: gnu, swiftSettings: hostRules),
    .testTarget(
      name: "EndToEndTests", dependencies: ["CLinux", "GuestAgentCLI", "brokerd"], cSettings: gnu, swiftSettings: hostRules),
  ],
  swiftLanguageModes: [.v6])
