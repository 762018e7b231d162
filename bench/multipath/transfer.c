/*
 * One end of a bulk transfer, in C: what the ends on this module are compared with.
 *
 *   transfer receive tcp|mptcp SECONDS LOWAT
 *   transfer send tcp|mptcp SECONDS ADDRESS PORT
 *
 * The sender writes for SECONDS, in blocks of 256 KiB, 32-bit words that each hold their own position
 * in the stream; the receiver looks at every one. A LOWAT other than 0 is set as SO_RCVLOWAT on the
 * listener for a moment, which raises the receive buffer to twice that.
 *
 * `transfer.ts` has the same arguments and prints the same lines of JSON, which `results.ts` describes.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#define SOL_MPTCP_ 284
#define MPTCP_INFO_ 1
#define MPTCP_TCPINFO_ 2
#define MPTCP_SUBFLOW_ADDRS_ 3
#define TCPI_BYTES_RECEIVED 128 /* the offset in struct tcp_info */

#define BLOCK (256 * 1024)
#define SAMPLE_MS 50.0
#define STALL_MS 15000
#define MAX_SUBFLOWS 16
#define MAX_SAMPLES 4096

struct subflow {
  struct sockaddr_storage local, remote;
  uint64_t bytes;
};

struct sample {
  double at;
  uint64_t bytes, subflows[MAX_SUBFLOWS];
};

/* The header of the options that give an array, and room for the array behind it. */
struct elements {
  uint32_t size_header, count, size_kernel, size;
  unsigned char bytes[MAX_SUBFLOWS * 512];
};

static struct subflow subflows[MAX_SUBFLOWS];
static int subflow_count;
static struct sample samples[MAX_SAMPLES];
static int sample_count;
static uint32_t words[BLOCK / 4 + 1];
static struct { unsigned long long offset, found, words, last; } wrong;

static void die(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fprintf(stderr, "transfer: ");
  vfprintf(stderr, format, args);
  fprintf(stderr, "\n");
  exit(1);
}

static double milliseconds(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static double now(void) { return milliseconds(CLOCK_MONOTONIC); }

static double seconds_of(struct timeval time) {
  return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void cpu_times(double *user, double *system) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  *user = seconds_of(usage.ru_utime);
  *system = seconds_of(usage.ru_stime);
}

static int is_mptcp(int fd) {
  uint32_t info[64] = {0};
  socklen_t length = sizeof info;
  return getsockopt(fd, SOL_MPTCP_, MPTCP_INFO_, info, &length) == 0 && !(info[2] & 1);
}

/* --- Subflows ------------------------------------------------------------------------------ */

static int read_elements(int fd, int option, uint32_t size, struct elements *elements) {
  socklen_t length = sizeof *elements;
  memset(elements, 0, sizeof *elements);
  elements->size_header = 16;
  elements->size = size;
  return getsockopt(fd, SOL_MPTCP_, option, elements, &length);
}

static void count_subflow(const struct sockaddr_storage *local, const struct sockaddr_storage *remote,
                          const unsigned char *info) {
  int i = 0;
  while (i < subflow_count && (memcmp(&subflows[i].local, local, sizeof *local) != 0 ||
                               memcmp(&subflows[i].remote, remote, sizeof *remote) != 0))
    i++;
  if (i == MAX_SUBFLOWS) die("more than %d subflows", MAX_SUBFLOWS);
  if (i == subflow_count) {
    subflows[i] = (struct subflow){.local = *local, .remote = *remote};
    subflow_count++;
  }
  memcpy(&subflows[i].bytes, info + TCPI_BYTES_RECEIVED, 8);
}

static void read_subflows(int fd, int mptcp) {
  static struct elements infos, addrs;
  if (mptcp) {
    if (read_elements(fd, MPTCP_TCPINFO_, 256, &infos) < 0) return;
    if (read_elements(fd, MPTCP_SUBFLOW_ADDRS_, 256, &addrs) < 0) return;
    /* A subflow has come or gone between the two: there will be another sample. */
    if (infos.count != addrs.count || infos.count > MAX_SUBFLOWS) return;
    for (uint32_t i = 0; i < infos.count; i++) {
      struct sockaddr_storage *addr = (void *)(addrs.bytes + i * addrs.size);
      count_subflow(&addr[0], &addr[1], infos.bytes + i * infos.size);
    }
  } else {
    struct sockaddr_storage local = {0}, remote = {0};
    unsigned char info[256];
    socklen_t local_length = sizeof local, remote_length = sizeof remote, length = sizeof info;
    if (getsockname(fd, (void *)&local, &local_length) < 0) return;
    if (getpeername(fd, (void *)&remote, &remote_length) < 0) return;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &length) < 0) return;
    count_subflow(&local, &remote, info);
  }
}

