/// Of all commands.
let longOptions = [
  "--system", "--hypervisor", "--separate-boards", "--live", "--sysfs", "--ignore", "--json", "--out", "--force", "--svg",
  "--help",
  "--version",
]

let helpText = """
  Usage: dt-partition COMMAND [OPTION]... [ARGUMENT]...
  Works on the device trees of a partitioned system: one for each guest, and the whole board's.

  Commands:
    check TREE...           what is wrong with the guests' trees, alone and together
    split SYSTEM            each guest's tree, out of the whole board's
    show TREE...            who owns, lends and reaches what
  'dt-partition COMMAND --help' tells more about each.

  \(treeHelp)

    -h, --help              print this and exit
    -V, --version           print the version and exit
  """

/// For the help of each command.
let treeHelp = """
  A TREE is a .dtb file, a source (.dts; compiled with dtc, which must be installed), or a directory such as
  /proc/device-tree.
  """

let checkHelp = """
  Usage: dt-partition check [OPTION]... [GUEST=]TREE...
         dt-partition check --live [OPTION]... [TREE]
  Reads the device trees that guests' kernels are handed, and says what is wrong with each and with all of
  them together: which file and node, what, why it matters, how to mend it. Name all guests' trees at once:
  most mistakes are between two of them.

    -s, --system TREE       the whole board's tree: finds peripherals in no guest, and other registers
                            or interrupts than the board's
        --hypervisor [GUEST=]TREE
                            the hypervisor's side of a guest: an Xvisor guest's tree (with aspace), Xen's
                            host tree (with xen,domain nodes), or what Xen passes through (passthrough)
        --separate-boards   each guest has a whole board that is made up for it (QEMU, KVM): the same device
                            in two guests is not the same
        --live              compare this machine's tree with the devices that its kernel has
        --sysfs DIR         where --live finds them (default /sys)
        --ignore RULE       leave findings of this rule out, as "shared-supplier"; may be given again
        --json              one JSON object a line: file, node, severity, rule, message, why, fix
    -h, --help              print this and exit

  \(treeHelp) A guest is called by its guest-name, else by GUEST, else by its file.

  Exit codes: 0 nothing found, 1 warnings, 2 errors, 64 and above (sysexits(3)) when a tree can't be read.
  dt-partition(1) has all rules.

  Example:
    dt-partition check guest1.dts guest2.dts --system board.dts --hypervisor guest1=xvisor-guest1.dts
  """

let splitHelp = """
  Usage: dt-partition split SYSTEM --out DIR [OPTION]...
  Makes each guest's device tree, DIR/GUEST.dts, of the whole board's, which says in /domains what each
  guest is given and what it lends the others (GuestBroker's Spec/system-tree.md).

    -o, --out DIR           where the trees go; made if it isn't there
    -f, --force             replace files that are there
        --hypervisor xvisor|xen
                            the hypervisor's side too. xvisor: a guest tree for Xvisor each, DIR/GUEST.xvisor.dts.
                            xen: the tree that Xen boots with, with dom0less domains, DIR/xen.dts, and what
                            it passes through to each guest, DIR/GUEST.xen.dts
    -h, --help              print this and exit

  \(treeHelp) A source keeps its labels.

  Exit codes are those of sysexits(3): 0 everything was written, 65 the tree makes no sense, 73 a file is
  there or can't be written, 78 /domains says something that doesn't fit.

  Example:
    dt-partition split system.dts --out trees && dt-partition check trees/*.dts --system system.dts
  """

let showHelp = """
  Usage: dt-partition show [OPTION]... TREE...
  Shows who owns, lends and reaches what: guests, their peripherals, the links between them, exports and
  imports. Name all guests' trees, or a system's tree with /domains, which is split first.

        --svg FILE          draw it too; "-" draws it on standard output instead of the table
    -f, --force             replace FILE if it is there
        --json              one JSON object a line: kind (guest, memory, peripheral, link, loan) and what
                            belongs to it
    -h, --help              print this and exit

  \(treeHelp)
  """
