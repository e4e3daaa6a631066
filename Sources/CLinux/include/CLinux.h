// The only door to the operating system: glibc or musl, and the kernel's uAPI headers.
//
// Wrapped here is what Swift cannot import (variadics, errno, function-like macros) or what libcs type differently.
// Everything else is called as it is. Inline, so that the same sources build for any guest.
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define termios kernel_termios  // <asm/termbits.h> has a struct termios of its own
#include <asm/termbits.h>
#undef termios
#include <linux/futex.h>
#include <linux/pci_regs.h>
#include <linux/serial.h>
#include <linux/vfio.h>

_Static_assert(sizeof(struct termios2) == 44, "termios2");
_Static_assert(sizeof(off_t) == 8, "off_t: build a 32-bit glibc with -D_FILE_OFFSET_BITS=64");

// ---- Errors and processes -------------------------------------------------------------------------------------------

static inline int lx_errno(void) { return errno; }
static inline const char *_Nonnull lx_strerror(int code) { return strerror(code); }

/// How many arguments this process was started with, its name among them, and each of them.
size_t lx_argument_count(void);
const char *_Nonnull lx_argument(size_t index);

/// The calling process is killed when its parent ends, however that ends.
static inline int lx_die_with_parent(void) { return prctl(PR_SET_PDEATHSIG, SIGKILL); }

/// Starts the program that the first of `count` words names, looked for in PATH; each word ends with a 0. It reads `input`, or
/// nothing when that is -1; what it writes can be read from `*output`. Returns the process, or -1.
static inline pid_t lx_spawn(char *_Nonnull words, size_t count, int input, int *_Nonnull output) {
  char **argv = (char **)calloc(count + 1, sizeof *argv);
  if (!argv || count == 0) return free(argv), errno = ENOMEM, -1;
  for (size_t i = 0; i < count; i++, words += strlen(words) + 1) argv[i] = words;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return free(argv), -1;
  posix_spawn_file_actions_t actions;
  pid_t process = -1;
  int e = posix_spawn_file_actions_init(&actions);
  if (e == 0) {
    e = posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    if (e == 0 && input >= 0) e = posix_spawn_file_actions_adddup2(&actions, input, 0);
    if (e == 0 && input < 0) e = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (e == 0) e = posix_spawnp(&process, argv[0], &actions, 0, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
  }
  free(argv);
  close(ends[1]);
  if (e != 0) return close(ends[0]), errno = e, -1;
  *output = ends[0];
  return process;
}

/// Waits for a process's end. Its exit status, or 128 and the number of the signal that killed it; -1 when there is no such process.
static inline int lx_wait(pid_t process) {
  int status;
  while (waitpid(process, &status, 0) == -1)
    if (errno != EINTR) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// ---- Processor -------------------------------------------------------------------------------------------------------

/// Tells the processor that this is a spin loop. One instruction.
static inline void lx_spin_hint(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb" ::: "memory");
#elif defined(__arm__)
  __asm__ volatile("yield" ::: "memory");
#elif defined(__riscv)
  __asm__ volatile(".4byte 0x0100000f" ::: "memory");  // pause (Zihintpause); a fence hint elsewhere
#endif
}

/// Asks the processor for the cache line at `address`, to write to it. A hint: no access, no fault, no ordering.
static inline void lx_prefetch_for_writing(const void *_Nonnull address) {
#if defined(__x86_64__)
  __asm__ volatile("prefetchw %0" : : "m"(*(const char *)address));  // the builtin would be a prefetch for reading
#else
  __builtin_prefetch(address, 1);
#endif
}

/// Orders all stores before it, also those to shared memory that is mapped otherwise, before a store to a device's register.
static inline void lx_register_fence(void) {
#if defined(__x86_64__) || defined(__i386__)
  __asm__ volatile("sfence" ::: "memory");
#elif defined(__aarch64__) || defined(__arm__)
  __asm__ volatile("dsb st" ::: "memory");
#elif defined(__riscv)
  __asm__ volatile("fence iorw, iorw" ::: "memory");
#endif
}

/// How many processors this kernel runs on; where libc can't say that, how many the calling thread may run on.
static inline int lx_processor_count(void) {
#ifdef __GLIBC__
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n > 0 ? (int)n : 1;
#else
  cpu_set_t allowed;
  return sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
#endif
}

/// Ties the calling thread to the n-th processor that it may run on.
static inline int lx_pin(int n) {
  cpu_set_t allowed, one;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return -1;
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
    if (CPU_ISSET(cpu, &allowed) && n-- == 0) {
      CPU_ZERO(&one);
      CPU_SET(cpu, &one);
      return sched_setaffinity(0, sizeof one, &one);
    }
  errno = EINVAL;
  return -1;
}

// ---- Time and chance -------------------------------------------------------------------------------------------------

/// CLOCK_MONOTONIC in nanoseconds.
static inline uint64_t lx_now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/// May return early: a signal came.
static inline void lx_sleep_ns(uint64_t ns) {
  struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
  nanosleep(&t, 0);
}

// Different each time, but no secret: a board that has just been switched on may have no entropy for minutes (GRND_INSECURE, Linux
// 5.6, doesn't wait for it), and then it may have the same at each boot, but for the time.
static inline uint32_t lx_random(void) {
  uint32_t value = 0;
  if (getrandom(&value, sizeof value, 4) != sizeof value) value = (uint32_t)getpid();
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (value ^ (uint32_t)t.tv_sec ^ (uint32_t)lx_now_ns()) * 2654435761u;
}

// ---- Files -----------------------------------------------------------------------------------------------------------

static inline int lx_open(const char *_Nonnull path, int flags, mode_t mode) {
  int fd;
  do fd = open(path, flags | O_CLOEXEC, mode);
  while (fd == -1 && errno == EINTR);
  return fd;
}

/// A byte of `fd` that no other open file description may lock until this one is closed. -1 with EAGAIN when it is taken.
/// The kernel drops it when the process dies, however it dies (fcntl(2), open file description locks).
static inline int lx_lock_byte(int fd, int64_t offset) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)offset, .l_len = 1};
  return fcntl(fd, F_OFD_SETLK, &lock);
}

