import CLinux
import Text

extension String {
  /// System text (`String.init(systemBytes:)`) that ends with a 0, as C has it.
  public init(systemText text: UnsafePointer<CChar>) {
    self.init(systemBytes: unsafe Array(UnsafeRawBufferPointer(start: text, count: strlen(text))))
  }
}
