"""Boots two guests and looks at what they do to each other. Run by Tests/Guests/check, which prepares what this needs."""

import array
import atexit
import collections
import itertools
import os
import queue
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
MIB = 1 << 20
START = time.monotonic()
# Operations that a guest can have done since its last report that got out of it, and then some: its kernel may hold 4 KiB of reports,
# each of 32 operations.
UNREPORTED = 20000
BOOT_LIMIT = 150  # seconds; an idle machine takes 3 to 9


# What a person is told (Examples/qemu).
HELLO = {
    1: """
This is guest1. It owns uart2, and brokerd serves it to guest2.
""",
    2: """
This is guest2. It has no uart2. Try:

    guestagent list{options}
    guestagent uart write uart2 'hello'{options}
    guestagent uart read uart2{options}
    guestagent ping{options}
"""}


# For both ends of a link in one guest of virt, whose UIO device has an interrupt that no device makes: a store into the interrupt
# controller does. Interrupt 232 is bit 8 of GICD_ISPENDR7 (GICv2 architecture, 4.3.7).
BELL = '/ {{ guestbroker {{ links {{ {} {{ doorbell = "uio"; doorbell-write = <0x21c 0x100>; }}; }}; }}; }};'


class Failed(Exception):
    pass


class Board:
    """What differs between the boards."""

    def __init__(self, name, work):
        self.name, self.work = name, work
        self.shared = f"/dev/shm/guestbroker-guests-{os.getpid()}"
        self.arch = {"virt": "arm64", "virt-ivshmem": "arm64", "vexpress-a9": "armhf", "q35": "amd64"}[name]
        # Shared memory that no link uses.
        self.spare = {"virt": "/dev/mem 0x4f100000", "vexpress-a9": "/dev/mem 0x6f100000",
                      "q35": "/sys/bus/pci/devices/0000:00:06.0/resource2 0xfff000"}.get(name)
        # The kernel of a PC has no tree: the programs are told of ours, and of the device behind the export.
        self.has_tree = name != "q35"
        self.tree = "" if self.has_tree else "/trees/guest.dtb"
        self.options = "" if self.has_tree else f" --device-tree {self.tree}"
        self.binding = "" if self.has_tree else " --bind uart2=/dev/ttyS1"
        self.uart = {"virt": "/pcie@10000000/serial@5,0", "virt-ivshmem": "/pcie@10000000/serial@5,0",
                     "vexpress-a9": "/bus@40000000/motherboard-bus@40000000/iofpga@7,00000000/uart@b000"}.get(name)
        # A device of the board that guest2's tree has as reserved, by the kernel's name for it.
        self.reserved = {"virt": "9010000.pl031", "virt-ivshmem": "9010000.pl031", "vexpress-a9": "1000b000.uart"}.get(name)
        self.kernel_root = f"{TOP}/.build-guests/{self.arch}/linux"
        self.kernel = first(f"{self.kernel_root}/boot", "vmlinuz-")
        # The driver that makes the region a UIO device, where `check` could build it.
        self.uio = f"{TOP}/.build-guests/{self.arch}/uio/uio_pdrv_genirq.ko"
        self.has_uio = name == "virt" and os.path.exists(self.uio)
        with open(self.shared, "wb") as file:
            file.truncate(16 * MIB)
        self.make_trees()
        self.make_initrds()
        if name == "virt-ivshmem":
            IvshmemServer(f"{work}/ivshmem", self.shared)
        if name == "vexpress-a9":
            run("cc", "-shared", "-fPIC", "-O2", "-o", f"{work}/splice.so", f"{HERE}/splice.c", "-ldl")

    def command(self, guest, words=""):
        """QEMU's command line and what it needs in its environment; `words` go to the guest's init.

        With one processor possible, QEMU would take atomics for plain accesses: hence maxcpus."""
        common = ["-accel", "tcg", "-smp", "1,maxcpus=2", "-m", "256M", "-display", "none", "-monitor", "none", "-no-reboot",
                  "-serial", "stdio", "-kernel", self.kernel, "-initrd", f"{self.work}/initrd{guest}"]
        uart = ["-chardev", f"socket,id=uart2,path={self.work}/uart2,server=on,wait=off"] if guest == 1 else []
        environment = {"QEMU_AUDIO_DRV": "none"}
        words = "quiet rdinit=/init" + words
        if self.name.startswith("virt"):
            if self.name == "virt-ivshmem":
                words += " vfio"
            if self.has_uio:
                words += " uio"
            line = self.virt() + common + ["-append", f"console=ttyAMA0 numa=off {words}"]
            if guest == 1:
                line += uart + ["-device", "pci-serial,addr=5,chardev=uart2"]
        elif self.name == "q35":
            line = ["qemu-system-x86_64", "-M", "q35", "-cpu", "qemu64", "-nodefaults",
                    "-object", f"memory-backend-file,id=shared,size=16M,share=on,mem-path={self.shared}",
                    "-device", "ivshmem-plain,memdev=shared,addr=6"] + common + ["-append", f"console=ttyS0 {words}"]
            return line + (uart + ["-serial", "chardev:uart2"] if guest == 1 else []), environment
        else:
            line = ["qemu-system-arm", "-M", "vexpress-a9"] + common + ["-append", f"console=ttyAMA0 {words}"]
            if guest == 1:
                line += ["-serial", "null"] + uart + ["-serial", "chardev:uart2"]
            environment.update(LD_PRELOAD=f"{self.work}/splice.so", RAM_SIZE=str(256 * MIB), SHARED_OFFSET=str(240 * MIB),
                               SHARED_SIZE=str(16 * MIB), SHARED_FILE=self.shared)
        return line + ["-dtb", f"{self.work}/guest{guest}.dtb"], environment

    def virt(self, options=""):
        """The shared file is the memory of a second NUMA node, and so at the end of the guest's memory; or a PCI device, which
        takes interrupts with an IOMMU."""
        if self.name == "virt-ivshmem":
            return ["qemu-system-aarch64", "-M", "virt,gic-version=3,highmem=off,iommu=smmuv3" + options, "-cpu", "cortex-a57",
                    "-nodefaults", "-chardev", f"socket,id=ivshmem,path={self.work}/ivshmem",
                    "-device", "ivshmem-doorbell,vectors=1,chardev=ivshmem,addr=6"]
        return ["qemu-system-aarch64", "-M", "virt,gic-version=2,highmem=off" + options, "-cpu", "cortex-a57", "-nodefaults",
                "-object", "memory-backend-ram,id=m0,size=240M", "-numa", "node,memdev=m0",
                "-object", f"memory-backend-file,id=m1,size=16M,share=on,mem-path={self.shared}", "-numa", "node,memdev=m1"]

    def make_trees(self):
        base = f"{self.work}/base.dtb"
        source = ""
        if self.name == "virt-ivshmem":
            run("qemu-system-aarch64", "-M", f"virt,gic-version=3,highmem=off,iommu=smmuv3,dumpdtb={base}", "-cpu", "cortex-a57",
                "-nodefaults", "-m", "256M", "-smp", "1,maxcpus=2", "-display", "none")
        elif self.name == "virt":
            run(*self.virt(f",dumpdtb={base}"), "-m", "256M", "-smp", "1,maxcpus=2", "-display", "none")
        elif self.name == "vexpress-a9":
            found = [os.path.join(folder, "vexpress-v2p-ca9.dtb") for folder, _, files in os.walk(self.kernel_root)
                     if "vexpress-v2p-ca9.dtb" in files]
            shutil.copy(found[0], base)
        if self.has_tree:
            source = run("dtc", "-q", "-I", "dtb", "-O", "dts", base)
        owner = [f"{self.name}/both.dtsi", f"{self.name}/guest1.dtsi", "owner.dtsi"]
        borrower = [f"{self.name}/both.dtsi", f"{self.name}/guest2.dtsi", "borrower.dtsi"]
        for target, parts, more in [
                ("guest1", owner, ""), ("guest2", borrower, ""),
                ("reserved", owner, '&uart2 { status = "reserved"; };'),
                ("missing", owner, "/ { guestbroker { exports { uart2 { device = <0x7777>; }; }; }; };"),
                ("bell1", owner, BELL.format("guest2")), ("bell2", borrower, BELL.format("guest1"))]:
            text = source + "".join(open(f"{HERE}/{part}").read() for part in parts) + more
            run("dtc", "-q", "-@", "-I", "dts", "-O", "dtb", "-o", f"{self.work}/{target}.dtb", "-", input=text)

    def make_initrds(self):
        for guest in (1, 2):
            root = f"{self.work}/root{guest}"
            for folder in ["bin", "dev", "proc", "sys", "tmp", "trees"]:
                os.makedirs(f"{root}/{folder}")
            shutil.copy(f"{TOP}/.build-guests/{self.arch}/busybox/bin/busybox", f"{root}/bin/busybox")
            shutil.copy(f"{HERE}/init", f"{root}/init")
            for program in ["guestagent", "brokerd", "dt-partition", "guestprobe"]:
                shutil.copy(f"{TOP}/.build-guest/{self.arch}/bin/{program}", f"{root}/bin/{program}")
            os.makedirs(f"{root}/modules")
            wanted = r"vfio.*\.ko" if self.name == "virt-ivshmem" else r"uio\.ko" if self.has_uio else r"$"
            for folder, _, files in os.walk(self.kernel_root):
                for name in files:
                    if re.fullmatch(wanted, name):
                        shutil.copy(f"{folder}/{name}", f"{root}/modules/")
            if self.has_uio:
                shutil.copy(self.uio, f"{root}/modules/")
            for tree in ["reserved", "missing", "bell1", "bell2"]:
                shutil.copy(f"{self.work}/{tree}.dtb", f"{root}/trees/")
            shutil.copy(f"{self.work}/guest{guest}.dtb", f"{root}/trees/guest.dtb")
            shutil.copy(f"{self.work}/guest{3 - guest}.dtb", f"{root}/trees/other.dtb")
            with open(f"{root}/trees/hello", "w") as file:
                file.write(HELLO[guest].format(options=self.options))
            if guest == 1:
                open(f"{root}/trees/owner", "w").close()
            with open(f"{self.work}/initrd{guest}", "wb") as file:
                subprocess.run("find . | cpio --quiet -o -H newc -R 0:0", shell=True, cwd=root, stdout=file, check=True)


