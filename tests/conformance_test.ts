/**
 * What the simulated kernel believes, against the real one: the same calls on both, the same answers.
 * The contract runs on both as well: in `contract_test.ts` and in `torture_test.ts`.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import {
  AF_INET,
  EPOLL_CTL_ADD,
  epoll_event,
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  IPPROTO_MPTCP,
  IPPROTO_TCP,
  MSG_NOSIGNAL,
  SHUT_WR,
  SO_ERROR,
  SO_LINGER,
  SO_PROTOCOL,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  SOL_TCP,
  TCP_IS_MPTCP,
} from "../ffi/linux/abi.ts";
import { errnoName } from "../ffi/linux/errno.ts";
import type { Libc } from "../ffi/linux/libc.ts";
import { encodeSockaddr } from "../ffi/linux/sockaddr.ts";
import { libc } from "../ffi/runtime.ts";
import { mptcpSupport } from "../mod.ts";
import { test } from "./harness.ts";
import { NO_FAULTS } from "./simulation/kernel.ts";
import { PLAIN } from "./simulation/network.ts";
import { Simulation } from "./simulation/simulation.ts";
import { delay } from "./sockets.ts";

/** Milliseconds in which everything that happens over loopback has happened. */
const SETTLED = 20;

const LOOPBACK = Uint8Array.of(127, 0, 0, 1);
const EVENTS = { EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLRDHUP };

/** Makes calls and notes what they give. */
class Calls {
  readonly notes: string[] = [];
  readonly #libc: Libc;
  readonly #epfd: number;
  readonly #open: number[] = [];

  constructor(libc: Libc) {
    this.#libc = libc;
    this.#epfd = this.#keep(libc.epoll_create1(0));
  }