static inline int64_t lx_file_size(int fd) {
  struct stat s;
  return fstat(fd, &s) == 0 ? (int64_t)s.st_size : -1;
}
static inline uint32_t lx_file_mode(int fd) {
  struct stat s;
  return fstat(fd, &s) == 0 ? (uint32_t)s.st_mode : 0;
}
static inline uint32_t lx_file_owner(int fd) {
  struct stat s;
  return fstat(fd, &s) == 0 ? (uint32_t)s.st_uid : UINT32_MAX;
}
static inline int lx_is_regular(uint32_t mode) { return S_ISREG(mode); }
static inline int lx_is_directory(uint32_t mode) { return S_ISDIR(mode); }
/// st_mode of the file that `path` names, following links; 0 when there is none.
static inline uint32_t lx_path_mode(const char *_Nonnull path) {
  struct stat s;
  return stat(path, &s) == 0 ? (uint32_t)s.st_mode : 0;
}
/// Bytes of the file that `path` names, following links; 0 when there is none.
static inline uint64_t lx_path_size(const char *_Nonnull path) {
  struct stat s;
  return stat(path, &s) == 0 ? (uint64_t)s.st_size : 0;
}

/// A file without a name, in memory.
static inline int lx_memory_file(const char *_Nonnull name) { return memfd_create(name, MFD_CLOEXEC); }
/// Whether both paths name one file, following links.
static inline int lx_same_file(const char *_Nonnull a, const char *_Nonnull b) {
  struct stat s, t;
  return stat(a, &s) == 0 && stat(b, &t) == 0 && s.st_dev == t.st_dev && s.st_ino == t.st_ino;
}

