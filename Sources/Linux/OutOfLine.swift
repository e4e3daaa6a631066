// What the standard library would put at each of some hundred places, out of line: a tenth of a program for a guest. Code is written as
// if these were the library's own; a file has to import Linux to get them.
import CLinux

extension DefaultStringInterpolation {
  @inline(never)
  public mutating func appendLiteral(_ literal: String) { write(literal) }

  @inline(never)
  public mutating func appendInterpolation(_ text: String) { write(text) }

  @inline(never)
  public mutating func appendInterpolation(_ number: Int) {
    if number < 0 { write("-") }
    appendInterpolation(UInt64(number.magnitude))
  }

  @inline(never)
  public mutating func appendInterpolation(_ number: UInt64) { write(digits(number, base: 10)) }

  @inline(__always)
  public mutating func appendInterpolation(_ number: UInt32) { appendInterpolation(UInt64(number)) }
}

extension String {
  @inline(never)
  public init(decoding bytes: ArraySlice<UInt8>, as encoding: UTF8.Type) {
    self = unsafe bytes.withUnsafeBufferPointer { unsafe String(decoding: $0, as: UTF8.self) }
  }

  @inline(__always)
  public init(decoding bytes: [UInt8], as encoding: UTF8.Type) { self.init(decoding: bytes[...], as: encoding) }

  @inline(never)
  public init(cString: UnsafePointer<CChar>) {
    unsafe self.init(decoding: UnsafeRawBufferPointer(start: cString, count: strlen(cString)), as: UTF8.self)
  }
}

extension [UInt8] {
  @inline(never)
  public init(_ text: String.UTF8View) {
    // A text on Linux has its bytes in one piece: there is no other kind.
    self = unsafe text.withContiguousStorageIfAvailable { unsafe Array($0) }!
  }
}

extension [String] {
  @inline(never)
  public mutating func append(_ text: String) { self += CollectionOfOne(text) }
}