  #keep(fd: number): number {
    if (fd >= 0) this.#open.push(fd);
    return fd;
  }

  note(what: string, result: number): number {
    this.notes.push(`${what}: ${result < 0 ? errnoName(-result) : result}`);
    return result;
  }

  socket(protocol: number): number {
    const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    return this.#keep(this.#libc.socket(AF_INET, type, protocol));
  }

  listen(protocol: number): { fd: number; port: number } {
    const fd = this.socket(protocol);
    this.#libc.bind(fd, encodeSockaddr(LOOPBACK, 0));
    this.#libc.listen(fd, 5);
    const addr = new Uint8Array(128);
    this.#libc.getsockname(fd, addr, Uint32Array.of(128));
    return { fd, port: addr[2]! * 256 + addr[3]! };
  }

  connect(fd: number, port: number): void {
    this.note("connect", this.#libc.connect(fd, encodeSockaddr(LOOPBACK, port)));
  }

  accept(fd: number): number {
    const flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
    const result = this.#libc.accept4(fd, new Uint8Array(128), Uint32Array.of(128), flags);
    this.note("accept4", Math.min(result, 0));
    return this.#keep(result);
  }

  watch(fd: number): void {
    const event = new Uint8Array(epoll_event.size);
    const view = new DataView(event.buffer);
    view.setInt32(0, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, true);
    view.setUint32(epoll_event.data, fd, true);
    this.note("epoll_ctl", this.#libc.epoll_ctl(this.#epfd, EPOLL_CTL_ADD, fd, event));
  }

  /** The events of the one descriptor that is watched. */
  events(): void {
    const buf = new Uint8Array(8 * epoll_event.size);
    const count = this.#libc.epoll_wait(this.#epfd, buf, 8, 0);
    const bits = count > 0 ? new DataView(buf.buffer).getUint32(0, true) : 0;
    const names = Object.entries(EVENTS).filter(([, bit]) => bits & bit).map(([name]) => name);
    this.notes.push(`events: ${names.join(" ")}`);
  }

  send(fd: number, length: number): number {
    return this.note("send", this.#libc.send(fd, new Uint8Array(length), length, MSG_NOSIGNAL));
  }

  recv(fd: number, length: number): void {
    this.note("recv", this.#libc.recv(fd, new Uint8Array(length), length, 0));
  }

  shutdown(fd: number): void {
    this.note("shutdown", this.#libc.shutdown(fd, SHUT_WR));
  }

  option(what: string, fd: number, level: number, optname: number): void {
    const value = new Int32Array(1);
    const bytes = new Uint8Array(value.buffer);
    const result = this.#libc.getsockopt(fd, level, optname, bytes, Uint32Array.of(4));
    this.note(what, result < 0 ? result : value[0]!);
  }

  reset(fd: number): void {
    this.#libc.setsockopt(fd, SOL_SOCKET, SO_LINGER, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0));
    this.close(fd);
  }

  close(fd: number): void {
    this.#open.splice(this.#open.indexOf(fd), 1);
    this.#libc.close(fd);
  }

  closeAll(): void {
    for (const fd of this.#open) this.#libc.close(fd);
  }
}

/** Makes calls; what they have led to has happened after each `yield`. */
type Script = (calls: Calls, client: number, server: number) => Generator<void>;

function* pair(calls: Calls, client: number, server: number): Generator<void, [number, number]> {
  const listener = calls.listen(server);
  const fd = calls.socket(client);
  calls.connect(fd, listener.port);
  yield;
  const accepted = calls.accept(listener.fd);
  calls.option("SO_ERROR", fd, SOL_SOCKET, SO_ERROR);
  return [fd, accepted];
}

const SCRIPTS: Readonly<Record<string, Script>> = {
  *"data, its end, and the other direction after it"(calls, client, server) {
    const [fd, accepted] = yield* pair(calls, client, server);
    calls.watch(accepted);
    calls.events();
    calls.recv(accepted, 10);
    calls.send(fd, 3);
    yield;
    calls.events();
    calls.events();
    calls.recv(accepted, 2);
    calls.recv(accepted, 2);
    calls.recv(accepted, 2);
    calls.send(fd, 4);
    calls.shutdown(fd);
    calls.send(fd, 1);
    yield;
    calls.events();
    calls.recv(accepted, 10);
    calls.recv(accepted, 10);
    calls.recv(accepted, 10);
    calls.send(accepted, 5);
    yield;
    calls.recv(fd, 10);
    calls.shutdown(accepted);
    calls.send(accepted, 1);
    yield;
    calls.shutdown(accepted);
    calls.recv(fd, 10);
  },
  *"what each end says of the protocol"(calls, client, server) {
    const [fd, accepted] = yield* pair(calls, client, server);
    for (const [name, one] of [["client", fd], ["server", accepted]] as const) {
      calls.option(`SO_PROTOCOL of the ${name}`, one, SOL_SOCKET, SO_PROTOCOL);
      calls.option(`TCP_IS_MPTCP of the ${name}`, one, SOL_TCP, TCP_IS_MPTCP);
    }
  },
  *"a reset is told once"(calls, client, server) {
    const [fd, accepted] = yield* pair(calls, client, server);
    calls.watch(fd);
    calls.events();
    calls.reset(accepted);
    yield;
    calls.events();
    calls.recv(fd, 1);
    calls.option("SO_ERROR", fd, SOL_SOCKET, SO_ERROR);
    calls.send(fd, 1);
  },
  *"bytes come before the reset that follows them"(calls, client, server) {
    const [fd, accepted] = yield* pair(calls, client, server);
    calls.send(accepted, 6);
    yield;
    calls.reset(accepted);
    yield;
    calls.recv(fd, 10);
    calls.recv(fd, 10);
  },
  *"nobody listens"(calls, client, server) {
    const { fd: listener, port } = calls.listen(server);
    calls.close(listener);
    const fd = calls.socket(client);
    calls.watch(fd);
    calls.connect(fd, port);
    yield;
    calls.option("SO_ERROR", fd, SOL_SOCKET, SO_ERROR);
    calls.option("SO_ERROR", fd, SOL_SOCKET, SO_ERROR);
  },
  *"a listener that closes resets what waits"(calls, client, server) {
    const { fd: listener, port } = calls.listen(server);
    calls.watch(listener);
    calls.events();
    const fd = calls.socket(client);
    calls.connect(fd, port);
    yield;
    calls.events();
    calls.events();
    calls.close(listener);
    yield;
    calls.recv(fd, 1);
  },
  *"no room, and room again"(calls, client, server) {
    const [fd, accepted] = yield* pair(calls, client, server);
    calls.watch(fd);
    calls.events();
    let sent = 0;
    for (let still = 0; still < 3;) {
      const before = sent;
      for (let count; (count = fill(calls, fd)) > 0;) sent += count;
      yield;
      still = sent === before ? still + 1 : 0;
      calls.notes.length = 0;
    }
    calls.send(fd, 1);
    let received = 0;
    while (received < sent) {
      for (let count; (count = drain(calls, accepted)) > 0;) received += count;
      yield;
    }
    calls.notes.length = 0;
    calls.events();
    calls.send(fd, 1);
  },
};

function fill(calls: Calls, fd: number): number {
  return calls.send(fd, 64 * 1024);
}

function drain(calls: Calls, fd: number): number {
  calls.recv(fd, 64 * 1024);
  return Number(/^recv: (\d+)$/.exec(calls.notes.pop()!)?.[1] ?? -1);
}

async function runReally(script: Script, client: number, server: number): Promise<string[]> {
  const calls = new Calls(libc());
  try {
    for (const _ of script(calls, client, server)) await delay(SETTLED);
  } finally {
    calls.closeAll();
  }
  return calls.notes;
}

function runSimulated(script: Script, client: number, server: number): string[] {
  const { kernel, world } = new Simulation(1, {
    network: PLAIN,
    faults: NO_FAULTS,
    pace: { turnsFirst: 50, step: 0.01, delay: 0.1 },
  });
  const calls = new Calls(kernel.libc);
  for (const _ of script(calls, client, server)) world.settle();
  calls.closeAll();
  return calls.notes;
}

const skip = mptcpSupport().fallback?.detail ?? null;
const NAMES = { [IPPROTO_TCP]: "TCP", [IPPROTO_MPTCP]: "MPTCP" } as const;

for (const client of [IPPROTO_TCP, IPPROTO_MPTCP] as const) {
  for (const server of [IPPROTO_TCP, IPPROTO_MPTCP] as const) {
    for (const [name, script] of Object.entries(SCRIPTS)) {
      const title = `${NAMES[client]} to ${NAMES[server]}, real and simulated: ${name}`;
      test(title, { skip }, async () => {
        const real = await runReally(script, client, server);
        assertEquals(runSimulated(script, client, server), real, "simulated, and real");
      });
    }
  }
}
