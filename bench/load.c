/*
 * The load generator: drives one server over loopback and measures it.
 *
 *   load MODE ADDRESS PORT [--mptcp] [--connections N] [--idle N] [--size BYTES]
 *        [--pause SECONDS] [--warmup SECONDS] [--seconds SECONDS] [--pid PID]
 *
 *   echo     each connection sends a message, waits for it to come back, and sends the next,
 *            after a pause if there is one
 *   connect  as echo, but every message has a connection of its own; --idle are connections that
 *            rest meanwhile
 *   send     one connection sends without end, or with a pause after each message, then the server
 *            says how much it received
 *   receive  one connection receives without end
 *   idle     each connection echoes one message and then rests while the server is measured
 *
 * Prints one line of JSON. `serverCpu` is the CPU time of process PID over the measured time, and
 * `loadCpu` that of this one: close to `seconds` it says that the load and not the server was the
 * limit. `serverMemory` is by how many bytes the connections of `idle` made the process grow. What
 * comes back is compared with what was sent. A wrong byte, a refused or broken connection, a
 * fall-back to TCP with --mptcp, or ten seconds without progress: exit code 1.
 *
 * `load.ts` does the same where there is no C compiler.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#define SOL_MPTCP_ 284
#define MPTCP_INFO_ 1

#define STALL_MS 10000
#define BULK_SIZE (256 * 1024)
#define VERIFIED (4 * 1024 * 1024) /* bytes of a bulk receive that are looked at */
/*
 * Connections at once whose first message is not back. The kernel calls a connection established when
 * the server's SYN-ACK has come, before there is room for it in the accept queue. With a full queue
 * the server's kernel ignores the ACK (TcpExtListenOverflows), and the message that is sent again gets a
 * reset once it has given the request up. So fewer than a backlog may wait to be accepted.
 */
#define OPENING 128
#define REHEARSAL 100              /* connections of idle before the memory is measured */
#define MAX_EVENTS 256

enum mode { ECHO, CONNECT, SEND, RECEIVE, IDLE };

struct conn {
  int fd;
  int connected, answered;
  uint32_t sent, received; /* of the current message */
  uint32_t start;          /* where it begins in the pattern */
  uint64_t began;
};

static enum mode mode;
static struct sockaddr_in server;
static int mptcp;
static int connections = 1, idle;
static uint32_t size = 64;
static double warmup = 0.3, seconds = 1, pause_time;
static pid_t pid;

static unsigned char *pattern, *scratch;
static int epfd;
static unsigned int opened, opening;
static int done;
static uint32_t next_start;

static uint64_t operations, bytes;
static long memory;
static uint32_t *samples;
static size_t sample_count, sample_space;

static void die(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fputs("load: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  exit(1);
}

static uint64_t read_clock(clockid_t clock) {
  struct timespec t;
  if (clock_gettime(clock, &t) < 0) return 0;
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t now(void) { return read_clock(CLOCK_MONOTONIC); }

static void rest(double time) { usleep((useconds_t)(time * 1e6)); }

/* --- What is measured: from the end of the warm-up on -------------------------------------- */

static clockid_t server_clock;
static uint64_t measure_at, end_at, began_at, server_cpu, load_cpu;

static void start_clock(void) {
  if (pid != 0 && clock_getcpuclockid(pid, &server_clock) != 0) die("no process %d", (int)pid);
  measure_at = now() + (uint64_t)(warmup * 1e9);
}

/* True when the measured time is over. */
static int tick(uint64_t at) {
  if (began_at != 0) return at >= end_at;
  if (at < measure_at) return 0;
  operations = bytes = sample_count = 0;
  server_cpu = pid != 0 ? read_clock(server_clock) : 0;
  load_cpu = read_clock(CLOCK_PROCESS_CPUTIME_ID);
  began_at = now();
  end_at = began_at + (uint64_t)(seconds * 1e9);
  return 0;
}

static void add_sample(uint64_t nanoseconds) {
  if (sample_count == sample_space) {
    sample_space = sample_space == 0 ? 1 << 16 : sample_space * 2;
    samples = realloc(samples, sample_space * sizeof *samples);
    if (samples == NULL) die("out of memory");
  }
  samples[sample_count++] = nanoseconds > UINT32_MAX ? UINT32_MAX : (uint32_t)nanoseconds;
}

static int compare(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

static double percentile_us(int percent) {
  if (sample_count == 0) return 0;
  return samples[(sample_count - 1) * (size_t)percent / 100] / 1e3;
}

static void report(void) {
  double elapsed = (double)(now() - began_at) / 1e9;
  double server = pid != 0 ? (double)(read_clock(server_clock) - server_cpu) / 1e9 : 0;
  double load = (double)(read_clock(CLOCK_PROCESS_CPUTIME_ID) - load_cpu) / 1e9;
  qsort(samples, sample_count, sizeof *samples, compare);
  printf("{\"operations\":%llu,\"bytes\":%llu,\"seconds\":%.6f,\"serverCpu\":%.6f,"
         "\"loadCpu\":%.6f,\"p50\":%.2f,\"p99\":%.2f,\"serverMemory\":%ld}\n",
         (unsigned long long)operations, (unsigned long long)bytes, elapsed, server, load,
         percentile_us(50), percentile_us(99), memory);
  fflush(stdout);
}

/* --- Sockets ------------------------------------------------------------------------------- */

static int open_socket(int flags) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, mptcp ? IPPROTO_MPTCP : 0);
  if (fd < 0) die("socket: %s", strerror(errno));
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  /* A source address has 28 000 ports and each rests in TIME_WAIT: use many of 127/8. */
  setsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
  struct sockaddr_in source = {.sin_family = AF_INET};
  source.sin_addr.s_addr = htonl(0x7f000100u + opened++ % 0x3f00u);
  if (bind(fd, (struct sockaddr *)&source, sizeof source) < 0) die("bind: %s", strerror(errno));
  return fd;
}

static void check_mptcp(int fd) {
  uint32_t info[64] = {0};
  socklen_t length = sizeof info;
  if (!mptcp) return;
  if (getsockopt(fd, SOL_MPTCP_, MPTCP_INFO_, info, &length) < 0) die("the connection is not MPTCP");
  if (info[2] & 1) die("the connection fell back to TCP"); /* mptcpi_flags */
}

static int connect_blocking(void) {
  int fd = open_socket(0);
  struct timeval limit = {.tv_sec = STALL_MS / 1000};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (connect(fd, (struct sockaddr *)&server, sizeof server) < 0) die("connect: %s", strerror(errno));
  check_mptcp(fd);
  return fd;
}

static void open_conn(struct conn *conn) {
  *conn = (struct conn){.fd = open_socket(SOCK_NONBLOCK), .began = now()};
  int result = connect(conn->fd, (struct sockaddr *)&server, sizeof server);
  if (result < 0 && errno != EINPROGRESS) die("connect: %s", strerror(errno));
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = conn};
  if (epoll_ctl(epfd, EPOLL_CTL_ADD, conn->fd, &event) < 0) die("epoll_ctl: %s", strerror(errno));
  opening++;
}

