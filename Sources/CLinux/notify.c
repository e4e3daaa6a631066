// systemd's readiness protocol (sd_notify(3)).
#include "CLinux.h"

struct notice {
  int fd;
  struct sockaddr_un address;
  socklen_t size;
  char text[64];
};

static ssize_t tell(const struct notice *n) {
  return sendto(n->fd, n->text, strlen(n->text), MSG_NOSIGNAL, (const struct sockaddr *)&n->address, n->size);
}

/// Tells it as soon as the receiver takes it, which may be never.
static void *insist(void *context) {
  struct notice *n = context;
  int flags = fcntl(n->fd, F_GETFL);
  if (flags != -1 && fcntl(n->fd, F_SETFL, flags & ~O_NONBLOCK) == 0)
    while (tell(n) == -1 && errno == EINTR) {}
  close(n->fd);
  free(n);
  return 0;
}

void lx_notify(const char *text) {
  const char *path = getenv("NOTIFY_SOCKET");
  if (!path || (path[0] != '/' && path[0] != '@')) return;
  size_t length = strlen(path);
  struct notice *n = calloc(1, sizeof *n);
  if (!n) return;
  if (length < sizeof n->address.sun_path && strlen(text) < sizeof n->text) {
    n->address.sun_family = AF_UNIX;
    memcpy(n->address.sun_path, path, length);
    if (path[0] == '@') n->address.sun_path[0] = 0;
    n->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    strcpy(n->text, text);
    n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (n->fd != -1) {
      uintptr_t thread;
      if (tell(n) == -1 && errno == EAGAIN && lx_thread(&thread, insist, n) == 0) {
        lx_thread_leave(thread);
        return;
      }
      close(n->fd);
    }
  }
  free(n);
}
