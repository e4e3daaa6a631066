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
  Usage: dt-partition check [OPTION]... TREE...
  Reads the guests' device trees.

  \(treeHelp)
  """
