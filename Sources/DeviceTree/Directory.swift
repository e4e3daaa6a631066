import Linux

extension Records {
  /// The most entries that a directory's tree may have: more than any board, fewer than a loop of links.
  static var maximumEntries: Int { 1 << 16 }

  init(directory: String) throws(DeviceTreeError) {
    let root = add([])
    _ = addNode(name: root, parent: -1, after: -1)
    /// Nodes still to be read: their path and depth.
    var pending: [(path: String, node: Int32, depth: Int)] = [(directory, 0, 1)]
    var entries = 0
    while let (path, node, depth) = pending.popLast() {
      guard depth <= DeviceTree.maximumDepth else { throw .tooDeep(offset: nil, path: self.path(of: node)) }
      var names: [[UInt8]]
      do throws(Errno) {
        names = try listDirectory(path, limit: Self.maximumEntries).map { Array($0.utf8) }
      } catch {
        throw error == .fileTooBig ? .tooLarge : .unreadable(error)
      }
      names.sort { $0.lexicographicallyPrecedes($1) }
      entries += names.count
      guard entries <= Self.maximumEntries else { throw .tooLarge }
      nodes[Int(node)].firstProperty = Int32(properties.count)
      var children: [[UInt8]] = []
      for name in names {
        guard name.count <= Self.maximumName, name.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
          throw .badString(offset: nil, path: self.path(of: node))
        }
        let file = "\(path)/\(String(decoding: name, as: UTF8.self))"
        switch fileKind(file) {
        case .directory: children.append(name)
        case .regular:
          let value: [UInt8]
          do throws(Errno) {
            value = try readFile(file, limit: DeviceTree.maximumSize - bytes.count, waits: false)
          } catch {
            // A property that only root may read (security-sensitive ones) is not there for others.
            if error.isPermission { continue }
            throw error == .fileTooBig ? .tooLarge : .unreadable(error)
          }
          let nameExtent = add(name)
          properties.append(PropertyRecord(name: nameExtent, value: add(value)))
          nodes[Int(node)].propertyCount += 1
        case .none, .other: continue
        }
        guard bytes.count <= DeviceTree.maximumSize else { throw .tooLarge }
      }
      var last: Int32 = -1
      for name in children {
        last = addNode(name: add(name), parent: node, after: last)
        pending.append(("\(path)/\(String(decoding: name, as: UTF8.self))", last, depth + 1))
      }
    }
  }

  private mutating func add(_ new: [UInt8]) -> Extent {
    let extent = Extent(start: Int32(bytes.count), count: Int32(new.count))
    bytes += new
    return extent
  }
}