/// Whether `path` names the file that is open as `fd`.
static inline int lx_is_at(int fd, const char *_Nonnull path) {
  struct stat s, t;
  return fstat(fd, &s) == 0 && stat(path, &t) == 0 && s.st_dev == t.st_dev && s.st_ino == t.st_ino;
}

/// Whether the file that is open as `fd` can no longer be found as `path`. Not when that can't be told.
static inline int lx_is_removed(int fd, const char *_Nonnull path) {
  struct stat s, t;
  if (fstat(fd, &s) != 0) return 0;
  if (s.st_nlink == 0) return 1;
  if (stat(path, &t) != 0) return errno == ENOENT || errno == ENOTDIR;
  return s.st_dev != t.st_dev || s.st_ino != t.st_ino;
}

static inline const char *_Nonnull lx_entry_name(const struct dirent *_Nonnull entry) { return entry->d_name; }

/// Whether what is written to `fd` goes to systemd's journal ($JOURNAL_STREAM of systemd.exec(5)). A process that a service started has the
/// variable too, and its output perhaps elsewhere.
static inline int lx_is_journal(int fd) {
  const char *stream = getenv("JOURNAL_STREAM");
  struct stat s;
  char *end;
  if (!stream || fstat(fd, &s) != 0) return 0;
  unsigned long long device = strtoull(stream, &end, 10);
  if (end == stream || *end != ':') return 0;
  stream = end + 1;
  unsigned long long inode = strtoull(stream, &end, 10);
  return end != stream && *end == 0 && device == s.st_dev && inode == s.st_ino;
}

