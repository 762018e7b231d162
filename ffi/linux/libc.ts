/**
 * The contract between this module and libc: one method per system call. `calls.ts` fills it in, with
 * the functions that the twins `deno/libc.ts` and `bun/libc.ts` load.
 *
 * **Results.** Every method returns what the C function returns, or `-errno` where that is -1, as
 * the kernel itself does: `-ERRNO.EAGAIN`, never an exception. errno is per thread and anything
 * may overwrite it, so `calls.ts` reads it right after the call, in one place, and nobody else does.
 *
 * **Blocking.** Methods run on the calling thread. Only `getaddrinfoAsync` and `pollAsync` leave it.
 *
 * **Buffers.** The kernel reads and writes the views themselves; none is kept after the call.
 *
 * **Loading.** Nothing is opened at import: the first call of `libc()` in `runtime.ts` does.
 *
 * @module
 */

import process from "node:process";

/** The system calls; see the module's documentation for how results are given. */
export interface Libc {
  /** `int socket(int domain, int type, int protocol)` */
  socket(domain: number, type: number, protocol: number): number;
  /** `int socketpair(int domain, int type, int protocol, int sv[2])` */
  socketpair(domain: number, type: number, protocol: number, fds: Int32Array): number;
  /** `int bind(int fd, const struct sockaddr *addr, socklen_t addrlen)` */
  bind(fd: number, addr: Uint8Array): number;
  /** `int listen(int fd, int backlog)` */
  listen(fd: number, backlog: number): number;
  /** `int accept4(int fd, struct sockaddr *addr, socklen_t *addrlen, int flags)` */
  accept4(fd: number, addr: Uint8Array, addrlen: Uint32Array, flags: number): number;
  /** `int connect(int fd, const struct sockaddr *addr, socklen_t addrlen)` */
  connect(fd: number, addr: Uint8Array): number;
  /** `ssize_t recv(int fd, void *buf, size_t len, int flags)` */
  recv(fd: number, buf: Uint8Array, len: number, flags: number): number;
  /** `ssize_t send(int fd, const void *buf, size_t len, int flags)` */
  send(fd: number, buf: Uint8Array, len: number, flags: number): number;
  /** `int shutdown(int fd, int how)` */
  shutdown(fd: number, how: number): number;
  /** `int close(int fd)` */
  close(fd: number): number;
  /** `int getsockname(int fd, struct sockaddr *addr, socklen_t *addrlen)` */
  getsockname(fd: number, addr: Uint8Array, addrlen: Uint32Array): number;
  /** `int getpeername(int fd, struct sockaddr *addr, socklen_t *addrlen)` */
  getpeername(fd: number, addr: Uint8Array, addrlen: Uint32Array): number;
  /** `int getsockopt(int fd, int level, int optname, void *optval, socklen_t *optlen)` */
  getsockopt(
    fd: number,
    level: number,
    optname: number,
    optval: Uint8Array,
    optlen: Uint32Array,
  ): number;
  /** `int setsockopt(int fd, int level, int optname, const void *optval, socklen_t optlen)` */
  setsockopt(fd: number, level: number, optname: number, optval: Uint8Array): number;
  /** `int epoll_create1(int flags)` */
  epoll_create1(flags: number): number;
  /** `int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)` */
  epoll_ctl(epfd: number, op: number, fd: number, event: Uint8Array): number;
  /** `int epoll_wait(int epfd, struct epoll_event *events, int maxevents, int timeout)` */
  epoll_wait(epfd: number, events: Uint8Array, maxevents: number, timeout: number): number;
  /** `int eventfd(unsigned int initval, int flags)` */
  eventfd(initval: number, flags: number): number;
  /** `ssize_t read(int fd, void *buf, size_t count)` */
  read(fd: number, buf: Uint8Array): number;
  /** `ssize_t write(int fd, const void *buf, size_t count)` */
  write(fd: number, buf: Uint8Array): number;
  /** `int pipe2(int pipefd[2], int flags)` */
  pipe2(fds: Int32Array, flags: number): number;
  /** `ssize_t splice(int fd_in, NULL, int fd_out, NULL, size_t len, unsigned int flags)` */
  splice(from: number, to: number, len: number, flags: number): number;
  /** `int open(const char *path, int flags)` */
  open(path: string, flags: number): number;
  /** `ssize_t readlink(const char *path, char *buf, size_t bufsiz)` */
  readlink(path: string, buf: Uint8Array): number;
  /** `int fcntl(int fd, int cmd, int arg)` */
  fcntl(fd: number, cmd: number, arg: number): number;
  /** `int dup3(int oldfd, int newfd, int flags)` */
  dup3(oldfd: number, newfd: number, flags: number): number;
  /** `int setns(int fd, int nstype)` */
  setns(fd: number, nstype: number): number;
  /** `unsigned int if_nametoindex(const char *ifname)` */
  if_nametoindex(name: string): number;
  /** `char *if_indextoname(unsigned int ifindex, char *ifname)`; `null` where there is no such interface */
  if_indextoname(index: number): string | null;
  /** `char *getenv(const char *name)`, the process's environment, without a permission to read it */
  getenv(name: string): string | null;
  /**
   * Makes a variable of the process's environment the empty text, for the runtime's native code, and
   * returns what puts it back. `setenv` would move the table that other threads may be reading, which
   * setenv(3) forbids; this changes one byte where it is, and nothing moves.
   */
  emptyenv(name: string): () => void;
  /**
   * Where `buf` is in memory, for a struct that holds a pointer to it. The address is good while the
   * view is referenced, and only if its memory is its own: more than 64 bytes, `buf.buffer` read once.
   */
  addressOf(buf: Uint8Array): bigint;
  /**
   * `int getaddrinfo(const char *node, NULL, const struct addrinfo *hints, struct addrinfo **res)` for
   * a stream socket: the sockaddrs in the order of RFC 6724, or the negative `EAI_*` result.
   */
  getaddrinfo(hostname: string, family: number): Uint8Array[] | number;
  /** The same off the event loop: a look-up can take many seconds. */
  getaddrinfoAsync(hostname: string, family: number): Promise<Uint8Array[] | number>;
  /**
   * `int poll(struct pollfd *fds, nfds_t nfds, int timeout)` on another thread; `null` where the
   * runtime has no calls that leave the event loop. It says neither -1 nor `-errno`: errno is that
   * of the other thread.
   */
  readonly pollAsync:
    | ((fds: Uint8Array, count: number, timeout: number) => Promise<number>)
    | null;
}

/** The last part of the file name of musl's libc: "x86_64" in `libc.musl-x86_64.so.1`. */
const MACHINE = process.arch === "arm64" ? "aarch64" : "x86_64";

/** Where glibc and musl have libc: by the name that the dynamic loader resolves. */
export const LIBC_NAMES: readonly string[] = ["libc.so.6", `libc.musl-${MACHINE}.so.1`];

/** The same as absolute paths, for a permission that was given for one path. */
export const LIBC_PATHS: readonly string[] = [
  `/lib/${MACHINE}-linux-gnu/libc.so.6`,
  `/usr/lib/${MACHINE}-linux-gnu/libc.so.6`,
  "/lib64/libc.so.6",
  "/usr/lib64/libc.so.6",
  "/lib/libc.so.6",
  "/usr/lib/libc.so.6",
  `/lib/libc.musl-${MACHINE}.so.1`,
  `/lib/ld-musl-${MACHINE}.so.1`,
];
