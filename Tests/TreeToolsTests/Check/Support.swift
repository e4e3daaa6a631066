import DeviceTree
import Foundation
import TestSupport
import Testing

@testable import TreeTools

/// A small board that two guests share, as sources. Each test changes a word of it.
enum Sources {
  /// What both guests and the board have; the marks in capitals are filled in.
  private static let board = """
    /dts-v1/;
    / {
      #address-cells = <1>; #size-cells = <1>; interrupt-parent = <&gic>;
      model = "a board";
      compatible = "test,board";
      chosen { CHOSEN };
      aliases { serial0 = &uart0; serial1 = &uart1; serial2 = &uart2; };
      memory@80000000 { device_type = "memory"; reg = <0x80000000 0x10000000>; };
      reserved-memory {
        #address-cells = <1>; #size-cells = <1>; ranges;
        REGIONS
      };
      refclk: clock-24000000 { compatible = "fixed-clock"; #clock-cells = <0>; clock-frequency = <24000000>; };
      osc: clock-osc { compatible = "test,osc"; #clock-cells = <0>; };
      soc {
        compatible = "simple-bus"; #address-cells = <1>; #size-cells = <1>; ranges = <0 0x40000000 0x100000>;
        gic: interrupt-controller@0 {
          compatible = "arm,cortex-a15-gic"; interrupt-controller; #interrupt-cells = <3>; #address-cells = <0>; reg = <0x0 0x1000>;
        };
        uart0: serial@1000 { compatible = "arm,pl011"; reg = <0x1000 0x1000>; interrupts = <0 1 4>; clocks = <&refclk>; STATUS0 };
        uart1: serial@2000 { compatible = "arm,pl011"; reg = <0x2000 0x1000>; interrupts = <0 2 4>; clocks = <&refclk>; STATUS1 };
        uart2: serial@3000 { compatible = "arm,pl011"; reg = <0x3000 0x1000>; interrupts = <0 3 4>; clocks = <&refclk>; STATUS2 };
        gpio: gpio@4000 {
          compatible = "test,gpio"; reg = <0x4000 0x1000>; interrupts = <0 4 4>; gpio-controller; #gpio-cells = <2>; STATUS0
        };
        dma: dma-controller@5000 { compatible = "test,dma"; reg = <0x5000 0x1000>; #dma-cells = <1>; STATUS0 };
        clk: clock-controller@6000 { compatible = "test,clock"; reg = <0x6000 0x1000>; #clock-cells = <1>; STATUS0 };
        i2c: i2c@7000 {
          compatible = "test,i2c"; reg = <0x7000 0x1000>; interrupts = <0 7 4>; #address-cells = <1>; #size-cells = <0>; STATUS0
        };
      };
      MORE
    };
    """

  private static let region = """
    shared: guestbroker@90000000 {
      compatible = "guestbroker,link-memory"; reg = <0x90000000 0x100000>; no-map; guestbroker,id = "g1g2";
    };
    """

  static let system = filled(
    ["CHOSEN": "", "REGIONS": "", "STATUS0": "", "STATUS1": "", "STATUS2": "", "MORE": "SYSTEM"])

  static let guest1 = filled([
    "CHOSEN": "stdout-path = \"serial0:115200n8\";", "REGIONS": region, "STATUS0": "", "STATUS1": "status = \"reserved\";",
    "STATUS2": "",
    "MORE": """
    guestbroker {
      compatible = "guestbroker,guest-v1"; guest-name = "guest1";
      links { g2: guest2 {
        compatible = "guestbroker,link-v1"; peer-name = "guest2"; role = "owner"; memory-region = <&shared>; channels = <4>;
        doorbell = "poll";
      }; };
      exports { uart2 { class = "uart"; device = <&uart2>; clients = "guest2"; }; };
    };
    """,
  ])

  static let guest2 = filled([
    "CHOSEN": "stdout-path = \"serial1:115200n8\";", "REGIONS": region, "STATUS0": "status = \"reserved\";", "STATUS1": "",
    "STATUS2": "status = \"reserved\";",
    "MORE": """
    guestbroker {
      compatible = "guestbroker,guest-v1"; guest-name = "guest2";
      links { g1: guest1 {
        compatible = "guestbroker,link-v1"; peer-name = "guest1"; role = "borrower"; memory-region = <&shared>; channels = <4>;
        doorbell = "poll";
      }; };
      imports { uart2 { class = "uart"; link = <&g1>; }; };
    };
    """,
  ])

