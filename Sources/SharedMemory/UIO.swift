import DeviceTree
import Linux
import Text

/// A UIO device that is bound to a region's node (`generic-uio`, by the kernel's uio_pdrv_genirq): whoever may open it may map
/// it, where /dev/mem wants root.
struct UIODevice {
  /// "/dev/uio0"
  let path: String
  /// Its memories in sysfs.
  let maps: String

  /// - Returns: Nil when there is none.
  /// - Throws: When there is one, but its first memory is not `range`.
  init?(ofNode node: String, _ range: AddressRange, sysfs: String, devices: String = "/dev") throws(MappingError) {
    guard let name = findDevice(ofNode: node, class: "uio", sysfs: sysfs) else { return nil }
    path = "\(devices)/\(name)"
    maps = "\(sysfs)/class/uio/\(name)/maps"
    guard let address = readAttribute("\(maps)/map0/addr").flatMap({ parseHexadecimal($0) }),
      let size = readAttribute("\(maps)/map0/size").flatMap({ parseHexadecimal($0) }), address == range.address,
      size >= range.size
    else { throw .otherUIO(path) }
  }
}
