let helpText = """
  Usage: dt-partition COMMAND [OPTION]... [ARGUMENT]...
  Works on the device trees of a partitioned system: one for each guest, and the whole board's.

  Commands:
    check TREE...           what is wrong with the guests' trees, alone and together
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