/* --- Messages ------------------------------------------------------------------------------ */

static void push(struct conn *conn) {
  while (conn->sent < size) {
    ssize_t n = send(conn->fd, pattern + conn->start + conn->sent, size - conn->sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) die("send: %s", strerror(errno));
    conn->sent += (uint32_t)n;
  }
}

static void begin_message(struct conn *conn) {
  conn->sent = conn->received = 0;
  conn->start = next_start++ % 251; /* each message differs from the one before */
  push(conn);
}

/* True when the whole message is back. */
static int pull(struct conn *conn) {
  while (conn->received < size) {
    ssize_t n = recv(conn->fd, scratch, size, 0);
    if (n < 0 && errno == EAGAIN) return 0;
    if (n < 0) die("recv: %s", strerror(errno));
    if (n == 0) die("the server closed the connection before the echo");
    if ((size_t)n > conn->sent - conn->received) die("more came back than was sent");
    if (memcmp(scratch, pattern + conn->start + conn->received, (size_t)n) != 0)
      die("other bytes came back than were sent");
    conn->received += (uint32_t)n;
    push(conn);
  }
  return 1;
}

static void finish_message(struct conn *conn) {
  uint64_t at = now();
  operations++;
  bytes += size;
  add_sample(at - conn->began);
  if (!conn->answered) opening--;
  conn->answered = 1;
  if (mode == IDLE) {
    done++;
  } else if (mode == CONNECT) {
    close(conn->fd);
    open_conn(conn);
  } else {
    if (pause_time > 0) rest(pause_time);
    conn->began = pause_time > 0 ? now() : at;
    begin_message(conn);
  }
}

static void on_event(struct conn *conn, uint32_t events) {
  if (!conn->connected) {
    int error = 0;
    socklen_t length = sizeof error;
    if (!(events & (EPOLLOUT | EPOLLERR))) return;
    getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) die("connect: %s", strerror(error));
    check_mptcp(conn->fd);
    conn->connected = 1;
    if (mode != CONNECT) conn->began = now();
    begin_message(conn);
    return;
  }
  push(conn);
  if (conn->received < size && pull(conn)) finish_message(conn);
}

static void wait_for_events(void) {
  struct epoll_event events[MAX_EVENTS];
  int count = epoll_wait(epfd, events, MAX_EVENTS, STALL_MS);
  if (count < 0 && errno != EINTR) die("epoll_wait: %s", strerror(errno));
  if (count == 0) die("nothing came for %d s", STALL_MS / 1000);
  for (int i = 0; i < count; i++) on_event(events[i].data.ptr, events[i].events);
}

static struct conn *open_conns(int count) {
  struct conn *conns = calloc((size_t)count, sizeof *conns);
  if (conns == NULL) die("out of memory");
  for (int started = 0; started < count;) {
    while (started < count && opening < OPENING) open_conn(&conns[started++]);
    wait_for_events();
  }
  return conns;
}

static long resident_bytes(void) {
  char path[32];
  long pages = 0;
  snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
  FILE *statm = fopen(path, "r");
  if (statm == NULL) return 0;
  if (fscanf(statm, "%*d %ld", &pages) != 1) pages = 0;
  fclose(statm);
  return pages * sysconf(_SC_PAGESIZE);
}

