private let commonOptions = """
    -t, --device-tree PATH  a .dtb file or a /proc/device-tree directory, instead of this machine's tree
        --example           the built-in example, whatever this machine's tree has
        --memory LINK=PATH  where a link's shared region is, instead of at the tree's address
        --wait DURATION     how long to wait for the owner to be there (default 2s)
        --json              one JSON object a line instead of text
    -h, --help              print this and exit
  """

/// Of all commands.
let longOptions = [
  "--device-tree", "--example", "--memory", "--wait", "--json", "--help", "--version", "--count", "--interval", "--size",
  "--hex", "--no-drain", "--timeout",
]

private let ending = """
  Durations: 250us, 500ms, 1.5s, 2 (seconds), 3min. Exit codes are those of sysexits(3), see guestagent(1): 0 done,
  64 usage, 68 no such peripheral, 69 the owner does not answer, 74 device error, 75 timed out, 77 not granted.
  """

var helpText: String {
  """
  Usage: guestagent COMMAND [OPTION]... [ARGUMENT]...
  Uses peripherals that another guest owns, by way of brokerd in that guest.

  Commands:
    list                          what this guest can reach, and whether its owner is there
    ping [LINK|OWNER]             round-trip times to an owner
    uart write NAME TEXT|-        write to a UART, and wait until the bytes have left it
    uart read NAME [-n COUNT]     print what a UART receives
    uart config NAME [SETTING]... show or change its speed and format
    uart flush NAME [in|out|both] throw away what is buffered
  'guestagent COMMAND --help' tells more about each.

  Options of every command:
  \(commonOptions)
    -V, --version           print the versions and exit

  \(ending)

  Example: guestagent uart write uart2 'hello'
  """
}

var listHelp: String {
  """
  Usage: guestagent list [OPTION]...
  Lists the peripherals that this guest's device tree imports.

  ACCESS is what the owner grants: rw, ro, wo, "not granted", "not exported", or "unknown" while it is away.
  STATE is the link's: "up", "no owner" (no brokerd answers there), "busy" (other processes of this guest have all
  its channels) or "error"; with the last two a message says more, and the exit code is that of the first one.

  \(commonOptions)
  """
}

var pingHelp: String {
  """
  Usage: guestagent ping [OPTION]... [LINK|OWNER]
  Measures round trips to the owner at the other end of a link (default: the first link), and checks that what
  comes back is what was sent.

    -c, --count N           how many (default 5)
    -i, --interval DURATION pause between two (default 200ms; 0 to see how fast it can be)
    -s, --size BYTES        data in each, 0 to 4096 (default 8)
  \(commonOptions)
  """
}

var uartHelp: String {
  """
  Usage: guestagent uart write|read|config|flush NAME [OPTION]... [ARGUMENT]...
    write NAME TEXT|-             write to a UART, and wait until the bytes have left it
    read NAME [-n COUNT]          print what it receives
    config NAME [SETTING]...      show or change its speed and format
    flush NAME [in|out|both]      throw away what is buffered
  'guestagent uart COMMAND --help' tells more about each.
  """
}

var uartWriteHelp: String {
  """
  Usage: guestagent uart write [OPTION]... NAME TEXT|-
  Writes TEXT as it is (no newline is added), or standard input, to another guest's UART.

  Says how many bytes were sent and how long it took. The exit code is 0 only if all bytes reached the device;
  otherwise the message says how many did, and whether the rest was executed: no, maybe or yes.

        --hex               TEXT is hex digits: '55 aa 0d0a'
        --no-drain          return when the owner's kernel has the bytes, not when they have left the UART
        --timeout DURATION  give up when nothing moved for so long (default 5s, at most an hour); a slow line
                            is no error
  \(commonOptions)

  Examples: guestagent uart write uart2 'hello'
            guestagent uart write uart2 - < firmware.bin
  """
}

var uartReadHelp: String {
  """
  Usage: guestagent uart read [OPTION]... NAME
  Prints what another guest's UART receives, byte for byte, until interrupted.

    -n, --count COUNT       stop after COUNT bytes
        --timeout DURATION  stop after so much silence (default: never); an error when -n wants more
  \(commonOptions)

  With --json, an object for each piece: bytes, lost, hex. If the port or the owner's kernel lost bytes, a
  message says how many and where, and the exit code is 74.
  """
}

var uartConfigHelp: String {
  """
  Usage: guestagent uart config [OPTION]... NAME [SETTING]...
  Shows the line settings of another guest's UART, after changing them if SETTINGs are given.

    SPEED[PARITY BITS STOP]  115200, 9600e71: parity n, o, e, m or s, 5 to 8 data bits, 1 or 2 stop bits;
                             any speed that the hardware can make; 115200n8, 115200,8n1 and 115200 8n1 are
                             read too
    rtscts, xonxoff, noflow  flow control: hardware, software, none

        --timeout DURATION  how long to wait for earlier bytes to leave first (default 5s)
  \(commonOptions)

  Example: guestagent uart config uart2 921600n81 rtscts
  """
}

var uartFlushHelp: String {
  """
  Usage: guestagent uart flush [OPTION]... NAME [in|out|both]
  Throws away what a UART received and nobody read (in), what waits to be sent (out), or both; by default as
  much of that as this guest may. Says how much.
  Writers whose bytes were thrown away are told so.

  \(commonOptions)
  """
}
