/*
 * Sends or receives a stream in which every 8 bytes hold their own position / 8, over MPTCP.
 *
 *   transfer listen|connect ADDRESS PORT send|receive BYTES
 *
 * The receiver prints the words that are wrong, as runs, and a line with their number. A second thread
 * of it peeks all the time, which keeps the socket locked for most of the time, as large reads on a
 * busy machine do now and then.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#define ROOM (16 << 20)

static int conn;

static void fail(const char *what) { perror(what); exit(2); }

static void *peek(void *unused) {
  char *buf = malloc(ROOM);
  while (recv(conn, buf, ROOM, MSG_PEEK) > 0) continue;
  return unused;
}

static void receive(size_t total) {
  uint64_t *words = malloc(total + ROOM);
  size_t count = 0, wrong = 0, i, length;
  pthread_t thread;
  pthread_create(&thread, NULL, peek, NULL);
  for (;;) {
    /* Longer copies, by what gathers meanwhile. */
    usleep(60000);
    ssize_t n = recv(conn, (char *)words + count, ROOM, 0);
    if (n < 0) fail("recv");
    if (n == 0) break;
    count += n;
  }
  for (i = 0; i < count / 8; i += length) {
    length = 1;
    if (words[i] == i) continue;
    while (i + length < count / 8 && words[i + length] == words[i] + length) length++;
    wrong += length;
    printf("words %zu to %zu hold those from %llu\n", i, i + length - 1, (unsigned long long)words[i]);
  }
  printf("received %zu bytes, %zu words wrong\n", count, wrong);
}

static void send_all(size_t total) {
  uint64_t words[8192];
  for (size_t at = 0; at < total;) {
    size_t size = total - at < sizeof words ? total - at : sizeof words;
    for (size_t i = 0; i < size / 8; i++) words[i] = at / 8 + i;
    for (size_t sent = 0; sent < size;) {
      ssize_t n = send(conn, (char *)words + sent, size - sent, MSG_NOSIGNAL);
      if (n < 0) fail("send");
      sent += n;
    }
    at += size;
  }
  shutdown(conn, SHUT_WR);
  char byte;
  while (recv(conn, &byte, 1, 0) > 0) continue;
}

int main(int argc, char **argv) {
  if (argc != 6) return fprintf(stderr, "see the top of transfer.c\n"), 2;
  struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[3]))};
  int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP), one = 1, room = ROOM;
  if (fd < 0) fail("socket");
  inet_pton(AF_INET, argv[2], &addr.sin_addr);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  if (!strcmp(argv[1], "listen")) {
    if (bind(fd, (struct sockaddr *)&addr, sizeof addr) || listen(fd, 1)) fail("listen");
    puts("listening");
    fflush(stdout);
    conn = accept(fd, NULL, NULL);
    if (conn < 0) fail("accept");
  } else {
    conn = fd;
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr)) fail("connect");
  }
  if (!strcmp(argv[4], "send")) send_all(strtoull(argv[5], NULL, 10));
  else receive(strtoull(argv[5], NULL, 10));
  return 0;
}