/// Makes sure that 0, 1 and 2 are open, so that nothing else gets these numbers: a message would end up in it. One that was closed
/// gives EBADF as before.
static inline void lx_claim_standard_descriptors(void) {
  for (int fd = 0; fd <= 2; fd++)
    if (fcntl(fd, F_GETFD) == -1) (void)open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

/// Null when it fails.
static inline void *_Nullable lx_map(int fd, uint64_t offset, size_t size) {
  void *p = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
  return p == MAP_FAILED ? 0 : p;
}

/// Gives a file the room for its first `size` bytes, and that length if it is shorter; what is in it stays. An errno value: EOPNOTSUPP
/// where the file system can't. Not posix_fallocate(3), which then would write into what others use.
static inline int lx_reserve(int fd, int64_t size) {
  int result;
  do result = fallocate(fd, 0, 0, (off_t)size);
  while (result == -1 && errno == EINTR);
  return result == 0 ? 0 : errno;
}

// ---- Mappings of files that may be cut short: see guard.c --------------------------------------------------------------

/// One such mapping. All but `lost` is for guard.c.
struct lx_guard {
  struct lx_guard *_Nullable next;
  uint32_t turn;  // odd while it guards nothing
  int lost;
  uintptr_t start;
  size_t size;
};

/// From now on an access to this mapping that its file has no page for makes all of it zeros, this process's alone, instead of ending
/// the program. Null when there is no memory. Any thread.
struct lx_guard *_Nullable lx_guard_add(void *_Nonnull start, size_t size);
/// Before the mapping goes, when nobody uses it any more.
void lx_guard_remove(struct lx_guard *_Nonnull guard);
/// Whether such an access was made.
static inline int lx_guard_is_lost(const struct lx_guard *_Nonnull guard) { return __atomic_load_n(&guard->lost, __ATOMIC_RELAXED); }

static inline uint64_t lx_page_size(void) { return (uint64_t)getauxval(AT_PAGESZ); }

/// What the symbolic link `path` says, without a 0 at its end. Its length, or -1.
static inline ssize_t lx_readlink(const char *_Nonnull path, char *_Nonnull text, size_t size) { return readlink(path, text, size); }

/// Whose symbolic link `path` is; UINT32_MAX when it is none.
static inline uint32_t lx_link_owner(const char *_Nonnull path) {
  struct stat s;
  return lstat(path, &s) == 0 && S_ISLNK(s.st_mode) ? (uint32_t)s.st_uid : UINT32_MAX;
}

// ---- VFIO: a PCI device of this process alone (linux/vfio.h) -------------------------------------------------------------

/// Puts `group` into `container`, with the kind of IOMMU that it has, and opens its device with this PCI address. A file descriptor.
static inline int lx_vfio_open(int container, int group, int has_iommu, const char *_Nonnull address) {
  if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) != 0) return -1;
  if (ioctl(container, VFIO_SET_IOMMU, has_iommu ? VFIO_TYPE1_IOMMU : VFIO_NOIOMMU_IOMMU) != 0) return -1;
  return ioctl(group, VFIO_GROUP_GET_DEVICE_FD, address);
}
/// Where in the device's file region `index` is; its size, 0 when there is none.
static inline uint64_t lx_vfio_region(int device, uint32_t index, uint64_t *_Nonnull offset) {
  struct vfio_region_info info = {.argsz = sizeof info, .index = index};
  if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info) != 0) return 0;
  *offset = info.offset;
  return info.size;
}
/// The device's first MSI-X interrupt makes `event` readable.
static inline int lx_vfio_interrupt(int device, int event) {
  union { struct vfio_irq_set set; char room[sizeof(struct vfio_irq_set) + sizeof(int32_t)]; } u;
  memset(&u, 0, sizeof u);
  u.set.argsz = sizeof u.room;
  u.set.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
  u.set.index = VFIO_PCI_MSIX_IRQ_INDEX;
  u.set.count = 1;
  int32_t number = event;
  memcpy(u.room + sizeof(struct vfio_irq_set), &number, sizeof number);
  return ioctl(device, VFIO_DEVICE_SET_IRQS, &u.set);
}
/// Switches the device's memory on, and bus mastering, without which there are no MSI-X interrupts.
static inline int lx_vfio_enable(int device) {
  uint64_t offset = 0;
  uint16_t command = 0;
  if (lx_vfio_region(device, VFIO_PCI_CONFIG_REGION_INDEX, &offset) == 0) return -1;
  if (pread(device, &command, sizeof command, (off_t)offset + PCI_COMMAND) != sizeof command) return -1;
  command |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
  return pwrite(device, &command, sizeof command, (off_t)offset + PCI_COMMAND) == sizeof command ? 0 : -1;
}

// ---- Futex: not private, so that it works between processes (futex(2)) ---------------------------------------------------

static inline int lx_futex_wake(const void *_Nonnull word) {
#ifdef SYS_futex
  return (int)syscall(SYS_futex, word, FUTEX_WAKE, 1, 0, 0, 0);
#else
  return (int)syscall(SYS_futex_time64, word, FUTEX_WAKE, 1, 0, 0, 0);
#endif
}

/// Sleeps while *word == value, at most `ns`. May return early for no reason.
static inline int lx_futex_wait(const void *_Nonnull word, uint32_t value, uint64_t ns) {
#if defined(SYS_futex_time64)
  struct { int64_t s, ns; } t = {(int64_t)(ns / 1000000000u), (int64_t)(ns % 1000000000u)};
  int r = (int)syscall(SYS_futex_time64, word, FUTEX_WAIT, value, &t, 0, 0);
#if defined(SYS_futex)
  if (r == -1 && errno == ENOSYS) {  // kernels before 5.1
    struct { long s, ns; } old = {(long)(ns / 1000000000u), (long)(ns % 1000000000u)};
    r = (int)syscall(SYS_futex, word, FUTEX_WAIT, value, &old, 0, 0);
  }
#endif
  return r;
#else
  struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
  return (int)syscall(SYS_futex, word, FUTEX_WAIT, value, &t, 0, 0);
#endif
}

