import BrokerProtocol
import CLinux
import Linux
import Text
import Partition
import RingBuffer
import SharedMemory

/// What an owner needs to know besides its device tree.
public struct ServiceConfiguration: Sendable {
  public var partition: Partition
  /// The partition is the built-in example: links are files in /dev/shm, their doorbells futexes, peripherals simulated.
  public var isExample: Bool
  /// `--memory LINK=PATH`
  public var memory: [Assignment] = []
  /// `--bind EXPORT=DEVICE`: a path, "pty" (simulated, with a far end to watch) or "null" (simulated, always ready).
  public var bindings: [Assignment] = []
  /// Simulate every export that has no binding.
  public var simulate = false
  /// How long to spin before sleeping, after there was something to do. Not used where it can't help.
  public var spinNanoseconds: UInt64 = 50_000
  /// Where sysfs is mounted.
  public var sysfs = "/sys"

  public init(partition: Partition, isExample: Bool) {
    self.partition = partition
    self.isExample = isExample
  }

  /// Checks that the options name what exists.
  func check() throws(ServiceError) {
    for assignment in memory where !partition.links.contains(where: { sameText($0.name, assignment.name) }) {
      throw .unknownName(option: "--memory", assignment.name, known: partition.links.map { $0.name })
    }
    let served = partition.exports.filter { $0.peripheralClass.isServed }.map { $0.name }
    for assignment in bindings where !served.contains(where: { sameText($0, assignment.name) }) {
      throw .unknownName(option: "--bind", assignment.name, known: served)
    }
  }

  /// Maps a link's region and takes the owner's part of it.
  func open(_ link: Link) throws(ServiceError) -> OpenLink {
    let opened: OpenLink
    do throws(MappingError) {
      opened = try OpenLink(link, override: memory.path(for: link.name), isExample: isExample)
    } catch {
      throw .memory(link: link.name, error)
    }
    let isOurs: Bool
    do throws(Errno) {
      isOurs = try opened.mapping.lock(.owner)
    } catch {
      throw .cannotLock(link: link.name, error)
    }
    guard isOurs else { throw .linkBusy(link: link.name, opened.source) }
    return opened
  }

  /// The device behind an export, and what its class makes of it. Here a class gets its place.
  func open(_ export: Export) throws(ServiceError) -> any Peripheral {
    UART(name: export.name, maximumBaud: export.maximumBaud, driver: try openUART(export))
  }

  /// The device behind an export of class uart.
  private func openUART(_ export: Export) throws(ServiceError) -> UARTDriver {
    let binding = bindings.path(for: export.name)
    if let binding, sameText(binding, "null") { return .null(NullUART()) }
    if binding.map({ sameText($0, "pty") }) ?? (simulate || isExample) {
      do throws(Errno) {
        return .port(try SerialPort(simulated: ()))
      } catch {
        throw .noTerminal(export: export.name, error)
      }
    }
    guard let path = binding ?? findDevice(ofNode: export.devicePath, class: "tty", sysfs: sysfs).map({ "/dev/\($0)" }) else {
      throw .noDevice(export: export.name, node: export.devicePath)
    }
    do throws(Errno) {
      return .port(try SerialPort(path: path))
    } catch {
      throw .device(export: export.name, path: path, error)
    }
  }
}

/// Why an owner can't serve. `text` is a sentence without its full stop.
public enum ServiceError: Error, Sendable {
  case ownsNoLink(guest: String)
  case unknownName(option: String, String, known: [String])
  case memory(link: String, MappingError)
  case linkBusy(link: String, MemorySource)
  /// The last link's region went away while it was served: the whole sentence.
  case regionLost(String)
  case noDevice(export: String, node: String)
  case device(export: String, path: String, Errno)
  /// No pseudo-terminal for a simulated line.
  case noTerminal(export: String, Errno)
  case cannotLock(link: String, Errno)
  /// What the service sleeps and wakes by.
  case system(Errno)

  public var text: String {
    switch self {
    case .ownsNoLink(let guest):
      "the device tree of \(guest) has no link with role \"owner\", so there is nobody to serve"
    case .unknownName(let option, let name, let known):
      "\(option) names \(name), which this device tree doesn't have; it has \(listed(known))"
    case .memory(let link, let error): "link \(link): \(error.text)"
    case .linkBusy(let link, let source):
      "link \(link) (\(source.text)) is served by another brokerd already; stop that one first"
    case .regionLost(let sentence): sentence
    case .noDevice(let export, let node):
      "\(export): no terminal of this kernel belongs to \(node); is its driver bound? Or name one: --bind \(export)=/dev/tty..., or --simulate"
    case .device(let export, let path, let errno) where errno.code == ENOENT:
      "\(export): there is no \(path); name the right one with --bind \(export)=/dev/tty..., or --simulate"
    case .device(let export, let path, let errno) where errno.code == EBUSY:
      "\(export): \(path) is in use by another program (a getty, a terminal program?); end that one first"
    case .device(let export, let path, let errno) where errno.code == EACCES:
      "\(export): no permission for \(path); run as root or join the group that owns it (dialout)"
    case .device(let export, let path, let errno) where errno.code == ENOTTY:
      "\(export): \(path) is not a terminal; name one with --bind \(export)=/dev/tty..."
    case .device(let export, let path, let errno): "\(export): cannot open \(path): \(errno.text)"
    case .noTerminal(let export, let errno) where errno.code == EMFILE || errno.code == ENFILE:
      "\(export): no pseudo-terminal can be made for the simulated line: \(errno.text); allow more (ulimit -n)"
    case .noTerminal(let export, let errno):
      "\(export): no pseudo-terminal can be made for the simulated line: \(errno.text); mount devpts on /dev/pts (with /dev/ptmx), or name a device: --bind \(export)=/dev/tty..., or \(export)=null, which takes everything"
    case .cannotLock(let link, let errno): "link \(link): cannot lock its region: \(errno.text)"
    case .system(let errno): "cannot make or use what wakes the service (epoll, eventfd, a thread): \(errno.text)"
    }
  }
}