class IvshmemServer:
    """What connects the doorbells of ivshmem devices (QEMU, docs/specs/ivshmem-spec.txt): each gets an id, the memory, and an eventfd
    for each peer, itself last. One vector each."""

    def __init__(self, path, shared):
        self.memory = os.open(shared, os.O_RDWR)
        self.peers = {}
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        for number in itertools.count():
            peer, _ = self.socket.accept()
            bell = os.eventfd(0, os.EFD_NONBLOCK)
            self.tell(peer, 0)
            self.tell(peer, number)
            self.tell(peer, -1, self.memory)
            for other, (connection, its_bell) in list(self.peers.items()):
                self.tell(connection, number, bell)
                self.tell(peer, other, its_bell)
            self.tell(peer, number, bell)
            self.peers[number] = (peer, bell)
            threading.Thread(target=self.watch, args=(number,), daemon=True).start()

    def watch(self, number):
        peer, bell = self.peers[number]
        try:
            peer.recv(1)  # says nothing: it has gone
        except OSError:
            pass
        del self.peers[number]
        os.close(bell)
        peer.close()
        for connection, _ in list(self.peers.values()):
            self.tell(connection, number)

    def tell(self, peer, number, descriptor=None):
        rights = [] if descriptor is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        try:
            peer.sendmsg([number.to_bytes(8, "little", signed=True)], rights)
        except OSError:
            pass  # its watch sees that


