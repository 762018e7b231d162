/*
 * Preloaded into a program (LD_PRELOAD) this makes its TCP sockets MPTCP ones: what `mptcpize run`
 * does, for machines without it. The benchmarks run the runtimes' own sockets under it.
 */
#define _GNU_SOURCE
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

int socket(int domain, int type, int protocol) {
  int stream = (type & 0xf) == SOCK_STREAM && (protocol == 0 || protocol == 6);
  int internet = domain == AF_INET || domain == AF_INET6;
  return (int)syscall(SYS_socket, domain, type, stream && internet ? IPPROTO_MPTCP : protocol);
}