  private static func filled(_ marks: [String: String]) -> String {
    marks.reduce(board) { $0.replacingOccurrences(of: $1.key, with: $1.value == "SYSTEM" ? "" : $1.value) }
  }

  /// What Xvisor gives a guest: RAM, the shared memory, an interrupt controller and these devices.
  static func xvisor(_ devices: [(name: String, address: UInt32, interrupt: UInt32)]) -> String {
    let passed = devices.map {
      """
      \($0.name) {
        manifest_type = "real"; address_type = "memory"; device_type = "pt"; compatible = "platform";
        guest_physical_addr = <\($0.address)>; host_physical_addr = <\($0.address)>; physical_size = <0x1000>;
        host-interrupts = <\($0.interrupt) 4 0xffffffff>; interrupts = <\($0.interrupt)>;
      };
      """
    }
    return """
      /dts-v1/;
      / {
        model = "a guest"; device_type = "guest";
        aspace {
          guest_irq_count = <128>;
          gic {
            manifest_type = "virtual"; address_type = "memory"; device_type = "pic"; compatible = "arm,vgic,dist";
            guest_physical_addr = <0x40000000>; physical_size = <0x1000>;
          };
          mem {
            manifest_type = "real"; address_type = "memory"; device_type = "alloced_ram"; align_order = <21>;
            guest_physical_addr = <0x80000000>; physical_size = <0x10000000>;
          };
          shmem {
            manifest_type = "real"; address_type = "memory"; device_type = "shared_ram"; shared_mem = "g1g2";
            guest_physical_addr = <0x90000000>; physical_size = <0x100000>;
          };
          \(passed.joined(separator: "\n"))
        };
      };
      """
  }

  static let devices1: [(name: String, address: UInt32, interrupt: UInt32)] = [
    ("uart0", 0x4000_1000, 33), ("uart2", 0x4000_3000, 35), ("gpio", 0x4000_4000, 36), ("dma", 0x4000_5000, 37),
    ("clk", 0x4000_6000, 38), ("i2c", 0x4000_7000, 39),
  ]
  static let xvisor1 = xvisor(devices1)
  static let xvisor2 = xvisor([("uart1", 0x4000_2000, 34)])
}

typealias Change = (old: String, new: String)

struct NotThere: Error { let text: String }

func changed(_ source: String, _ changes: [Change]) throws -> String {
  try changes.reduce(source) { source, change in
    guard source.contains(change.old) else { throw NotThere(text: change.old) }
    return source.replacingOccurrences(of: change.old, with: change.new)
  }
}

func tree(_ source: String) throws -> DeviceTree {
  let (blob, complaints) = try compile(source)
  do {
    return try DeviceTree(blob: Array(blob))
  } catch {
    throw NotThere(text: complaints)
  }
}

/// What is found in the two guests' trees, changed, alone or with the hypervisor's side and the board.
func findings(
  guest1: [Change] = [], guest2: [Change] = [], system: [Change]? = nil, xvisor1: [Change]? = nil, xvisor2: [Change]? = nil
) throws -> [Finding] {
  var check = TreeCheck(guests: [
    NamedTree(file: "guest1.dts", tree: try tree(changed(Sources.guest1, guest1))),
    NamedTree(file: "guest2.dts", tree: try tree(changed(Sources.guest2, guest2))),
  ])
  if let system { check.system = NamedTree(file: "board.dts", tree: try tree(changed(Sources.system, system))) }
  if let xvisor1 {
    check.hypervisor.append(
      NamedTree(file: "xvisor1.dts", guest: "guest1", tree: try tree(changed(Sources.xvisor1, xvisor1))))
  }
  if let xvisor2 {
    check.hypervisor.append(
      NamedTree(file: "xvisor2.dts", guest: "guest2", tree: try tree(changed(Sources.xvisor2, xvisor2))))
  }
  return check.findings()
}

/// "guest1.dts: /soc/serial@1000: okay-twice"
func short(_ findings: [Finding]) -> [String] { findings.map { "\($0.file): \($0.node): \($0.rule.id)" } }
