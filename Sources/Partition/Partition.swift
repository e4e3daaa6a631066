import BrokerProtocol
import DeviceTree
import Text

/// What a guest's device tree says about sharing peripherals with other guests (Spec, device tree).
public struct Partition: Sendable {
  /// Who this is.
  public var guestName: String
  public var links: [Link]
  /// Peripherals of this guest that others may use.
  public var exports: [Export]
  /// What they are called.
  public var exportNames: [String]
  /// Peripherals of others that this guest may ask for.
  public var imports: [Import]
  /// What the tree says and this version leaves out: a sentence each.
  public var notes: [String] = []
}

/// A region shared with one other guest.
public struct Link: Sendable {
  /// The memory's `guestbroker,id` or `xen,id`; else the link node's name.
  public var name: String
  public var role: Role
  /// The guest at the other end.
  public var peerName: String
  public var memory: Memory
  public var doorbell: Doorbell
  /// How often a sleeper looks where no doorbell rings, in microseconds.
  public var pollInterval: UInt32
  /// How the region's memory is to be mapped; nil: as it comes.
  public var mapping: Attribute?
  /// How many processes of the borrower can use the link at once.
  public var channels: Int

  public enum Role: Sendable { case owner, borrower }

  /// Where the region is.
  public indirect enum Memory: Equatable, Sendable {
    /// At a physical address, by the device-tree node with this path.
    case physical(AddressRange, node: String)
    /// In the ivshmem device at this address of the PCI bus, as "0000:00:06.0".
    case ivshmem(String)
  }

  public enum Doorbell: Equatable, Sendable {
    /// futex(2), between processes of one kernel.
    case futex
    /// No interrupt: look now and then.
    case poll
    /// The interrupt of the region's UIO device; `ring` says what makes one at the peer.
    case uio(ring: RegisterWrite?)
    /// The doorbell of the region's ivshmem device.
    case ivshmem
  }

  /// A 32-bit store that makes an interrupt at the peer.
  public struct RegisterWrite: Equatable, Sendable {
    /// In the second memory of the region's node, in bytes.
    public var offset: UInt32
    public var value: UInt32

    public init(offset: UInt32, value: UInt32) {
      self.offset = offset
      self.value = value
    }
  }

  /// How a processor treats memory (Spec, device tree §3).
  public enum Attribute: Sendable {
    case cached, writeCombined, device

    public var name: String {
      switch self {
      case .cached: "cached"
      case .writeCombined: "write-combined"
      case .device: "device"
      }
    }
  }
}

/// A peripheral of this guest that others may use.
public struct Export: Sendable {
  public var name: String
  public var peripheralClass: PeripheralClass
  /// The node of the UART, or of the I2C or SPI controller; of the first line's controller for GPIO.
  public var devicePath: String
  /// Who may use it, and how. On an I2C or SPI bus only what `elements` say is granted; this is their default.
  public var grant: Grant
  /// The addresses, chip selects or lines that are shared; none for a UART.
  public var elements: [Element] = []
  public var onClientLoss: OnClientLoss
  /// UART: clients may not set a higher speed.
  public var maximumBaud: UInt32?
  /// I2C and SPI: no transfer may have more bytes, all its messages together.
  public var maximumTransferBytes: UInt32?

  /// What happens to the peripheral when a client's session ends (reboot, crash).
  public enum OnClientLoss: Sendable {
    /// Nothing: bytes that were accepted leave, lines stay as they are.
    case hold
    /// UART: bytes that have not left are dropped.
    case discard
    /// GPIO: the lines that the client drove become inputs.
    case input
    /// GPIO: the lines that the client drove are driven inactive.
    case inactive
  }

  /// What has a grant of its own: an I2C address, an SPI chip select or a GPIO line.
  public struct Element: Sendable {
    /// The node's name; a GPIO line's `gpio-line-names`, "" without.
    public var name: String
    /// The 7-bit address, the chip select, or the line's number at its controller.
    public var number: UInt32
    /// The controller's node.
    public var devicePath: String
    public var grant: Grant
    /// SPI: clients may not use a faster clock, in hertz.
    public var maximumFrequency: UInt32?
    /// GPIO: the specifier's second cell; bit 0 is active low.
    public var flags: UInt32 = 0
  }
}

/// Who may use something, in which way and how much.
public struct Grant: Sendable {
  /// The guests that may.
  public var clients: [String] = []
  public var access: Access = [.read, .write]
  /// 0 to 7: of requests that wait for one device, the highest is done first.
  public var priority: UInt8 = 0
  /// What each client may have done in a second: requests, and payload bytes of both directions.
  public var maximumOperationsPerSecond: UInt32?
  public var maximumBytesPerSecond: UInt32?
}

/// A peripheral of another guest.
public struct Import: Sendable {
  public var name: String
  public var peripheralClass: PeripheralClass
  /// Which of the partition's links leads to its owner.
  public var link: Int
  /// What its owner calls it.
  public var remoteName: String
}

/// What is wrong with a tree's guestbroker node. `text` is a sentence without its full stop.
public indirect enum PartitionError: Error, Sendable {
  /// No node is compatible with "guestbroker,guest-v1".
  case noGuestNode
  case missing(node: String, property: String, shouldBe: String)
  case invalid(node: String, property: String, shouldBe: String)
  /// A phandle that refers to nothing, or to the wrong thing.
  case dangling(node: String, property: String, shouldBe: String)
  case duplicate(what: String, name: String)
  case tooMany(what: String, limit: Int)
  case badName(node: String, name: String)
  /// An exported device that is not this guest's to give.
  case notOkay(export: String, device: String)

  public var text: String {
    switch self {
    case .noGuestNode: "no node is compatible with \"guestbroker,guest-v1\"; add one to this guest's device tree"
    case .missing(let node, let property, let shouldBe): "\(node): property \(property) is missing; it should be \(shouldBe)"
    case .invalid(let node, let property, let shouldBe): "\(node): property \(property) should be \(shouldBe)"
    case .dangling(let node, let property, let shouldBe):
      "\(node): property \(property) refers to nothing; it should be a phandle of \(shouldBe)"
    case .duplicate(let what, let name): "two \(what) are called \(name); rename one"
    case .tooMany(let what, let limit): "the guestbroker node has more than \(limit) \(what); drop some"
    case .badName(let node, let name): "\(node): '\(name)' is no name; use 1 to 31 letters, digits and ,._+-"
    case .notOkay(let export, let device):
      "export \(export): its device \(device), or a bus above it, is not okay in this tree, so it is not this guest's to share; set status = \"okay\" or drop the export"
    }
  }
}