class Guest:
    """A QEMU process, and the shell on its console."""

    def __init__(self, board, number):
        self.board, self.number, self.calls = board, number, 0
        self.process = None
        self.lines = queue.Queue()
        self.log = open(f"{board.work}/guest{number}.log", "ab")
        atexit.register(self.kill)

    def boot(self):
        line, environment = self.board.command(self.number)
        self.lines = queue.Queue()
        self.process = subprocess.Popen(line, env=os.environ | environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, start_new_session=True)
        # In a thread: a console, or a wire, that nobody reads stops the machine.
        threading.Thread(target=self.read, args=(self.process.stdout, self.lines), daemon=True).start()
        return self

    def kill(self):
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def read(self, console, lines):
        for line in console:
            self.log.write(line)
            self.log.flush()
            lines.put(line.decode(errors="replace").rstrip("\r\n"))
        lines.put(None)

    def line(self, limit):
        """The next line of the console; None when none came within `limit` seconds."""
        try:
            text = self.lines.get(timeout=limit)
        except queue.Empty:
            return None
        if text is None or "Kernel panic" in text:
            raise Failed(f"guest{self.number}: {text or 'QEMU ended'}; see {self.log.name}")
        return text

    def until(self, wanted, limit):
        """The lines up to the first that `wanted` matches, and the match."""
        seen, end = [], time.monotonic() + limit
        while True:
            text = self.line(max(0.01, end - time.monotonic()))
            if text is None:
                raise Failed(f"guest{self.number}: {wanted!r} did not come within {limit} s; last: {seen[-3:]}")
            found = re.search(wanted, text)
            if found:
                return seen, found
            seen.append(text)

    def up(self):
        _, found = self.until(r"@@up (.*)", BOOT_LIMIT)
        say(f"guest{self.number} is up: {found[1]}")
        return self

    def send(self, text):
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def run(self, command, limit=30):
        """Runs a command. Returns its exit code, and what it printed."""
        self.calls += 1
        self.send(f"{{ {command}; }} </dev/null 2>&1; code=$?; echo; echo @@{self.calls}:$code")
        lines, found = self.until(rf"@@{self.calls}:(\d+)", limit)
        return int(found[1]), "\n".join(text for text in lines if text)

    def expect(self, command, code, wanted, limit=30):
        got, text = self.run(command, limit)
        check(got == code and re.search(wanted, text), f"guest{self.number}# {command}\n{text}\nexit code {got}",
              f"exit code {code} and {wanted!r}")
        return text

    def serve(self):
        """Starts brokerd."""
        self.send(f"brokerd --owner guest1{self.board.options}{self.board.binding} >/tmp/brokerd 2>&1 &")
        self.expect("for i in $(seq 100); do grep serves /tmp/brokerd && break; sleep 0.1; done; cat /tmp/brokerd", 0, "serves uart2 on")
        return self