static const char *text_of(const struct sockaddr_storage *addr, char text[INET6_ADDRSTRLEN]) {
  const struct in6_addr *ipv6 = &((const struct sockaddr_in6 *)addr)->sin6_addr;
  const struct in_addr *ipv4 = &((const struct sockaddr_in *)addr)->sin_addr;
  if (addr->ss_family == AF_INET) inet_ntop(AF_INET, ipv4, text, INET6_ADDRSTRLEN);
  else if (IN6_IS_ADDR_V4MAPPED(ipv6)) inet_ntop(AF_INET, &ipv6->s6_addr[12], text, INET6_ADDRSTRLEN);
  else inet_ntop(AF_INET6, ipv6, text, INET6_ADDRSTRLEN);
  return text;
}

/* --- Receiving ----------------------------------------------------------------------------- */

static void take_sample(int fd, int mptcp, double at, uint64_t bytes) {
  if (sample_count == MAX_SAMPLES) die("more than %d samples", MAX_SAMPLES);
  read_subflows(fd, mptcp);
  struct sample *sample = &samples[sample_count++];
  *sample = (struct sample){.at = at, .bytes = bytes};
  for (int i = 0; i < subflow_count; i++) sample->subflows[i] = subflows[i].bytes;
}

static int listen_and_accept(int protocol, int lowat) {
  struct sockaddr_in6 address = {.sin6_family = AF_INET6};
  socklen_t length = sizeof address;
  int zero = 0, one = 1;
  int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, protocol);
  if (listener < 0) die("socket: %s", strerror(errno));
  setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
  if (bind(listener, (struct sockaddr *)&address, length) < 0) die("bind: %s", strerror(errno));
  if (lowat > 0) {
    if (setsockopt(listener, SOL_SOCKET, SO_RCVLOWAT, &lowat, sizeof lowat) < 0)
      die("SO_RCVLOWAT: %s", strerror(errno));
    setsockopt(listener, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one);
  }
  if (listen(listener, 1) < 0) die("listen: %s", strerror(errno));
  getsockname(listener, (struct sockaddr *)&address, &length);
  printf("{\"port\":%d}\n", ntohs(address.sin6_port));
  fflush(stdout);
  int fd = accept(listener, NULL, NULL);
  if (fd < 0) die("accept: %s", strerror(errno));
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd; /* the listener stays open: subflows come to it */
}

static void print_result(double seconds, uint64_t bytes, uint64_t measured, double gap, double gap_at,
                         int mptcp, double user, double system) {
  char text[INET6_ADDRSTRLEN];
  printf("{\"bytes\":%llu,\"measuredBytes\":%llu,\"seconds\":%.6f,\"longestGap\":%.3f,"
         "\"longestGapAt\":%.3f,\"protocol\":\"%s\",\"user\":%.6f,\"system\":%.6f,\"subflows\":[",
         (unsigned long long)bytes, (unsigned long long)measured, seconds, gap, gap_at,
         mptcp ? "mptcp" : "tcp", user, system);
  for (int i = 0; i < subflow_count; i++) {
    printf("%s{\"local\":\"%s\",", i > 0 ? "," : "", text_of(&subflows[i].local, text));
    printf("\"remote\":\"%s\",", text_of(&subflows[i].remote, text));
    printf("\"bytes\":%llu}", (unsigned long long)subflows[i].bytes);
  }
  if (wrong.words == 0) printf("],\"wrong\":null");
  else printf("],\"wrong\":{\"offset\":%llu,\"found\":%llu,\"words\":%llu,\"last\":%llu}",
              wrong.offset, wrong.found, wrong.words, wrong.last);
  printf(",\"samples\":[");
  for (int i = 0; i < sample_count; i++) {
    printf("%s[%.1f,%llu", i > 0 ? "," : "", samples[i].at, (unsigned long long)samples[i].bytes);
    for (int k = 0; k < subflow_count; k++)
      printf(",%llu", (unsigned long long)samples[i].subflows[k]);
    printf("]");
  }
  printf("]}\n");
}

/* Compares what has come with what was sent there; the first word is at `at`. */
static void check_words(uint32_t at, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint32_t word = at + (uint32_t)i;
    if (words[i] == word) continue;
    if (wrong.words++ == 0) wrong.offset = 4ull * word, wrong.found = 4ull * words[i];
    wrong.last = 4ull * word;
  }
}

