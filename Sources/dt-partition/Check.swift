import DeviceTree
import Linux
import Partition

/// `dt-partition check`: what is wrong with trees together.
func check(_ arguments: inout Arguments) throws(Failure) -> ExitCode {
  let operands: [String]
  do throws(UsageError) {
    operands = try arguments.operands()
  } catch {
    throw Failure(error)
  }
  guard !operands.isEmpty else { throw Failure("a device tree is missing", .usage) }
  for path in operands { _ = try TreeArgument(path) }
  return .ok
}
