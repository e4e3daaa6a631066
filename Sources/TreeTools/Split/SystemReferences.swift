import DeviceTree

/// Which nodes each node of a system's tree refers to.
///
/// What `__local_fixups__` says is so; it is there when the tree came from a source in which references are labels. Of properties
/// that it doesn't mention, their names tell.
struct SystemReferences: Sendable {
  let phandles: PhandleTable
  /// Of each node.
  private(set) var ofNode: [[SystemReference]]
  /// Whether `__local_fixups__` has every reference: none is known that isn't there.
  private(set) var areComplete: Bool

  init(_ tree: DeviceTree) {
    let known = References(tree)
    phandles = known.phandles
    ofNode = [[SystemReference]](repeating: [], count: tree.nodeCount)
    let fixups = tree.root.child("__local_fixups__")
    areComplete = fixups != nil
    if let fixups {
      // Doubles are in the order of what they double, as dtc writes them: any others are passed by. So each is looked at once.
      var pending = [(tree.root, fixups)]
      while let (node, double) = pending.popLast() {
        ofNode[node.place] = labelled(node, double)
        let children = node.children
        var next = 0
        for child in double.children {
          let name = child.name
          while next < children.count, children[next].name != name { next += 1 }
          guard next < children.count else { break }
          if children[next].place != fixups.place { pending.append((children[next], child)) }
        }
      }
    }
    var isInDomains = [Bool](repeating: false, count: tree.nodeCount)
    if let domains = tree.root.child("domains") { isInDomains[domains.place] = true }
    for place in 0..<tree.nodeCount {
      let node = tree.node(place: place)
      if let parent = node.parent, isInDomains[parent.place] { isInDomains[place] = true }
      let names = Set(ofNode[place].map { $0.property })
      for reference in known.of(node) {
        guard let target = reference.target, !names.contains(reference.property) else { continue }
        areComplete = false
        ofNode[place].append(SystemReference(property: reference.property, cell: reference.cell, target: target.place))
      }
      // An export's device: a name that means no reference elsewhere.
      if isInDomains[place], !ofNode[place].contains(where: { $0.property == "device" }),
        let device = node.property("device")?.cell.flatMap({ phandles[$0] })
      {
        ofNode[place].append(SystemReference(property: "device", cell: 0, target: device.place))
      }
    }
  }

  /// What a node's double below `__local_fixups__` says: for each property the offsets of its labels.
  private func labelled(_ node: Node, _ double: Node) -> [SystemReference] {
    var found: [SystemReference] = []
    for name in double.propertyNames.prefix(SystemTree.maximumProperties) {
      guard let cells = node.property(name)?.cells else { continue }
      for offset in double.property(name)?.cells ?? [] where offset % 4 == 0 && offset / 4 < UInt32(clamping: cells.count) {
        let cell = Int(clamping: offset / 4)
        if let target = phandles[cells[cell]] {
          found.append(SystemReference(property: name, cell: cell, target: target.place))
        }
      }
    }
    return found
  }

  subscript(node: Node) -> [SystemReference] { ofNode[node.place] }

  /// Of a node and all below it.
  func within(_ node: Node) -> [SystemReference] { self[node] + node.children.flatMap { within($0) } }
}

struct SystemReference: Sendable {
  var property: String
  /// Which of the property's cells it is.
  var cell: Int
  /// The place of the node.
  var target: Int
}
