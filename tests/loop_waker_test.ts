import { assert, assertEquals } from "@std/assert";
import {
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  epoll_event,
  EPOLLIN,
} from "../ffi/linux/abi.ts";
import { ERRNO } from "../ffi/linux/errno.ts";
import { createLoopWaker, type LoopWaker, type LoopWakerOptions } from "../ffi/guest/loop_waker.ts";
import { libc } from "../ffi/runtime.ts";
import * as forBun from "../ffi/bun/waker.ts";
import * as forDeno from "../ffi/deno/waker.ts";
import * as forNode from "../ffi/node/waker.ts";
import { assertOpenFds, openFds, runtime, test } from "./harness.ts";
import { runProgram } from "./processes.ts";
import { delay } from "./sockets.ts";

const twin = { deno: forDeno, bun: forBun, node: forNode }[runtime];
const { SETTLE_TURNS: settleTurns, watch } = twin;

/** An epoll that has an event while its eventfd is not 0. */
class Epoll implements Disposable {
  readonly epfd: number = libc().epoll_create1(EPOLL_CLOEXEC);
  readonly #eventfd: number = libc().eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

  constructor() {
    const event = new Uint8Array(epoll_event.size);
    event[epoll_event.events] = EPOLLIN;
    assertEquals(libc().epoll_ctl(this.epfd, EPOLL_CTL_ADD, this.#eventfd, event), 0);
  }

  raise(): void {
    libc().write(this.#eventfd, new Uint8Array(new BigUint64Array([1n]).buffer));
  }

  [Symbol.dispose](): void {
    libc().close(this.#eventfd);
    libc().close(this.epfd);
  }
}

function optionsFor(epoll: Epoll, wake: () => void): LoopWakerOptions {
  return { libc: libc(), epfd: epoll.epfd, wake, settleTurns, watch, onUnload: () => {} };
}

/** Runs a test with a waker, its epoll, and how often it woke. */
async function withWaker(
  body: (waker: LoopWaker, epoll: Epoll, wakes: () => number) => Promise<void>,
): Promise<void> {
  using epoll = new Epoll();
  let wakes = 0;
  const waker = await createLoopWaker(optionsFor(epoll, () => wakes++));
  assert(waker !== null);
  try {
    await body(waker, epoll, () => wakes);
  } finally {
    waker.disarm();
    waker.close();
  }
}

test("an armed waker wakes once for an event", () =>
  withWaker(async (waker, epoll, wakes) => {
    waker.arm(true);
    await delay(20);
    assertEquals(wakes(), 0);
    epoll.raise();
    while (wakes() === 0) await delay(1);
    await delay(20);
    assertEquals(wakes(), 1);
  }));

test("a waker that is armed after the event wakes for it", () =>
  withWaker(async (waker, epoll, wakes) => {
    epoll.raise();
    await delay(20);
    assertEquals(wakes(), 0);
    waker.arm(true);
    while (wakes() === 0) await delay(1);
    await delay(20);
    assertEquals(wakes(), 1);
  }));

test("a waker that was disarmed does not wake, and can be armed again", () =>
  withWaker(async (waker, epoll, wakes) => {
    waker.arm(true);
    waker.disarm();
    epoll.raise();
    await delay(20);
    assertEquals(wakes(), 0);
    for (let i = 1; i <= 50; i++) {
      waker.arm(i % 2 === 0);
      while (wakes() < i) await delay(1);
    }
    await delay(20);
    assertEquals(wakes(), 50);
  }));

test("without /proc there is no such waker, and no descriptor is left", async () => {
  const before = openFds();
  {
    using epoll = new Epoll();
    const blind = { ...libc(), open: () => -ERRNO.ENOENT };
    assertEquals(await createLoopWaker({ ...optionsFor(epoll, () => {}), libc: blind }), null);
  }
  await assertOpenFds(before);
});

test("a runtime that owns the epoll's descriptor closes it with its own", async () => {
  const { hold } = twin;
  if (hold === undefined) return;
  const before = openFds();
  {
    using epoll = new Epoll();
    let wakes = 0;
    const waker = await createLoopWaker({ ...optionsFor(epoll, () => wakes++), hold });
    assert(waker !== null);
    epoll.raise();
    waker.arm(true);
    while (wakes === 0) await delay(1);
    waker.close();
  }
  await assertOpenFds(before);
});

test("where the runtime does not read there is no such waker", async () => {
  using epoll = new Epoll();
  const unread = { ...optionsFor(epoll, () => {}), watch: (fd: number) => watch(fd, () => {}) };
  assertEquals(await createLoopWaker(unread), null);
});

/** What comes before the programs: a runtime's epoll that there is, or is not. */
const KINDS = {
  "the event loop's epoll": "",
  "a thread": `
import { libc, replaceLibc } from "./ffi/runtime.ts";
replaceLibc({ ...libc(), socketpair: () => -1 });`,
};

const WARM_UP = `
import { connectMptcp, listenMptcp } from "./mod.ts";
const listener = listenMptcp({ hostname: "127.0.0.1" });
const [client, server] = await Promise.all([
  connectMptcp({ port: listener.addr.port }),
  listener.accept(),
]);
const buf = new Uint8Array(1);
for (let i = 0; i < 40; i++) {
  setTimeout(() => client.write(buf), 2);
  await server.read(buf);
}`;

for (const [kind, prelude] of Object.entries(KINDS)) {
  test(`after many waits by ${kind} an unref'ed one still lets the process end`, async () => {
    const { status, stdout } = await runProgram(`${prelude}${WARM_UP}
    server.unref();
    server.read(buf);
    console.log("end");`);
    assertEquals([status, stdout], [0, "end\n"]);
  });

  test(`after many waits by ${kind} a wait still keeps the process alive`, async () => {
    const { status, stdout } = await runProgram(`${prelude}${WARM_UP}
    setTimeout(() => client.write(buf), 200).unref();
    await server.read(buf);
    client.close();
    console.log(await server.read(buf));
    server.close();
    listener.close();`);
    assertEquals([status, stdout], [0, "null\n"]);
  });
}