static struct conn *open_idle(int count) {
  done = 0;
  struct conn *conns = open_conns(count);
  while (done < count) wait_for_events();
  return conns;
}

static void run_messages(void) {
  enum mode asked = mode;
  epfd = epoll_create1(EPOLL_CLOEXEC);
  mode = IDLE;
  open_idle(idle);
  mode = asked;
  open_conns(connections);
  start_clock();
  while (!tick(now())) wait_for_events();
  report();
}

static void run_idle(void) {
  epfd = epoll_create1(EPOLL_CLOEXEC);
  struct conn *conns = open_idle(REHEARSAL);
  for (int i = 0; i < REHEARSAL; i++) close(conns[i].fd);
  rest(warmup);
  long before = resident_bytes();
  open_idle(connections);
  rest(warmup);
  start_clock();
  tick(measure_at);
  rest(seconds);
  memory = resident_bytes() - before;
  report();
}

/* --- Bulk ---------------------------------------------------------------------------------- */

static void run_send(void) {
  int fd = connect_blocking();
  uint64_t total = 0, counted = 0;
  size_t length = pause_time > 0 ? size : BULK_SIZE;
  start_clock();
  while (!tick(now())) {
    ssize_t n = send(fd, pattern, length, MSG_NOSIGNAL);
    if (n < 0) die("send: %s", strerror(errno));
    total += (uint64_t)n;
    bytes += (uint64_t)n;
    operations++;
    if (pause_time > 0) rest(pause_time);
  }
  report();
  /* The server answers the end of the stream with its count. */
  if (shutdown(fd, SHUT_WR) < 0) die("shutdown: %s", strerror(errno));
  if (recv(fd, &counted, sizeof counted, MSG_WAITALL) != sizeof counted) die("no count came back");
  if (counted != total)
    die("the server received %llu bytes of %llu", (unsigned long long)counted,
        (unsigned long long)total);
}

static void run_receive(void) {
  int fd = connect_blocking();
  uint64_t total = 0;
  start_clock();
  while (!tick(now())) {
    /* MSG_TRUNC drops the bytes without a copy: this end must be faster than the server. */
    ssize_t n = recv(fd, scratch, BULK_SIZE, total < VERIFIED ? 0 : MSG_TRUNC);
    if (n < 0) die("recv: %s", strerror(errno));
    if (n == 0) die("the server closed the connection");
    for (ssize_t i = 0; total < VERIFIED && i < n; i++)
      if (scratch[i] != (unsigned char)(total + (uint64_t)i)) die("byte %zd is wrong", i);
    total += (uint64_t)n;
    bytes += (uint64_t)n;
    operations++;
  }
  report();
}

/* --- Arguments ----------------------------------------------------------------------------- */

static void parse_mode(const char *name) {
  static const char *const names[] = {"echo", "connect", "send", "receive", "idle"};
  for (mode = ECHO; mode <= IDLE; mode++)
    if (strcmp(name, names[mode]) == 0) return;
  die("unknown mode %s", name);
}

static void parse_options(int count, char **args) {
  for (int i = 0; i < count; i++) {
    const char *value = i + 1 < count ? args[i + 1] : "";
    if (strcmp(args[i], "--mptcp") == 0) { mptcp = 1; continue; }
    else if (strcmp(args[i], "--connections") == 0) connections = atoi(value);
    else if (strcmp(args[i], "--idle") == 0) idle = atoi(value);
    else if (strcmp(args[i], "--size") == 0) size = (uint32_t)atoi(value);
    else if (strcmp(args[i], "--pause") == 0) pause_time = atof(value);
    else if (strcmp(args[i], "--warmup") == 0) warmup = atof(value);
    else if (strcmp(args[i], "--seconds") == 0) seconds = atof(value);
    else if (strcmp(args[i], "--pid") == 0) pid = atoi(value);
    else die("unknown option %s", args[i]);
    i++;
  }
}

static void prepare(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  size_t space = (size > BULK_SIZE ? size : BULK_SIZE) + 256;
  pattern = malloc(space);
  scratch = malloc(space);
  if (pattern == NULL || scratch == NULL) die("out of memory");
  prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
  uint32_t x = 2463534242u; /* xorshift32 */
  for (size_t i = 0; i < space; i++) {
    x ^= x << 13, x ^= x >> 17, x ^= x << 5;
    pattern[i] = (unsigned char)x;
  }
}

int main(int argc, char **argv) {
  if (argc < 4) die("usage: load MODE ADDRESS PORT [options]; see load.c");
  parse_mode(argv[1]);
  server.sin_family = AF_INET;
  server.sin_port = htons((uint16_t)atoi(argv[3]));
  if (inet_pton(AF_INET, argv[2], &server.sin_addr) != 1) die("%s is no IPv4 address", argv[2]);
  parse_options(argc - 4, argv + 4);
  prepare();
  if (mode == SEND) run_send();
  else if (mode == RECEIVE) run_receive();
  else if (mode == IDLE) run_idle();
  else run_messages();
  return 0;
}
