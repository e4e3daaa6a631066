import Linux
import OwnerService

/// What `brokerd` can be told.
struct Options {
  var owner: String?
  var deviceTree: String?
  var memory: [Assignment] = []
  var bindings: [Assignment] = []
  var simulate = false
  var spin: UInt64?

  init(_ arguments: inout Arguments) throws(Failure) {
    do throws(UsageError) {
      owner = try arguments.value("--owner", "-o")
      deviceTree = try arguments.value("--device-tree", "-t")
      memory = try Self.assignments("--memory", "LINK=PATH", &arguments)
      bindings = try Self.assignments("--bind", "EXPORT=DEVICE", &arguments)
      simulate = arguments.flag("--simulate")
      if let text = try arguments.value("--spin") {
        guard let spin = parseDuration(text) else { throw UsageError("--spin \(text) is no duration; try 50us") }
        self.spin = spin
      }
      if let operand = try arguments.operands().first { throw UsageError("unexpected argument '\(operand)'") }
    } catch {
      throw Failure(error.text, .usage)
    }
  }

  private static func assignments(
    _ option: String, _ form: String, _ arguments: inout Arguments
  ) throws(UsageError) -> [Assignment] {
    var all: [Assignment] = []
    for text in try arguments.values(option) {
      guard let assignment = Assignment(text) else { throw UsageError("\(option) \(text) is not of the form \(form)") }
      all.append(assignment)
    }
    return all
  }
}

let helpText = """
  Usage: brokerd [OPTION]...
  Serves this guest's exported peripherals to the guests that its device tree grants them to.

  Everything - the shared regions, who is at their other end, what is exported to whom - comes from the
  device tree. On a machine whose tree has no guestbroker node a built-in example is used: guest1 owns
  uart2, a simulated UART whose far end is a pseudo-terminal that you can open, and guest2 may use it.

    -o, --owner GUEST         which guest this is; must be the device tree's own guest-name
    -t, --device-tree PATH    a .dtb file or a /proc/device-tree directory, instead of this machine's tree
        --bind EXPORT=DEVICE  the device behind an export: a path such as /dev/ttyAMA2, "pty" (simulated,
                              with a far end to watch) or "null" (simulated, takes everything at once);
                              else the terminal whose of_node in sysfs is the export's device node
        --simulate            simulate every export that has no --bind, as "pty" does
        --memory LINK=PATH    where a link's shared region is, instead of at the tree's address: a file,
                              made if there is none, or /dev/mem
        --spin DURATION       how long to look for more work before sleeping (default 50us; 0 never spins)
    -h, --help                print this and exit
    -V, --version             print the versions and exit

  Durations: 50us, 2ms, 1.5s, 2 (seconds). Ends on SIGINT and SIGTERM; what is under way then is answered
  with ECANCELED. Exit codes are those of sysexits(3); brokerd(8) lists them.

  Example, in two terminals:
    brokerd --owner guest1
    guestagent uart write uart2 'hello'
  """
