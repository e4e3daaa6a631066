// What a process has once: its arguments, and the signal that is to end it.
#include "CLinux.h"

// ---- Arguments: Embedded Swift has no CommandLine, and /proc may not be there ------------------------------------------

static size_t count;
static char **words;

#ifdef __GLIBC__
__attribute__((constructor)) static void keep(int argc, char **argv) {
  count = argc > 0 ? (size_t)argc : 0;
  words = argv;
}
#else
// musl gives a constructor nothing. The kernel puts a process's arguments before its environment: how many, each, a null.
__attribute__((constructor)) static void keep(void) {
  char **last = environ - 2;
  while ((uintptr_t)*(last - count) != count) count++;
  words = environ - 1 - count;
}
#endif

size_t lx_argument_count(void) { return count; }
const char *lx_argument(size_t index) { return index < count ? words[index] : ""; }

// ---- Signals -----------------------------------------------------------------------------------------------------------

static int caught;

int lx_caught_signal(void) { return __atomic_load_n(&caught, __ATOMIC_RELAXED); }

static void note(int number) {
  if (lx_caught_signal()) {
    // Blocked in here: it comes when the handler returns.
    signal(number, SIG_DFL);
    raise(number);
  }
  __atomic_store_n(&caught, number, __ATOMIC_RELAXED);
}

void lx_catch_termination(void) {
  static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
  struct sigaction action, old;
  memset(&action, 0, sizeof action);
  action.sa_handler = note;
  sigset_t set;
  sigemptyset(&set);
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    // nohup, and a shell that puts a program into the background, have it ignore these.
    if (numbers[i] != SIGTERM && sigaction(numbers[i], 0, &old) == 0 && old.sa_handler == SIG_IGN) continue;
    sigaction(numbers[i], &action, 0);
    sigaddset(&set, numbers[i]);
  }
  // Whoever started this program may have done so from a thread that takes no signals.
  sigprocmask(SIG_UNBLOCK, &set, 0);
}

// ---- Chance for hash tables: Embedded Swift asks for it, and musl has none -----------------------------------------------

#ifndef __GLIBC__
/// From the kernel's generator, without waiting for it to be ready; hash seeds are all that it is for.
void arc4random_buf(void *buffer, size_t size) {
  uint8_t *bytes = buffer;
  for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)(lx_random() >> 24);
}
#endif
