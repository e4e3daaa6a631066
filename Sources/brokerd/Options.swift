import Program
import Text
import OwnerService
import Partition

/// What `brokerd` can be told.
struct Options {
  let owner: String?
  let deviceTree: String?
  /// Nil when it wasn't said.
  let example: ExampleUse?
  let memory: [Assignment]
  let bindings: [Assignment]
  let simulate: Bool
  let spin: UInt64?

  init(_ arguments: inout Arguments) {
    owner = arguments.value("--owner", "-o")
    deviceTree = arguments.value("--device-tree", "-t")
    let (wanted, unwanted) = (arguments.flag("--example"), arguments.flag("--no-example"))
    if wanted, unwanted || deviceTree != nil {
      arguments.fail("--example is in the way of \(unwanted ? "--no-example" : "--device-tree"): one of them")
    }
    example = wanted ? .always : unwanted ? .never : nil
    memory = arguments.assignments("--memory", "LINK=PATH")
    bindings = arguments.assignments("--bind", "EXPORT=DEVICE")
    simulate = arguments.flag("--simulate")
    spin = arguments.duration("--spin", example: "50us")
    _ = arguments.operands(atMost: 0)
  }
}

let longOptions = [
  "--owner", "--device-tree", "--example", "--no-example", "--memory", "--bind", "--simulate", "--spin", "--help", "--version",
]

let helpText = """
  Usage: brokerd [OPTION]...
  Serves this guest's exported peripherals to the guests that its device tree grants them to.

  Everything - the shared regions, who is at their other end, what is exported to whom - comes from the
  device tree. On a machine whose tree has no guestbroker node a built-in example is used, but not by a
  service of systemd: guest1 owns uart2, a simulated UART whose far end is a pseudo-terminal that you can
  open, and guest2 may use it.

    -o, --owner GUEST         which guest this is; must be the device tree's own guest-name
    -t, --device-tree PATH    a .dtb file or a /proc/device-tree directory, instead of this machine's tree
        --example             the built-in example, whatever this machine's tree has
        --no-example          an error where this machine's tree has no guestbroker node
        --bind EXPORT=DEVICE  the device behind an export: a path such as /dev/ttyAMA2, "pty" (simulated,
                              with a far end to watch) or "null" (simulated, takes everything at once);
                              else the terminal whose of_node in sysfs is the export's device node
        --simulate            simulate every export that has no --bind, as "pty" does
        --memory LINK=PATH    where a link's shared region is, instead of at the tree's address: a file,
                              made if there is none, or /dev/mem
        --spin DURATION       how long to look for more work before sleeping (default 50us; 0 never spins)
    -h, --help                print this and exit
    -V, --version             print the versions and exit

  Durations: 50us, 2ms, 1.5s, 2 (seconds). Ends on SIGINT, SIGTERM and SIGHUP; what is under way then is
  answered with ECANCELED. Exit codes are those of sysexits(3); brokerd(8) lists them.

  Example, in two terminals:
    brokerd --owner guest1
    guestagent uart write uart2 'hello'
  """
