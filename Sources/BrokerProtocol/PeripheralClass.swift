import Text

/// What kind of peripheral something is: in device trees by its name, in requests by its number (Spec 4 §2; Spec, device tree §4).
public enum PeripheralClass: UInt8, CaseIterable, Sendable {
  /// The owner itself: no peripheral, and nothing that a device tree names.
  case broker = 0
  case uart = 1
  case i2c = 2
  case spi = 3
  case gpio = 4

  public var name: String {
    switch self {
    case .broker: "broker"
    case .uart: "uart"
    case .i2c: "i2c"
    case .spi: "spi"
    case .gpio: "gpio"
    }
  }

  /// Whether this version's programs serve it.
  public var isServed: Bool { self == .uart }

  /// By the name that a device tree has for it.
  public init?(_ name: String) {
    let peripherals: [PeripheralClass] = [.uart, .i2c, .spi, .gpio]
    guard let found = peripherals.first(where: { sameText($0.name, name) }) else { return nil }
    self = found
  }
}
