import Linux
import Text

/// Prints a line on stdout, whole or not at all as far as the kernel allows.
public func printLine(_ text: String) { writeLine(text, to: 1) }

/// Prints a line on stderr.
public func printError(_ text: String) { writeLine(text, to: 2) }

/// Prints a line of results. Ends the program when it can't: nobody should believe that all is well. What the line says is then told on
/// standard error, since it was done.
public func printResult(_ line: String, of program: String) {
  if let error = unprinted(line, of: program) { exitProcess((error.isInterruption ? ExitCode.ofSignal : .ioError).rawValue) }
}

/// Prints a line of results, or says on standard error which one couldn't be printed. Returns why.
func unprinted(_ line: String, of program: String) -> Errno? {
  guard let error = writeAll(line.systemBytes + [0x0a], to: 1).error else { return nil }
  // A page of help is no result.
  let result = line.utf8.contains(0x0a) ? "" : "; it was: \(line)"
  printError("\(program): cannot write the result to standard output (\(error.text))\(result)")
  return error
}

private func writeLine(_ text: String, to number: Int32) {
  // A service doesn't stand still because nobody reads its messages from a pipe.
  _ = writeAll(text.systemBytes + [0x0a], to: number, patience: number == 2 ? 100_000_000 : .max)
}
