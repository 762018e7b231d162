/*
 * The delay and the loss of one path: a wire between two interfaces, of a kernel without netem.
 *
 *   delay INTERFACE INTERFACE MICROSECONDS PERCENT SEED
 *
 * What comes in at one interface goes out at the other so many microseconds later, in its order, but
 * for the frames that are lost. Says "ready" once it does, and ends with its standard input; a line of
 * it is a new number of microseconds, for frames that come in from then on.
 *
 * Packet sockets with PACKET_VNET_HDR hand frames over as the kernel has them: a segment of 64 KiB
 * that waits to be split, or a checksum that is left to the hardware, stays so.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

#define MAX_FRAME (70 * 1024)          /* a virtio_net_hdr of 10 bytes, a frame of up to 64 KiB */
#define MAX_DELAYED (64 * 1024 * 1024) /* bytes on their way; more is lost, as in a full queue */
#define BATCH 64                       /* frames from one interface before the other has its turn */

struct frame {
  struct frame *next;
  uint64_t due;
  size_t size;
  unsigned char bytes[];
};

/* One direction. Frames keep their order: one that was given a shorter delay waits for those before. */
struct wire {
  int from, to;
  struct frame *first, **end;
  size_t delayed;
};

static uint64_t delay_ns, loss_threshold, random_state;

static void die(const char *what) {
  fprintf(stderr, "delay: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* splitmix64: any seed will do. */
static uint64_t next_random(void) {
  uint64_t x = random_state += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

static int is_lost(void) {
  return loss_threshold != 0 && (next_random() >> 32) < loss_threshold;
}

static int open_interface(const char *name) {
  int one = 1, space = 16 * 1024 * 1024;
  /* Without a protocol it receives nothing before it is bound to its interface. */
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) < 0) die("PACKET_VNET_HDR");
  if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one) < 0)
    die("PACKET_IGNORE_OUTGOING");
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &space, sizeof space) < 0)
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &space, sizeof space);
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
  address.sll_ifindex = (int)if_nametoindex(name);
  if (address.sll_ifindex == 0) die(name);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) die(name);
  return fd;
}

static void take(struct wire *wire) {
  static unsigned char bytes[MAX_FRAME];
  for (int i = 0; i < BATCH; i++) {
    ssize_t size = recv(wire->from, bytes, sizeof bytes, MSG_TRUNC);
    if (size < 0 && (errno == EAGAIN || errno == ENETDOWN)) return;
    if (size < 0) die("recv");
    if ((size_t)size > sizeof bytes || wire->delayed > MAX_DELAYED || is_lost()) continue;
    struct frame *frame = malloc(sizeof *frame + (size_t)size);
    if (frame == NULL) die("malloc");
    *frame = (struct frame){.due = now() + delay_ns, .size = (size_t)size};
    memcpy(frame->bytes, bytes, (size_t)size);
    *wire->end = frame;
    wire->end = &frame->next;
    wire->delayed += frame->size;
  }
}

static void deliver(struct wire *wire, uint64_t until) {
  while (wire->first != NULL && wire->first->due <= until) {
    struct frame *frame = wire->first;
    /* An interface that is down, or out of room, loses the frame, as any link would. */
    if (send(wire->to, frame->bytes, frame->size, 0) < 0 && errno != ENETDOWN && errno != ENXIO &&
        errno != ENOBUFS && errno != EAGAIN)
      die("send");
    wire->first = frame->next;
    if (wire->first == NULL) wire->end = &wire->first;
    wire->delayed -= frame->size;
    free(frame);
  }
}

/* When the next frame is due: the time from now, or NULL if there is none. */
static struct timespec *next_due(const struct wire wires[2], struct timespec *wait) {
  uint64_t due = UINT64_MAX, at = now();
  for (int i = 0; i < 2; i++)
    if (wires[i].first != NULL && wires[i].first->due < due) due = wires[i].first->due;
  if (due == UINT64_MAX) return NULL;
  uint64_t left = due > at ? due - at : 0;
  *wait = (struct timespec){(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
  return wait;
}

/* Takes a new delay from standard input: 0 once that has ended. */
static int take_delay(void) {
  char line[64];
  ssize_t size = read(STDIN_FILENO, line, sizeof line - 1);
  if (size <= 0) return 0;
  line[size] = 0;
  delay_ns = strtoull(line, NULL, 10) * 1000;
  return 1;
}

int main(int argc, char **argv) {
  if (argc != 6) {
    fprintf(stderr, "usage: delay INTERFACE INTERFACE MICROSECONDS PERCENT SEED; see delay.c\n");
    return 1;
  }
  int near = open_interface(argv[1]), far = open_interface(argv[2]);
  delay_ns = strtoull(argv[3], NULL, 10) * 1000;
  loss_threshold = (uint64_t)(strtod(argv[4], NULL) / 100 * 4294967296.0);
  random_state = strtoull(argv[5], NULL, 10);
  struct wire wires[2] = {{.from = near, .to = far}, {.from = far, .to = near}};
  for (int i = 0; i < 2; i++) wires[i].end = &wires[i].first;

  /* Otherwise a wait may take 50 us longer. */
  prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    struct pollfd fds[3] = {{near, POLLIN, 0}, {far, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    struct timespec wait;
    if (ppoll(fds, 3, next_due(wires, &wait), NULL) < 0 && errno != EINTR) die("ppoll");
    if (fds[2].revents != 0 && !take_delay()) return 0;
    for (int i = 0; i < 2; i++) take(&wires[i]);
    for (int i = 0; i < 2; i++) deliver(&wires[i], now());
  }
}
