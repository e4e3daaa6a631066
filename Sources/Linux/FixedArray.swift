/// A fixed number of things that can't be copied, in one block of memory.
///
/// A hot loop reaches an element without the exclusivity check that a class property costs.
@safe
public struct FixedArray<Element: ~Copyable>: ~Copyable {
  @usableFromInline let base: UnsafeMutablePointer<Element>
  public let count: Int

  public init<Failure: Error>(count: Int, _ element: (Int) throws(Failure) -> Element) throws(Failure) {
    let base = UnsafeMutablePointer<Element>.allocate(capacity: count)
    var made = 0
    do throws(Failure) {
      while made < count {
        unsafe (base + made).initialize(to: try element(made))
        made += 1
      }
    } catch {
      unsafe base.deinitialize(count: made)
      unsafe base.deallocate()
      throw error
    }
    unsafe self.base = base
    self.count = count
  }

  @inlinable
  deinit {
    unsafe base.deinitialize(count: count)
    unsafe base.deallocate()
  }

  /// - Precondition: `index` is in `0..<count`. Our own indices only: nothing a peer wrote comes here unchecked.
  @inlinable
  public subscript(index: Int) -> Element {
    // SAFETY: the precondition is the bound of the block that init filled.
    _read {
      precondition(index >= 0 && index < count)
      yield unsafe base[index]
    }
    _modify {
      precondition(index >= 0 && index < count)
      yield unsafe &base[index]
    }
  }
}
