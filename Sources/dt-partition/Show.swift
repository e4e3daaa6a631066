import DeviceTree
import Linux
import Program
import Text
import TreeTools

/// `dt-partition show`: who owns, lends and reaches what.
func show(_ arguments: inout Arguments) throws(Failure) -> Int32 {
  let json = arguments.flag("--json")
  let force = arguments.flag("--force", "-f")
  let picture = arguments.value("--svg")
  let operands = arguments.operands()
  if operands.isEmpty { arguments.fail("a device tree is missing: name one for each guest, or a system's with /domains") }
  if operands.count > SystemTree.maximumDomains { arguments.fail("more than \(SystemTree.maximumDomains) trees") }

  var trees: [(file: String, tree: DeviceTree)] = []
  for path in operands {
    let tree = try TreeArgument(path).tree
    guard SystemTree.isOne(tree) else {
      trees.append((path, tree))
      continue
    }
    do throws(SystemTreeError) {
      for guest in try SystemTree(tree).guestTrees() { trees.append(("\(path) (\(guest.guestName))", try guest.tree())) }
    } catch {
      throw Failure("\(path): \(error.text)", .config)
    }
  }
  let overview = Overview(trees)
  for guest in overview.guests {
    for note in guest.notes { printError("dt-partition: \(printable(guest.file)): \(printable(note))") }
  }

  if let picture {
    if picture == "-" {
      emit(overview.svg())
      return 0
    }
    let kind = fileKind(picture)
    guard kind == .none || kind == .regular && force else {
      throw Failure("\(picture) is there; \(kind == .regular ? "--force replaces it" : "it is no file")", .cantCreate)
    }
    do throws(Errno) {
      try writeFile(picture, Array(overview.svg().utf8))
    } catch {
      throw Failure("\(picture) can't be written: \(error.text)", error.isPermission ? .noPermission : .cantCreate)
    }
  }
  if json { showObjects(overview) } else { showTables(overview) }
  return 0
}

private func showTables(_ overview: Overview) {
  var guests = [["GUEST", "MEMORY", "TREE"]]
  var peripherals = [["PERIPHERAL", "GUEST", "ADDRESS", "SIZE", "INTERRUPT", "NODE"]]
  for guest in overview.guests {
    let memory = guest.memory.map { "\(hexadecimal($0.address)) \(sizeText($0.size))" }
    guests.append([guest.name, memory.isEmpty ? "none" : listed(memory), guest.file])
    for one in guest.peripherals {
      let interrupts = one.interrupts.prefix(8).map { "\($0)" }
      peripherals.append([
        one.name, guest.name, hexadecimal(one.range.address), sizeText(one.range.size),
        interrupts.isEmpty ? "-" : interrupts.joined(separator: " "), one.path,
      ])
    }
  }
  var links = [["LINK", "OWNER", "BORROWER", "REGION", "DOORBELL", "CHANNELS"]]
  for link in overview.links {
    links.append([link.name, link.owner ?? "-", link.borrower ?? "-", link.region, link.doorbell, "\(link.channels)"])
  }
  var loans = [["LENT", "CLASS", "OWNER", "TO", "ACCESS", "LINK", "THERE CALLED"]]
  for loan in overview.loans {
    loans.append([
      loan.name, loan.type, loan.owner ?? "not exported", loan.borrower, loan.access.isEmpty ? "-" : loan.access,
      loan.link ?? "no link",
      loan.importedAs ?? "not imported",
    ])
  }
  var isFirst = true
  for table in [guests, peripherals, links, loans] where table.count > 1 {
    if !isFirst { emit("") }
    isFirst = false
    for line in tableLines(table.map { $0.map(printable) }) { emit(line) }
  }
}

private func showObjects(_ overview: Overview) {
  func object(_ kind: String, _ members: [(String, String?)]) -> JSONObject {
    var object = JSONObject()
    object.add("kind", kind)
    for (name, value) in members { if let value { object.add(name, printable(value)) } }
    return object
  }
  for guest in overview.guests {
    emit(object("guest", [("guest", guest.name), ("tree", guest.file)]).text)
    for range in guest.memory {
      var memory = object("memory", [("guest", guest.name)])
      memory.add("address", range.address)
      memory.add("size", range.size)
      emit(memory.text)
    }
    for one in guest.peripherals {
      var peripheral = object("peripheral", [("peripheral", one.name), ("guest", guest.name), ("node", one.path)])
      peripheral.add("address", one.range.address)
      peripheral.add("size", one.range.size)
      if let interrupt = one.interrupts.first { peripheral.add("interrupt", UInt64(interrupt)) }
      emit(peripheral.text)
    }
  }
  for link in overview.links {
    var line = object(
      "link",
      [
        ("link", link.name), ("owner", link.owner), ("borrower", link.borrower), ("region", link.region),
        ("doorbell", link.doorbell),
      ])
    line.add("channels", link.channels)
    emit(line.text)
  }
  for loan in overview.loans {
    emit(
      object(
        "loan",
        [
          ("peripheral", loan.name), ("class", loan.type), ("owner", loan.owner), ("borrower", loan.borrower),
          ("access", loan.access.isEmpty ? nil : loan.access), ("link", loan.link), ("imported_as", loan.importedAs),
          ("device", loan.device),
        ]
      ).text)
  }
}
