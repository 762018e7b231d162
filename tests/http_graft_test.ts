import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { graft, GraftError } from "../ffi/guest/graft.ts";
import {
  AF_INET,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  epoll_event,
  IPPROTO_TCP,
  MSG_NOSIGNAL,
  SO_ACCEPTCONN,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../ffi/linux/abi.ts";
import { ERRNO } from "../ffi/linux/errno.ts";
import type { RuntimeServer } from "../ffi/http.ts";
import type { Libc } from "../ffi/linux/libc.ts";
import { libc } from "../ffi/runtime.ts";
import { runtimeHttp } from "../ffi/runtime_http.ts";
import { connectMptcp, listenMptcp, MptcpError } from "../mod.ts";
import { serveMptcp } from "../src/http/mod.ts";
import { getIntOption, localSockaddr, toNetAddr } from "../src/poll/socket.ts";
import { stubLibc } from "./faults.ts";
import { assertOpenFds, openFds, settledFds, test } from "./harness.ts";
import { rawRequest, tell } from "./http.ts";
import { bytesOf, delay } from "./sockets.ts";

const { open, epoll_ctl } = libc();

let adds = 0;

/** The epoll of this module, which the faults are not about. */
let ownEpoll = -1;
{
  using _ = stubLibc({
    epoll_ctl: (epfd, ...args) => epoll_ctl(ownEpoll = epfd, ...args),
  });
  using listener = listenMptcp({ hostname: "127.0.0.1" });
  listener.accept().catch(() => {});
}

/** A fault of the runtime's epoll. */
function onRuntimesEpoll(fault: Libc["epoll_ctl"]): Partial<Libc> {
  return {
    epoll_ctl: (epfd, ...args) => (epfd === ownEpoll ? epoll_ctl : fault)(epfd, ...args),
  };
}

/** What goes wrong, and what the refusal says of it. */
const FAULTS: Record<string, { stub: Partial<Libc>; says: string; only?: "deno" }> = {
  "there is no /proc/self/fd": { stub: { readlink: () => -ERRNO.ENOENT }, says: "/proc/self/fd" },
  "there is no /proc/self/fdinfo": {
    stub: { open: (path, flags) => path.includes("info") ? -ERRNO.ENOENT : open(path, flags) },
    says: "/proc/self/fdinfo",
  },
  "fdinfo does not show what an epoll watches": {
    stub: { open: (path, flags) => open(path.includes("info") ? "/dev/null" : path, flags) },
    says: "no epoll",
  },
  "no socket listens where the runtime's should": {
    stub: { getsockname: () => -ERRNO.ENOBUFS },
    says: "0 descriptors listen",
  },
  "no descriptor is left": { stub: { fcntl: () => -ERRNO.EMFILE }, says: "EMFILE" },
  "dup3 fails": { stub: { dup3: () => -ERRNO.EBUSY }, says: "EBUSY" },
  "the epoll refuses the socket": {
    stub: onRuntimesEpoll(() => -ERRNO.ENOSPC),
    says: "ENOSPC",
  },
  "the epoll takes the socket and does not watch it": {
    stub: onRuntimesEpoll(() => 0),
    says: "does not show the new socket",
  },
  "the epoll watches the socket for something else": {
    stub: onRuntimesEpoll((epfd, op, fd, event) => {
      const other = event.slice();
      other[epoll_event.data] = other[epoll_event.data]! ^ 1;
      return epoll_ctl(epfd, op, fd, other);
    }),
    says: "does not show the new socket",
  },
  "the second descriptor of the epoll refuses the socket": {
    stub: onRuntimesEpoll((epfd, op, fd, event) =>
      op === EPOLL_CTL_ADD && adds++ > 0 ? -ERRNO.ENOSPC : epoll_ctl(epfd, op, fd, event)
    ),
    says: "ENOSPC",
    only: "deno",
  },
};

function runtimeServer(): RuntimeServer {
  return runtimeHttp.serve({
    hostname: "127.0.0.1",
    port: 0,
    handler: () => new Response("the runtime's own"),
    onError: () => new Response(null, { status: 500 }),
    tls: null,
    extra: {},
  });
}

for (const [fault, { stub, says, only }] of Object.entries(FAULTS)) {
  const onlyOn = only && { only: { runtime: only, reason: "the other has one epoll descriptor" } };

  test(`where ${fault} the graft is refused and undone`, onlyOn ?? {}, async () => {
    const listener = listenMptcp({ hostname: "127.0.0.1" });
    const server = runtimeServer();
    const before = await settledFds();
    adds = 0;
    {
      using _ = stubLibc(stub);
      const error = assertThrows(
        () => graft(libc(), listener.fd, "127.0.0.1", server.port),
        GraftError,
      );
      assertStringIncludes(error.message, says);
    }
    assertEquals(openFds(), before);
    // Each is what it was, and works.
    assertStringIncludes(await rawRequest(server.port), "the runtime's own");
    using client = await connectMptcp({ port: listener.addr.port });
    using accepted = await listener.accept();
    assertEquals(accepted.remoteAddr.port, client.localAddr.port);
    listener.close();
    server.abort();
    await server.finished;
  });

  test(`where ${fault} the node engine serves, and says so`, onlyOn ?? {}, async () => {
    const before = await settledFds();
    adds = 0;
    const stubbed = stubLibc(stub);
    const listen = () => serveMptcp({ hostname: "127.0.0.1", port: 0 }, () => new Response("ok"));
    // Not even listenMptcp can do without an address.
    if (stub.getsockname !== undefined) {
      assertThrows(listen, MptcpError);
      stubbed[Symbol.dispose]();
      return;
    }
    const server = listen();
    stubbed[Symbol.dispose]();
    assertEquals(server.engine.name, "node");
    assertStringIncludes(server.engine.detail!, says);
    assertStringIncludes(await rawRequest(server.addr.port), "ok");
    await server.shutdown();
    await assertOpenFds(before);
  });

  test(`where ${fault} a demanded native engine is an error`, onlyOn ?? {}, async () => {
    const before = await settledFds();
    adds = 0;
    {
      using _ = stubLibc(stub);
      const error = assertThrows(() => serveMptcp({ port: 0, engine: "native" }, tell), MptcpError);
      if (stub.getsockname === undefined) assertEquals(error.code, "ERR_HTTP_ENGINE");
    }
    await assertOpenFds(before);
  });
}

/** The descriptors of this process that listen, with their ports. */
function listeners(): Map<number, number> {
  const found = new Map<number, number>();
  for (let fd = 0; fd < 1024; fd++) {
    if (getIntOption(fd, SOL_SOCKET, SO_ACCEPTCONN) !== 1) continue;
    found.set(fd, toNetAddr(localSockaddr(fd)).port);
  }
  return found;
}

test("one socket listens after the graft, at the address that was asked for", async () => {
  const before = new Set(listeners().values());
  await using server = serveMptcp({ port: 0, engine: "native" }, tell);
  const ports = [...listeners().values()].filter((port) => !before.has(port));
  assertEquals(ports, [server.addr.port]);
});

test("who connects to the runtime's port before the graft gets no answer", async () => {
  const { dup3, connect, socket } = libc();
  let fd = -1;
  {
    // Right before the runtime's socket is replaced.
    using _ = stubLibc({
      dup3(oldfd, newfd, flags) {
        fd = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
        assertEquals(connect(fd, localSockaddr(newfd)), 0);
        return dup3(oldfd, newfd, flags);
      },
    });
    await using _server = serveMptcp({ port: 0, engine: "native" }, () => new Response("secret"));
    const request = bytesOf("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    libc().send(fd, request, request.byteLength, MSG_NOSIGNAL);
    await delay(100);
    const count = libc().recv(fd, new Uint8Array(1000), 1000, 0);
    assert(count === 0 || count === -ERRNO.ECONNRESET, `${count}`);
  }
  libc().close(fd);
});

test("a runtime that does not accept after all is replaced by the node engine", async () => {
  const before = await settledFds();
  const options = { hostname: "127.0.0.1", port: 0, engine: "native" } as const;
  const server = serveMptcp(options, () => new Response("accepted"));
  stopAccepting(server.addr.port);
  assertEquals(server.engine.name, "native");
  assertStringIncludes(await rawRequest(server.addr.port), "accepted");
  assertEquals(server.engine.name, "node");
  assertStringIncludes(server.engine.detail!, "accept");
  await server.shutdown();
  await assertOpenFds(before);
});

/** Has every epoll forget the socket that listens on a port. */
function stopAccepting(port: number): void {
  const [fd] = [...listeners()].find(([, listening]) => listening === port)!;
  const event = new Uint8Array(epoll_event.size);
  let forgot = 0;
  for (let epfd = 0; epfd < 1024; epfd++) {
    if (libc().epoll_ctl(epfd, EPOLL_CTL_DEL, fd, event) === 0) forgot++;
  }
  assert(forgot > 0);
}

test("50 servers come and go without a descriptor", async () => {
  const before = await settledFds();
  for (let i = 0; i < 50; i++) {
    const server = serveMptcp(
      { hostname: "127.0.0.1", port: 0 },
      () => new Response(`number ${i}`),
    );
    assertEquals(server.engine.name, "native");
    if (i % 2 === 0) assertStringIncludes(await rawRequest(server.addr.port), `number ${i}`);
    await server.shutdown();
  }
  await assertOpenFds(before);
});
