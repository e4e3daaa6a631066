import Linux
import Partition

extension LoadError {
  public var exitCode: ExitCode {
    switch self {
    case .tree(_, .unreadable(let errno)): errno.isPermission ? .noPermission : .noInput
    case .tree: .dataError
    case .notAFile: .noInput
    case .partition, .unknownGuest, .noGuestNode: .config
    }
  }
}
