import Text

/// Why a program ends: one sentence that names the thing and the remedy.
public struct Failure: Error {
  public let sentence: String
  public let exitCode: ExitCode
  /// What --json says besides the sentence.
  public var facts = JSONObject()

  public init(_ sentence: String, _ exitCode: ExitCode) {
    self.sentence = sentence
    self.exitCode = exitCode
  }
}
