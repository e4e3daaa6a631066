import Linux
import Testing

@Suite("Files")
struct FileDescriptorTests {
  @Test("A file over its limit is refused, one without a size is read to its end")
  func files() throws {
    #expect(throws: Errno.fileTooBig) { try readFile("/proc/self/maps", limit: 10) }
    #expect(try readFile("/proc/self/cmdline", limit: 1 << 20).count > 0)
    #expect(throws: Errno(2)) { try readFile("/nonexistent", limit: 10) }
  }
}
