@preconcurrency import Glibc

// `swift run Benchmarks` makes a debug build, whose times mean nothing. So what it builds is this file alone, in seconds, and this file
// has the release build of what measures made, once, and becomes it.

let helpText = """
  Usage: swift run Benchmarks [ring | devicetree] [--rounds N] [--json FILE]
  Measures round trips between two processes: through the broker, through a ring, through a Unix socket, and the raw
  ping-pong of two cache lines that nothing between two processors can beat. First it makes the release build of what
  measures, in half a minute to a minute; when that is up to date already, in a second.

      ring         measures the ring instead: round trips, throughput, and the wake-up of a sleeper
      devicetree   measures how long the largest device tree takes to be read, next to libfdt walking over it;
                   --tree FILE names another one
      --rounds N   bursts of each (default: 200, but no longer than ten seconds)
      --json FILE  also write one JSON object a line
      --loop N     nothing but N messages sent and received in this process, --bytes N each (default 8): the
                   difference of two runs under callgrind is what a message costs
  """

func say(_ sentence: String) { fputs("Benchmarks: \(sentence)\n", stderr) }

func fail(_ sentence: String) -> Never {
  say(sentence)
  exit(71)  // EX_OSERR
}

/// Becomes the program `words[0]`, found in `PATH`.
func execute(_ words: [String]) -> Never {
  var pointers = words.map { strdup($0) } + [nil]
  execvp(words[0], &pointers)
  fail("cannot run \(words[0]): \(String(cString: strerror(errno)))")
}

func directory(of path: Substring) -> Substring { path[..<(path.lastIndex(of: "/") ?? path.startIndex)] }

let arguments = Array(CommandLine.arguments.dropFirst())
if arguments.contains("--help") || arguments.contains("-h") {
  print(helpText)
  exit(0)
}

let package = String(directory(of: directory(of: directory(of: #filePath[...]))))
// Where this build is: SCRATCH/TRIPLE/debug/Benchmarks.
var scratch = "\(package)/.build"
if let program = realpath("/proc/self/exe", nil) {
  let build = directory(of: String(cString: program)[...])
  if build.hasSuffix("/debug") || build.hasSuffix("/release") { scratch = String(directory(of: directory(of: build))) }
}
let build = ["swift", "build", "--package-path", package, "--scratch-path", scratch, "-c", "release", "--product", "measure"]

say("making the release build of what measures (a debug build's times mean nothing): half a minute to a minute the first time")
// What the build says goes to standard error: standard output is for what was measured.
var began = timespec()
clock_gettime(CLOCK_MONOTONIC, &began)
var child: pid_t = 0
var files = posix_spawn_file_actions_t()
posix_spawn_file_actions_init(&files)
posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO)
var pointers = build.map { strdup($0) } + [nil]
let failure = posix_spawnp(&child, "swift", &files, nil, &pointers, environ)
guard failure == 0 else { fail("cannot run swift: \(String(cString: strerror(failure)))") }
var status: Int32 = 0
while waitpid(child, &status, 0) < 0, errno == EINTR {}
guard status == 0 else { fail("the release build failed, see above; nothing was measured") }
var ended = timespec()
clock_gettime(CLOCK_MONOTONIC, &ended)
say("built in \(ended.tv_sec - began.tv_sec) s; measuring")
execute(["\(scratch)/release/measure"] + arguments)