class Wire:
    """The host's side of uart2."""

    def __init__(self, board):
        self.path, self.data = f"{board.work}/uart2", b""
        self.socket = self.reader = None

    def connect(self):
        """To the guest that has just been booted. What the one before had sent is all there then."""
        self.finish()
        end = time.monotonic() + 20
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            try:
                self.socket.connect(self.path)
                break
            except OSError:
                self.socket.close()
                if time.monotonic() > end:
                    raise Failed("QEMU does not offer uart2")
                time.sleep(0.05)
        self.reader = threading.Thread(target=self.read, args=(self.socket,), daemon=True)
        self.reader.start()

    def read(self, source):
        while True:
            try:
                data = source.recv(65536)
            except OSError:
                data = b""
            if not data:
                return source.close()
            self.data += data

    def finish(self):
        """After the guest's death: waits for the last of what it sent."""
        if self.reader:
            self.reader.join(10)

    def take(self, wanted, limit=10):
        end = time.monotonic() + limit
        while self.data != wanted and time.monotonic() < end:
            time.sleep(0.05)
        got, self.data = self.data, b""
        check(got == wanted, f"the wire of uart2 had {got!r}", repr(wanted))


def first(folder, prefix):
    return next(f"{folder}/{name}" for name in sorted(os.listdir(folder)) if name.startswith(prefix))


