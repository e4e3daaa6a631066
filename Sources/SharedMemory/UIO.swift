import DeviceTree
import Linux

/// The UIO device that is bound to a region's node (`generic-uio`, by the kernel's uio_pdrv_genirq): whoever may open it may map
/// it, where /dev/mem wants root.
///
/// - Returns: Nil when there is none.
/// - Throws: When there is one, but its first memory is not `range`.
func findUIO(ofNode node: String, _ range: AddressRange, sysfs: String) throws(MappingError) -> MemorySource? {
  guard let name = findDevice(ofNode: node, class: "uio", sysfs: sysfs) else { return nil }
  let map = "\(sysfs)/class/uio/\(name)/maps/map0"
  guard let address = readAttribute("\(map)/addr").flatMap({ parseHexadecimal($0) }),
    let size = readAttribute("\(map)/size").flatMap({ parseHexadecimal($0) }), address == range.address, size >= range.size
  else { throw .otherUIO("/dev/\(name)") }
  return .uio("/dev/\(name)")
}
