import CLinux
import Foundation
import Linux
import SharedMemory
import TestSupport
import Testing

@testable import OwnerService

@Suite("The name of a simulated line")
struct LineNameTests {
  @Test("It is beside the first region that is a file; the example's has the user's number in it")
  func path() throws {
    let region = temporaryMemory()
    _ = FileManager.default.createFile(atPath: region, contents: nil)
    defer { unlink(region) }
    let example = MemorySource.ownFile("/dev/shm/guestbroker-\(geteuid())-g1g2")
    #expect(LineName.path("uart2", besideOneOf: [example]) == "/dev/shm/guestbroker-\(geteuid())-uart2")
    #expect(LineName.path("uart2", besideOneOf: [.physical(0), .file("/dev/zero"), .file(region)]) == "\(region)-uart2")
    #expect(LineName.path("uart2", besideOneOf: [.physical(0)]) == nil)
  }

  @Test("It goes with its object, unless somebody else has taken it meanwhile")
  func end() throws {
    let path = temporaryPath()
    defer { unlink(path) }
    do { _ = try LineName(path, of: "/dev/pts/7") }
    #expect(linkTarget(path) == nil)
    do {
      let first = try LineName(path, of: "/dev/pts/7")
      let second = try LineName(path, of: "/dev/pts/8")
      withExtendedLifetime(second) { #expect(linkTarget(first.path) == "/dev/pts/8") }
    }
    #expect(linkTarget(path) == nil)
    let second = try LineName(path, of: "/dev/pts/8")
    do { _ = try LineName("\(path)-2", of: "/dev/pts/7") }
    #expect(linkTarget(second.path) == "/dev/pts/8")
  }
}