def run(*command, input=None):
    done = subprocess.run(command, input=input, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{' '.join(command[:3])} … failed: {done.stderr.strip()}")
    return done.stdout


def say(text):
    print(f"{time.monotonic() - START:6.1f} s  {text}", flush=True)


def check(truth, seen, wanted):
    if not truth:
        raise Failed(f"{seen}\nwanted: {wanted}")


def passed(text):
    say(f"PASS  {text}")


UARTS = ("for t in /sys/class/tty/*; do [ -e $t/device/of_node ] && "
         "echo $(readlink -f $t/device/of_node) ${t##*/}; done | sed s,/sys/firmware/devicetree/base,,")


def look(board, one, two):
    """What the guests' kernels make of their trees."""
    for guest in (one, two):
        _, tree = guest.run("cd /proc/device-tree/guestbroker; for f in guest-name links/*/role exports/*/clients imports/*/class; "
                            "do [ -f $f ] && echo \"$f = $(tr '\\0' ' ' <$f)\"; done; cd /")
        say(f"guest{guest.number}'s tree: {', '.join(tree.splitlines())}")
        _, uarts = guest.run(UARTS)
        say(f"guest{guest.number}'s UARTS: {', '.join(' is '.join(reversed(line.split())) for line in uarts.splitlines())}")
        check((board.uart in uarts) == (guest is one), uarts, f"{board.uart} in guest1 alone")
    one.expect(f"ls -d /sys/bus/amba/devices/{board.reserved}", 0, board.reserved)
    two.expect(f"ls -d /sys/bus/amba/devices/{board.reserved}", 1, "No such file")
    passed("guest2's kernel has no uart2, and binds no driver to what is reserved in its tree")
    for guest in (one, two):
        code, found = guest.run("dt-partition check --live")
        check(code in (0, 1), found, "warnings at most")
        say(f"guest{guest.number}'s tree against its kernel's devices: {len(re.findall('live-', found))} without a device or driver")
    two.expect("dt-partition check --live /trees/other.dtb", 1, f"exports/uart2: .*no device for {board.uart}")
    one.expect("dt-partition check --live /trees/other.dtb", 2, "live-foreign-device")
    passed("with the other guest's tree, dt-partition finds in each what the kernel lacks, or has though it is reserved")


def latency(board, one, two):
    one.send(f"guestprobe line {board.spare} second 20000 &")
    raw = two.expect(f"guestprobe line {board.spare} first 20000", 0, r"mean \d+ p50 \d+ ns", 120)
    broker = two.expect(f"guestagent ping --count 20000 --interval 0 --json{board.options}", 0, "mean_ns", 120)
    numbers = [int(re.search(r"mean (\d+)", raw)[1]), int(re.search(r'"mean_ns":(\d+)', broker)[1]),
               int(re.search(r"p50 (\d+)", raw)[1]), int(re.search(r'"p50_ns":(\d+)', broker)[1])]
    say("round trip between the guests: mean {1} ns, {2:.2f} times the raw line's {0}; p50 {4} ns, {5:.2f} times {3}".format(
        *numbers[:2], numbers[1] / max(1, numbers[0]), *numbers[2:], numbers[3] / max(1, numbers[2])))


def interrupts(one):
    """Both ends of the link in guest1, by the interrupt of the region's UIO device."""
    one.expect("ls /sys/class/uio/uio0/maps", 0, "map1")
    one.send("brokerd --owner guest1 --device-tree /trees/bell1.dtb >/tmp/bell 2>&1 &")
    one.expect("for i in $(seq 100); do grep serves /tmp/bell && break; sleep 0.1; done; cat /tmp/bell", 0, "serves uart2 on")
    check("polling" not in one.run("cat /tmp/bell")[1], "brokerd polls", "interrupts")
    count = "sed -n 's/^ *[0-9]*: *\\([0-9]*\\).*Edge *guestbroker$/\\1/p' /proc/interrupts"
    before = int(one.expect(count, 0, r"^\d+$"))
    answer = one.expect("guestagent ping --count 50 --interval 20ms --json --device-tree /trees/bell2.dtb", 0, "p50_ns", 60)
    made = int(one.expect(count, 0, r"^\d+$")) - before
    check(made >= 50, f"{made} interrupts", "at least one for each of 50 requests")
    one.expect("kill $(pidof brokerd); while pidof brokerd; do sleep 0.1; done", 0, "")
    passed(f"the interrupt of a UIO device came {made} times for 50 pings to an owner that slept: "
           f"p50 {int(re.search(r'p50_ns.:([0-9]+)', answer)[1]) / 1000:.0f} µs")


def tour(board, one, two, wire):
    """Each step on two guests that are up."""
    def agent(words):
        return f"guestagent {words}{board.options}"

    if board.has_tree:
        look(board, one, two)
    one.expect("brokerd --owner guest1 --device-tree /trees/reserved.dtb", 78, "is not okay in this tree")
    one.expect("brokerd --owner guest1 --device-tree /trees/missing.dtb", 78, "exports/uart2: property device refers to nothing")
    two.expect(agent("uart write uart2 hello"), 69, "is brokerd running there")
    passed("an export of a reserved or missing device, and an owner that doesn't run, are named")

    if board.has_uio:
        interrupts(one)
    one.serve()
    if board.has_uio:
        one.expect("cat /proc/$(pidof brokerd)/maps", 0, "/dev/uio0")
        passed("brokerd has the region from UIO")
    two.expect(agent("list"), 0, r"uart2 +uart +guest1 +rw +g1g2 +up")
    two.expect(agent("uart write uart9 x"), 68, "guest1 exports no such peripheral")
    text = two.expect(agent("uart write uart2 hello"), 0, "uart2: 5 bytes sent by guest1")
    wire.take(b"hello")
    passed(f"guest2 wrote to guest1's uart2: {text}")
    wire.socket.sendall(b"and back")
    two.expect(agent("uart read uart2 -n 8 --timeout 5s"), 0, "and back")
    passed("what the host typed on uart2 came out in guest2")

    if board.spare:
        latency(board, one, two)
    else:
        check("polling" not in one.run("cat /tmp/brokerd")[1], "brokerd polls", "interrupts")
        asleep = two.expect(agent("ping --count 50 --interval 20ms --json"), 0, "p50_ns", 60)
        say(f"round trip with both asleep, by interrupts: p50 {int(re.search(r'p50_ns.:([0-9]+)', asleep)[1]) / 1000:.0f} µs")
        passed("interrupts wake both sides")
    one.send("read a b c d e f g h i j k l m u s rest </proc/$(pidof brokerd)/stat; sleep 10; "
             "read a b c d e f g h i j k l m v t rest </proc/$(pidof brokerd)/stat; echo @@idle $((v + t - u - s))")
    _, found = one.until(r"@@idle (\d+)", 60)
    say(f"brokerd at idle: {int(found[1]) / 10:.1f} % of guest1's processor ({'poll of 200 µs' if board.spare else 'interrupts'})")

    pid = one.run("pidof brokerd")[1]
    two.kill()
    say("guest2 is dead")
    two.boot().up()
    two.expect(agent("uart write uart2 again"), 0, "5 bytes sent")
    wire.take(b"again")
    check(one.run("pidof brokerd")[1] == pid, "brokerd has another process id", "the same brokerd")
    passed("guest2 was killed and booted again: its first write arrived, guest1 served on")

    one.kill()
    say("guest1 is dead")
    two.expect(agent("uart write uart2 lost"), 69, r"guest1.*no heartbeat.*is brokerd running there")
    one.boot()
    wire.connect()
    one.up().serve()
    two.expect(agent("uart write uart2 hello --wait 5s"), 0, "5 bytes sent")
    wire.take(b"hello")
    passed("guest1 was killed: guest2 was told. It was booted again: guest2's next write arrived")


class Ledger:
    """What guest2 said of each operation of a soak."""

    def __init__(self):
        self.outcome = {}  # of each number: "done", "no" or "maybe"
        self.reported = self.next = 0

    def note(self, text):
        found = re.fullmatch(r"(done|no|maybe) (\d+)", text.strip())
        if not found:
            return
        number = int(found[2])
        if found[1] == "done":  # and all before it, but those that were said to be something else
            for done in range(self.next, number + 1):
                self.outcome.setdefault(done, "done")
            self.reported += number + 1 - self.next
            self.next = number + 1
        else:
            self.outcome[number] = found[1]

    def died(self):
        """What had not been reported yet may have been done. A number is used once."""
        for unknown in range(self.next, self.next + UNREPORTED):
            self.outcome.setdefault(unknown, "maybe")
        self.next += UNREPORTED

    def compare(self, wire):
        """With all that came out of uart2."""
        arrived = [int(text) for text in re.findall(rb"<(\d+)>", wire)]
        rest = re.sub(rb"<\d+>", b" ", wire)
        times = collections.Counter(arrived)
        writes = [number for number in self.outcome if number % 16 not in (5, 10)]  # as Probe.swift has it
        for wrong, what in [
                ([n for n in writes if self.outcome[n] == "done" and n not in times], "lost though reported as done"),
                ([n for n in arrived if self.outcome.get(n) == "no"], "executed though reported as not"),
                ([n for n, count in times.items() if count > 1], "executed twice")]:
            check(not wrong, f"{what}: {wrong[:10]}", "none")
        check(arrived == sorted(arrived), "records came out of order", "in the order of their numbers")
        check(re.fullmatch(rb"[ ]*(<\d*[ ]+)*(<\d*)?", rest), f"other bytes arrived: {rest.replace(b' ', b'')[:80]!r}", "records alone")
        kinds = collections.Counter(self.outcome.values())
        return (f"{kinds['done']} done, {kinds['no']} not executed, {sum(self.outcome.get(n) == 'maybe' for n in arrived)} arrived whose "
                "fate was unknown or not reported any more; none lost silently, none executed twice")


def soak(one, two, wire, operations, seed):
    """Numbered operations while either guest dies now and then; then every byte on the wire is accounted for."""
    chance, ledger, deaths = random.Random(seed), Ledger(), [0, 0]
    say(f"seed {seed}")
    one.serve()
    while ledger.reported < operations:
        two.send(f"guestprobe soak {ledger.next} {operations - ledger.reported} {two.board.tree}; echo @@ended $?")
        death = time.monotonic() + chance.uniform(2, 8)
        while ledger.reported < operations:
            text = two.line(0.2) or ""
            check(not text.startswith("@@ended"), text, "guestprobe going on")
            ledger.note(text)
            if time.monotonic() < death:
                continue
            if chance.random() < 0.5:
                deaths[0] += 1
                one.kill()
                time.sleep(chance.uniform(0, 1))
                one.boot()
                wire.connect()
                one.up().serve()
                death = time.monotonic() + chance.uniform(2, 8)
            else:
                deaths[1] += 1
                two.kill()
                for text in iter(two.lines.get, None):
                    ledger.note(text)
                ledger.died()
                two.boot().up()
                break
        say(f"{ledger.reported} operations; {deaths[0]} deaths of guest1, {deaths[1]} of guest2")
    one.kill()
    wire.finish()
    passed(f"{ledger.reported} operations, {deaths[0]} deaths of guest1 and {deaths[1]} of guest2: {ledger.compare(wire.data)}")


def make(name):
    work = f"{TOP}/.build-guests/{name}"
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    return Board(name, work)


def prepare(name):
    """Leaves scripts behind that start the guests for a person, and what they need."""
    board = make(name)
    for guest in (1, 2):
        line, environment = board.command(guest, " demo")
        words = ["exec", "env"] + [f"{key}={value}" for key, value in environment.items()] + line
        with open(f"{board.work}/guest{guest}", "w") as script:
            script.write("#!/bin/sh\n" + " ".join(shlex.quote(word) for word in words) + "\n")
        os.chmod(script.name, 0o755)
    with open(f"{board.work}/shared", "w") as file:
        file.write(board.shared)


def test(name, options):
    print(f"== {name}", flush=True)
    board = make(name)
    one, two, wire = Guest(board, 1), Guest(board, 2), Wire(board)
    try:
        one.boot()
        two.boot()
        wire.connect()
        one.up()
        two.up()
        if "soak" in options:
            soak(one, two, wire, options["soak"], options.get("seed", random.randrange(1 << 32)))
        else:
            tour(board, one, two, wire)
        return True
    except Failed as error:
        say(f"FAIL  {error}")
        for guest in (one, two):
            guest.log.flush()
            with open(guest.log.name, errors="replace") as log:
                print(f"-- the end of guest{guest.number}'s console\n" + "".join(log.readlines()[-25:]), flush=True)
        return False
    finally:
        one.kill()
        two.kill()
        os.remove(board.shared)


def main():
    words, boards, options = sys.argv[1:], [], {}
    while words:
        word = words.pop(0)
        if word in ("--soak", "--seed") and words and words[0].isdigit():
            options[word[2:]] = int(words.pop(0))
        elif word == "--prepare":
            options["prepare"] = True
        elif word in ("virt", "virt-ivshmem", "vexpress-a9", "q35"):
            boards.append(word)
        else:
            sys.exit(f"Tests/Guests/check: {word} is unknown or lacks its number; see --help")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if "prepare" in options:
        for board in boards:
            prepare(board)
        return
    results = [test(board, options) for board in boards]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