static void receive(int protocol, double limit, int lowat) {
  int fd = listen_and_accept(protocol, lowat);
  int mptcp = is_mptcp(fd);
  double user, system, user_end, system_end;
  double began = 0, last = 0, gap = 0, gap_at = 0, next_sample = 0;
  uint64_t total = 0, measured = 0;
  cpu_times(&user, &system);
  for (;;) {
    size_t rest = total % 4; /* of a word that has come in part, at the start of the buffer */
    ssize_t n = recv(fd, (unsigned char *)words + rest, BLOCK, MSG_DONTWAIT);
    int error = errno;
    double at = now() - began;
    if (total > 0 && at >= next_sample) {
      take_sample(fd, mptcp, at, total);
      next_sample = at + SAMPLE_MS;
    }
    if (n < 0 && error == EAGAIN) {
      struct pollfd wait = {.fd = fd, .events = POLLIN};
      poll(&wait, 1, total > 0 ? (int)(next_sample - at) + 1 : STALL_MS);
      if (now() - began - last > STALL_MS && total > 0) die("nothing came for %d ms", STALL_MS);
      continue;
    }
    if (n < 0) die("recv: %s", strerror(error));
    if (n == 0) break;
    if (total == 0) {
      began = now();
      at = 0;
      printf("{\"started\":%.3f}\n", milliseconds(CLOCK_REALTIME));
      fflush(stdout);
    }
    if (at <= limit) {
      if (at - last > gap) gap = at - last, gap_at = last;
      measured += (uint64_t)n;
    }
    last = at;
    size_t count = (rest + (size_t)n) / 4;
    check_words((uint32_t)(total / 4), count);
    total += (uint64_t)n;
    words[0] = words[count];
  }
  double end = now() - began;
  take_sample(fd, mptcp, end, total);
  cpu_times(&user_end, &system_end);
  print_result((end < limit ? end : limit) / 1e3, total, measured, gap, gap_at, mptcp,
               user_end - user, system_end - system);
}

/* --- Sending ------------------------------------------------------------------------------- */

static int connect_to(int protocol, const char *address, int port) {
  struct sockaddr_in6 target = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
  char mapped[64];
  int one = 1;
  struct timeval stall = {.tv_sec = STALL_MS / 1000};
  /* Only a connection of an IPv6 socket gets paths of both families. */
  snprintf(mapped, sizeof mapped, "%s%s", strchr(address, ':') ? "" : "::ffff:", address);
  if (inet_pton(AF_INET6, mapped, &target.sin6_addr) != 1) die("%s is no IP address", address);
  int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, protocol);
  if (fd < 0) die("socket: %s", strerror(errno));
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &stall, sizeof stall);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &stall, sizeof stall);
  if (connect(fd, (struct sockaddr *)&target, sizeof target) < 0) die("connect: %s", strerror(errno));
  return fd;
}

static void send_words(int protocol, double limit, const char *address, int port) {
  int fd = connect_to(protocol, address, port);
  double user, system, user_end, system_end;
  uint64_t total = 0;
  cpu_times(&user, &system);
  double began = now();
  while (now() - began < limit) {
    for (uint32_t i = 0; i < BLOCK / 4; i++) words[i] = (uint32_t)(total / 4) + i;
    for (size_t sent = 0; sent < BLOCK;) {
      ssize_t n = send(fd, (unsigned char *)words + sent, BLOCK - sent, MSG_NOSIGNAL);
      if (n < 0) die("send: %s", strerror(errno));
      sent += (size_t)n;
    }
    total += BLOCK;
  }
  int mptcp = is_mptcp(fd);
  if (shutdown(fd, SHUT_WR) < 0) die("shutdown: %s", strerror(errno));
  if (recv(fd, words, 1, 0) != 0) die("the receiver did not end the connection");
  cpu_times(&user_end, &system_end);
  printf("{\"bytes\":%llu,\"protocol\":\"%s\",\"user\":%.6f,\"system\":%.6f}\n",
         (unsigned long long)total, mptcp ? "mptcp" : "tcp", user_end - user, system_end - system);
}

int main(int argc, char **argv) {
  const char *mode = argc > 3 ? argv[1] : "";
  int protocol = argc > 3 && strcmp(argv[2], "mptcp") == 0 ? IPPROTO_MPTCP : IPPROTO_TCP;
  /* Whoever started this may be no more, and the other end too. */
  if (argc > 3) alarm((unsigned)atoi(argv[3]) + 60);
  if (strcmp(mode, "receive") == 0 && argc == 5)
    receive(protocol, atof(argv[3]) * 1e3, atoi(argv[4]));
  else if (strcmp(mode, "send") == 0 && argc == 6)
    send_words(protocol, atof(argv[3]) * 1e3, argv[4], atoi(argv[5]));
  else
    die("usage: transfer receive|send tcp|mptcp SECONDS ...; see transfer.c");
  return 0;
}