// ---- Events ----------------------------------------------------------------------------------------------------------

static const uint32_t lx_EPOLLIN = EPOLLIN, lx_EPOLLOUT = EPOLLOUT, lx_EPOLLERR = EPOLLERR, lx_EPOLLHUP = EPOLLHUP;

/// Adds (or with `change` alters) what `epoll` waits for on `fd`; `tag` comes back with the event.
static inline int lx_epoll_set(int epoll, int fd, uint32_t events, uint64_t tag, int change) {
  struct epoll_event e = {.events = events, .data = {.u64 = tag}};
  return epoll_ctl(epoll, change ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e);
}
static inline int lx_epoll_remove(int epoll, int fd) { return epoll_ctl(epoll, EPOLL_CTL_DEL, fd, 0); }

/// What happened: the tag that `lx_epoll_set` was given, and the events.
struct lx_event { uint64_t tag; uint32_t events; };
enum { lx_event_limit = 8 };

/// Waits at most `ns`, as finely as the kernel can (epoll_pwait2 from Linux 5.11 on, else milliseconds). Fills at most
/// `lx_event_limit` events.
static inline int lx_epoll_wait(int epoll, struct lx_event *_Nonnull events, uint64_t ns) {
  struct epoll_event found[lx_event_limit];
  int count;
#ifdef SYS_epoll_pwait2
  struct { int64_t s, ns; } t = {(int64_t)(ns / 1000000000u), (int64_t)(ns % 1000000000u)};
  count = (int)syscall(SYS_epoll_pwait2, epoll, found, lx_event_limit, &t, (void *)0, (size_t)0);
  if (count == -1 && errno == ENOSYS)
#endif
    count = epoll_wait(epoll, found, lx_event_limit, (int)((ns + 999999) / 1000000));
  for (int i = 0; i < count; i++) events[i] = (struct lx_event){found[i].data.u64, found[i].events};
  return count;
}

/// Whether `events` of poll(2) come true for `fd` within `ns`; UINT64_MAX waits for ever. May return early.
static inline int lx_wait_for(int fd, short events, uint64_t ns) {
  struct pollfd p = {.fd = fd, .events = events};
  struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
  return ppoll(&p, 1, ns == UINT64_MAX ? 0 : &t, 0) == 1;
}
static inline int lx_wait_readable(int fd, uint64_t ns) { return lx_wait_for(fd, POLLIN, ns); }
static inline int lx_wait_writable(int fd, uint64_t ns) { return lx_wait_for(fd, POLLOUT, ns); }

/// A pipe whose end for writing, `ends[1]`, never waits.
static inline int lx_pipe(int *_Nonnull ends) {
  if (pipe2(ends, O_CLOEXEC) != 0) return -1;
  return fcntl(ends[1], F_SETFL, O_NONBLOCK);
}

static inline int lx_epoll(void) { return epoll_create1(EPOLL_CLOEXEC); }
static inline int lx_eventfd(int blocking) { return eventfd(0, EFD_CLOEXEC | (blocking ? 0 : EFD_NONBLOCK)); }

/// SIGINT, SIGTERM and SIGHUP no longer end the process but make the returned fd readable; one that is ignored stays so. Call before any
/// thread starts.
static inline int lx_signal_fd(void) {
  static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
  sigset_t set;
  sigemptyset(&set);
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    struct sigaction old;
    // A signal that is blocked comes to the descriptor even if it is ignored: SIGHUP, since nohup(1) has asked for that.
    if (numbers[i] != SIGHUP || sigaction(numbers[i], 0, &old) != 0 || old.sa_handler != SIG_IGN) sigaddset(&set, numbers[i]);
  }
  if (sigprocmask(SIG_BLOCK, &set, 0) != 0) return -1;
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}
/// From now on they do again what they do by default.
static inline void lx_release_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  sigprocmask(SIG_UNBLOCK, &set, 0);
}
/// The first SIGINT, SIGTERM or SIGHUP interrupts system calls and is remembered; the next one does what it does by default. SIGINT and SIGHUP
/// stay ignored if they are.
void lx_catch_termination(void);
/// The number of the first of these signals that came; 0 before. Any thread.
int lx_caught_signal(void);
/// Writing to a closed pipe, or beyond the limit for files' sizes, becomes an error (EPIPE, EFBIG) that ends nobody without a word.
static inline void lx_ignore_write_signals(void) {
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
}

