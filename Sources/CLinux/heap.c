// The heap of a guest's static program: blocks whose sizes are powers of two, kept for their next use. A tenth of the code of musl's
// own (Spec/decisions.md, "A heap of our own").
//
// build-guest defines LX_HEAP, which makes it the C library's; elsewhere it is there to be tested.
#include "CLinux.h"

// A block has 2^SMALLEST to 2^LARGEST bytes. What doesn't fit into one is mapped by itself, and given back to the kernel.
#define SMALLEST 5
#define LARGEST 16
// What is mapped for blocks at once. The kernel gives memory to the pages that are used.
#define CHUNK (1 << 18)

// Before what the caller has.
struct header {
  char *start;  // of the block: further ahead when the caller wanted more than 16 bytes' alignment
  size_t size;  // the block's power of two; the bytes of what is mapped by itself, which are more than LARGEST
} __attribute__((aligned(16)));

static int locked;
static char *fresh, *end;        // what was never used of the current chunk
static void *unused[LARGEST + 1];  // the first block of each size; it begins with the address of the next one

static char *map(size_t size) {
  void *p = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return p == MAP_FAILED ? 0 : p;
}

static char *take(int power) {
  void **first = unused[power];
  if (first) {
    unused[power] = *first;
    return (char *)first;
  }
  size_t size = (size_t)1 << power;
  if ((size_t)(end - fresh) < size) {
    char *chunk = map(CHUNK);
    if (!chunk) return 0;
    fresh = chunk;
    end = chunk + CHUNK;
  }
  fresh += size;
  return fresh - size;
}

static void lock(void) {
  while (__atomic_exchange_n(&locked, 1, __ATOMIC_ACQUIRE)) sched_yield();
}

static void unlock(void) { __atomic_store_n(&locked, 0, __ATOMIC_RELEASE); }

void *lx_heap_take(size_t alignment, size_t size) {
  size_t slack = alignment > 16 ? alignment : 0, all;
  if (__builtin_add_overflow(size, sizeof(struct header) + slack, &all) || all > PTRDIFF_MAX) return errno = ENOMEM, (void *)0;
  int power = SMALLEST;
  while (power <= LARGEST && (size_t)1 << power < all) power++;
  char *start;
  if (power > LARGEST) {
    start = map(all);
  } else {
    lock();
    start = take(power);
    unlock();
  }
  if (!start) return errno = ENOMEM, (void *)0;
  char *p = start + sizeof(struct header);
  if (slack) p += -(uintptr_t)p & (alignment - 1);
  ((struct header *)p)[-1] = (struct header){start, power > LARGEST ? all : (size_t)power};
  return p;
}

void lx_heap_give(void *p) {
  if (!p) return;
  struct header header = ((struct header *)p)[-1];
  if (header.size > LARGEST) {
    munmap(header.start, header.size);
    return;
  }
  lock();
  *(void **)header.start = unused[header.size];
  unused[header.size] = header.start;
  unlock();
}

#ifdef LX_HEAP
void *malloc(size_t size) { return lx_heap_take(16, size); }
void free(void *p) { lx_heap_give(p); }
void *aligned_alloc(size_t alignment, size_t size) { return lx_heap_take(alignment, size); }

int posix_memalign(void **p, size_t alignment, size_t size) {
  void *taken = lx_heap_take(alignment, size);
  if (!taken) return ENOMEM;
  *p = taken;
  return 0;
}

void *calloc(size_t count, size_t each) {
  size_t size;
  if (__builtin_mul_overflow(count, each, &size)) return errno = ENOMEM, (void *)0;
  void *p = malloc(size);
  return p ? memset(p, 0, size) : p;
}

void *realloc(void *old, size_t size) {
  void *p = malloc(size);
  if (!p || !old) return p;
  struct header header = ((struct header *)old)[-1];
  size_t had = (size_t)(header.start + (header.size > LARGEST ? header.size : (size_t)1 << header.size) - (char *)old);
  memcpy(p, old, had < size ? had : size);
  free(old);
  return p;
}
#endif
