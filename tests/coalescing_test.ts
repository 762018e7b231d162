import { assert, assertEquals, assertRejects } from "@std/assert";
import { libc } from "../ffi/runtime.ts";
import { nextTurn } from "../ffi/turn.ts";
import { Coalescing } from "../src/poll/coalescing.ts";
import { reactor } from "../src/poll/reactor.ts";
import { resetOnClose } from "../src/poll/socket.ts";
import type { MptcpConn } from "../mod.ts";
import { test } from "./harness.ts";
import { bytesOf, connectedPair, LOOPBACKS } from "./sockets.ts";

/** As many small reads as it takes to be due, with nothing between them. */
function becomeDue(coalescing: Coalescing): void {
  for (let i = 0; i < 1000 && !coalescing.isDue; i++) coalescing.onRead(100, 1024);
  assert(coalescing.isDue);
}

test("data gathers after many small reads in a row, until something else is done", () => {
  const coalescing = new Coalescing();
  for (let i = 0; i < 10_000; i++) {
    coalescing.onRead(100, 1024);
    if (i % 50 === 49) coalescing.reset();
    assert(!coalescing.isDue);
  }
  becomeDue(coalescing);
  coalescing.reset();
  assert(!coalescing.isDue);
});

test("data does not gather where reads are large or fill their buffers", () => {
  const coalescing = new Coalescing();
  for (const [count, length] of [[100, 100], [50_000, 65_536]] as const) {
    for (let i = 0; i < 1000; i++) coalescing.onRead(count, length);
    assert(!coalescing.isDue);
    becomeDue(coalescing);
    coalescing.onRead(count, length);
    assert(!coalescing.isDue);
  }
});

test("a pause may bring more than a read is without one, but not nothing", () => {
  const coalescing = new Coalescing();
  becomeDue(coalescing);
  coalescing.onPause();
  coalescing.onLook(true, true);
  coalescing.onRead(50_000, 65_536);
  assert(coalescing.isDue);
  coalescing.onPause();
  coalescing.onLook(true, false);
  assert(!coalescing.isDue);
});

test("data does not gather where packets are far apart", () => {
  const coalescing = new Coalescing();
  for (let i = 0; i < 10_000; i++) {
    coalescing.onRead(100, 1024);
    coalescing.onSlept(0.05);
    if (i % 20 === 19) coalescing.onSlept(1);
    assert(!coalescing.isDue);
  }
});

test("pauses end now and then, to see whether packets come as often still", () => {
  const coalescing = new Coalescing();
  becomeDue(coalescing);
  let pauses = 0;
  for (; coalescing.isDue && pauses < 1000; pauses++) coalescing.onPause();
  assert(!coalescing.isDue && pauses > 10, `${pauses} pauses`);
});

const turn = () => new Promise<void>((resolve) => nextTurn(resolve));

/** A read that waits while data gathers. */
async function readGathering(conn: MptcpConn): Promise<{ answer: Promise<number | null> }> {
  const answer = conn.read(new Uint8Array(1024));
  becomeDue(reactor().pace.coalescing);
  await turn();
  await turn();
  return { answer };
}

/** Times of the same thing done again and again, in milliseconds, shortest first. */
async function timesOf(action: () => Promise<void>): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < 20; i++) {
    const start = performance.now();
    await action();
    times.push(performance.now() - start);
  }
  return times.toSorted((a, b) => a - b);
}

/** Sends past this module, as another process would. */
function sendUnseen({ fd }: MptcpConn, bytes: Uint8Array): void {
  assertEquals(libc().send(fd, bytes, bytes.byteLength, 0), bytes.byteLength);
}

for (const hostname of LOOPBACKS) {
  test(`data that only comes in over ${hostname} gathers for a millisecond`, async () => {
    using pair = await connectedPair({ hostname });
    const times = await timesOf(async () => {
      const { answer } = await readGathering(pair.client);
      sendUnseen(pair.server, bytesOf("news"));
      assertEquals(await answer, 4);
    });
    assert(times[10]! > 0.5, `${times}`);
  });

  test(`whoever sends does not wait for data to gather over ${hostname}`, async () => {
    using pair = await connectedPair({ hostname });
    const times = await timesOf(async () => {
      const { answer } = await readGathering(pair.client);
      await pair.client.write(bytesOf("ping"));
      sendUnseen(pair.server, bytesOf("pong"));
      assertEquals(await answer, 4);
    });
    assert(times[0]! < 0.9, `${times}`);
  });

  test(`a connection closes while data gathers over ${hostname}`, async () => {
    using pair = await connectedPair({ hostname });
    const { answer } = await readGathering(pair.client);
    const rejected = assertRejects(() => answer, Error, "operation canceled");
    pair.client.close();
    await rejected;
  });

  test(`a peer that resets or ends is noticed while data gathers over ${hostname}`, async () => {
    using ended = await connectedPair({ hostname });
    const ending = await readGathering(ended.client);
    ended.server.close();
    assertEquals(await ending.answer, null);
    using broken = await connectedPair({ hostname });
    const breaking = await readGathering(broken.client);
    const rejected = assertRejects(() => breaking.answer, Error, "reset by peer");
    resetOnClose(broken.server.fd);
    broken.server.close();
    await rejected;
  });
}
