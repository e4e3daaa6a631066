// Mappings of files that somebody may cut short: a store or load behind a file's end is a SIGBUS, which would end the program.
//
// The handler runs in whatever thread touched such a page, at any instruction: it takes no lock, allocates nothing and calls the kernel
// only. It puts pages of zeros in the mapping's place, and the instruction is done again.
#include "CLinux.h"

// A list that only grows: the handler may walk it at any time. What is given back is used again.
static struct lx_guard *first;
static int locked, installed;
static struct sigaction former;

static void lock(void) {
  while (__atomic_exchange_n(&locked, 1, __ATOMIC_ACQUIRE)) sched_yield();
}

static void unlock(void) { __atomic_store_n(&locked, 0, __ATOMIC_RELEASE); }

/// The guard of the mapping that `address` lies in. Each is read between two looks at its turn: it may be given to another mapping
/// meanwhile, but not the one that a thread has just touched.
static struct lx_guard *find(uintptr_t address) {
  for (struct lx_guard *g = __atomic_load_n(&first, __ATOMIC_ACQUIRE); g; g = g->next) {
    uint32_t turn = __atomic_load_n(&g->turn, __ATOMIC_ACQUIRE);
    uintptr_t start = __atomic_load_n(&g->start, __ATOMIC_RELAXED);
    size_t size = __atomic_load_n(&g->size, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (turn % 2 == 0 && __atomic_load_n(&g->turn, __ATOMIC_RELAXED) == turn && address - start < size) return g;
  }
  return 0;
}

/// Zeros in place of what is mapped. Not by mmap(3), which a C library or a sanitizer may do more in. Private: nobody else has it.
static int replace(uintptr_t start, size_t size) {
  const int protection = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
#ifdef SYS_mmap2
  return syscall(SYS_mmap2, start, size, protection, flags, -1, 0) != -1;
#else
  return syscall(SYS_mmap, start, size, protection, flags, -1, 0) != -1;
#endif
}

static void handle(int number, siginfo_t *info, void *context) {
  int error = errno;
  // A positive code is the kernel's: a fault, and not somebody's kill(2).
  struct lx_guard *g = info->si_code > 0 ? find((uintptr_t)info->si_addr) : 0;
  if (g && replace(__atomic_load_n(&g->start, __ATOMIC_RELAXED), __atomic_load_n(&g->size, __ATOMIC_RELAXED))) {
    __atomic_store_n(&g->lost, 1, __ATOMIC_RELEASE);
  } else if (former.sa_flags & SA_SIGINFO) {
    former.sa_sigaction(number, info, context);
  } else if (former.sa_handler != SIG_DFL && former.sa_handler != SIG_IGN) {
    former.sa_handler(number);
  } else {
    // As if there were no handler: a fault comes again at once, what was sent is sent again.
    signal(number, SIG_DFL);
    if (info->si_code <= 0) raise(number);
  }
  errno = error;
}

struct lx_guard *lx_guard_add(void *start, size_t size) {
  lock();
  struct lx_guard *g = first;
  while (g && g->turn % 2 == 0) g = g->next;
  if (!g && (g = calloc(1, sizeof *g))) {
    g->turn = 1;
    g->next = first;
    __atomic_store_n(&first, g, __ATOMIC_RELEASE);
  }
  if (g) {
    __atomic_store_n(&g->start, (uintptr_t)start, __ATOMIC_RELAXED);
    __atomic_store_n(&g->size, size, __ATOMIC_RELAXED);
    __atomic_store_n(&g->lost, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&g->turn, g->turn + 1, __ATOMIC_RELEASE);
  }
  if (g && !installed) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = handle;
    action.sa_flags = (int)(SA_SIGINFO | SA_ONSTACK);
    installed = sigaction(SIGBUS, 0, &former) == 0 && sigaction(SIGBUS, &action, 0) == 0;
  }
  unlock();
  // A fault whose signal is blocked kills: whoever started this program may have blocked it.
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGBUS);
  pthread_sigmask(SIG_UNBLOCK, &set, 0);
  return g;
}

void lx_guard_remove(struct lx_guard *g) {
  lock();
  __atomic_store_n(&g->turn, g->turn + 1, __ATOMIC_RELEASE);
  unlock();
}