/// Starts a thread with a small stack; the result is an errno value. It takes no signals but those of its own faults: the first thread does.
static inline int lx_thread(uintptr_t *_Nonnull thread, void *_Nullable (*_Nonnull body)(void *_Nullable),
                            void *_Nullable context) {
  pthread_t started = 0;  // a number in glibc, a pointer in musl
  pthread_attr_t attributes;
  sigset_t all, old;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 256 * 1024);
  sigfillset(&all);
  sigdelset(&all, SIGBUS);  // blocked, the fault would end the program whatever handler there is
  sigdelset(&all, SIGSEGV);
  sigdelset(&all, SIGILL);
  sigdelset(&all, SIGFPE);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  int e = pthread_create(&started, &attributes, body, context);
  pthread_sigmask(SIG_SETMASK, &old, 0);
  pthread_attr_destroy(&attributes);
  *thread = (uintptr_t)started;
  return e;
}
/// Waits for the thread's end.
static inline void lx_thread_join(uintptr_t thread) { pthread_join((pthread_t)thread, 0); }
/// Nobody will wait for the thread's end.
static inline void lx_thread_leave(uintptr_t thread) { pthread_detach((pthread_t)thread); }

// ---- Terminals (ioctl_tty(2), linux/serial.h) ----------------------------------------------------------------------------

// <sys/ioctl.h> and <asm/termbits.h> disagree about struct termios, so the two requests are computed here.
#define LX_TCGETS2 _IOR('T', 0x2a, struct termios2)
#define LX_TCSETS2 _IOW('T', 0x2b, struct termios2)
static const uint32_t lx_CBAUD = CBAUD, lx_CSIZE = CSIZE, lx_CS5 = CS5, lx_CS6 = CS6, lx_CS7 = CS7,
                      lx_CS8 = CS8, lx_CSTOPB = CSTOPB, lx_PARENB = PARENB, lx_PARODD = PARODD, lx_CMSPAR = CMSPAR,
                      lx_CRTSCTS = CRTSCTS, lx_IXON = IXON, lx_IXOFF = IXOFF, lx_CREAD = CREAD, lx_CLOCAL = CLOCAL,
                      lx_IBSHIFT = IBSHIFT;

