// For QEMU boards whose RAM can't be given in parts (vexpress-a9): preloaded, it maps a file over a part of the RAM that QEMU maps.
// RAM_SIZE says which mapping is the RAM; SHARED_OFFSET and SHARED_SIZE say which part of it becomes SHARED_FILE.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

typedef void *(*map_function)(void *, size_t, int, int, int, off64_t);

static size_t number(const char *name) {
  const char *text = getenv(name);
  return text ? strtoull(text, NULL, 0) : 0;
}

void *mmap64(void *address, size_t size, int protection, int flags, int file, off64_t offset) {
  map_function real = (map_function)dlsym(RTLD_NEXT, "mmap64");
  char *mapped = real(address, size, protection, flags, file, offset);
  if (mapped == MAP_FAILED || size != number("RAM_SIZE") || !(protection & PROT_WRITE)) return mapped;
  int shared = open(getenv("SHARED_FILE"), O_RDWR | O_CLOEXEC);
  char *place = mapped + number("SHARED_OFFSET");
  if (shared < 0 || real(place, number("SHARED_SIZE"), protection, MAP_SHARED | MAP_FIXED, shared, 0) != place) {
    perror("splice");
    abort();
  }
  close(shared);
  return mapped;
}

void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset) {
  return mmap64(address, size, protection, flags, file, offset);
}