static inline int lx_tty_get(int fd, struct termios2 *_Nonnull t) { return ioctl(fd, LX_TCGETS2, t); }
/// Takes effect at once, also on what was written before.
static inline int lx_tty_set(int fd, const struct termios2 *_Nonnull t) { return ioctl(fd, LX_TCSETS2, t); }
/// The CBAUD bits for a speed: its own where <asm/termbits.h> has one, else BOTHER.
static inline uint32_t lx_speed_bits(uint32_t baud) {
  switch (baud) {
    case 50: return B50; case 75: return B75; case 110: return B110; case 134: return B134; case 150: return B150;
    case 200: return B200; case 300: return B300; case 600: return B600; case 1200: return B1200;
    case 1800: return B1800; case 2400: return B2400; case 4800: return B4800; case 9600: return B9600;
    case 19200: return B19200; case 38400: return B38400; case 57600: return B57600; case 115200: return B115200;
    case 230400: return B230400; case 460800: return B460800; case 500000: return B500000; case 576000: return B576000;
    case 921600: return B921600; case 1000000: return B1000000; case 1152000: return B1152000;
    case 1500000: return B1500000; case 2000000: return B2000000; case 2500000: return B2500000;
    case 3000000: return B3000000; case 3500000: return B3500000; case 4000000: return B4000000;
    default: return BOTHER;
  }
}
/// Bytes that the kernel still holds for the line; -1 when the terminal can't tell.
static inline int lx_tty_unsent(int fd) {
  int n = 0;
  return ioctl(fd, TIOCOUTQ, &n) == 0 ? n : -1;
}
/// 1 when the transmitter's shift register is empty, 0 when it isn't, -1 when the driver can't tell (pty).
static inline int lx_tty_transmitter_empty(int fd) {
  unsigned int v = 0;
  return ioctl(fd, TIOCSERGETLSR, &v) == 0 ? (v & TIOCSER_TEMT) != 0 : -1;
}
/// `queue`: TCIFLUSH, TCOFLUSH or TCIOFLUSH.
static inline int lx_tty_flush(int fd, int queue) { return ioctl(fd, TCFLSH, queue); }
static const int lx_TCIFLUSH = TCIFLUSH, lx_TCOFLUSH = TCOFLUSH, lx_TCIOFLUSH = TCIOFLUSH;
/// Bytes that the port or the kernel lost so far (overruns); -1 when the driver doesn't count.
static inline int64_t lx_tty_overruns(int fd) {
  struct serial_icounter_struct c;
  memset(&c, 0, sizeof c);
  return ioctl(fd, TIOCGICOUNT, &c) == 0 ? (int64_t)(uint32_t)c.overrun + (uint32_t)c.buf_overrun : -1;
}
/// Whether what is open, or what `path` names, is a pseudo-terminal's slave.
static inline int lx_is_devpts(int fd) {
  struct statfs s;
  return fstatfs(fd, &s) == 0 && s.f_type == 0x1cd1;  // DEVPTS_SUPER_MAGIC
}
static inline int lx_path_is_devpts(const char *_Nonnull path) {
  struct statfs s;
  return statfs(path, &s) == 0 && s.f_type == 0x1cd1;
}
/// A number that tells one symbolic link of this name from another one; 0 when `path` is none.
static inline uint64_t lx_link_stamp(const char *_Nonnull path) {
  struct stat s;
  if (lstat(path, &s) != 0 || !S_ISLNK(s.st_mode)) return 0;
  return ((uint64_t)s.st_ino * 2654435761u ^ ((uint64_t)s.st_ctim.tv_sec * 1000000000u + (uint64_t)s.st_ctim.tv_nsec)) | 1;
}
/// A new pseudo-terminal's master, non-blocking, unlocked; the slave's path goes to `path`.
static inline int lx_open_pty(char *_Nonnull path, size_t size) {
  static const char directory[] = "/dev/pts/";
  unsigned int number = 0;
  int unlock = 0;
  if (size < sizeof directory + 10) return errno = ERANGE, -1;
  int fd = lx_open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK, 0);
  if (fd == -1) return -1;
  if (ioctl(fd, TIOCSPTLCK, &unlock) != 0 || ioctl(fd, TIOCGPTN, &number) != 0) {
    int e = errno;
    close(fd);
    errno = e;
    return -1;
  }
  // By hand: a C library's ptsname_r brings its whole printf into a static program.
  char digits[10];
  size_t count = 0, end = sizeof directory - 1;
  do digits[count++] = (char)('0' + number % 10);
  while ((number /= 10) != 0);
  memcpy(path, directory, end);
  while (count > 0) path[end++] = digits[--count];
  path[end] = 0;
  return fd;
}

// ---- systemd's readiness protocol (sd_notify(3)) ---------------------------------------------------------------------------

/// Sends `text`, of at most 63 bytes, to $NOTIFY_SOCKET, if there is one. Never waits: when the receiver's queue is full a thread goes on
/// trying.
void lx_notify(const char *_Nonnull text);
