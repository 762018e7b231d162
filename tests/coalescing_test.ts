import { assert, assertEquals, assertRejects } from "@std/assert";
import { nextTurn } from "../ffi/turn.ts";
import { Coalescing } from "../src/coalescing.ts";
import { reactor } from "../src/reactor.ts";
import type { MptcpConn } from "../mod.ts";
import { test } from "./harness.ts";
import { bytesOf, connectedPair, LOOPBACKS, readUpTo } from "./sockets.ts";

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

/** Sends small messages one way until the reader lets them gather; gives how many bytes. */
async function streamUntilDue(from: MptcpConn, to: MptcpConn): Promise<number> {
  const buf = new Uint8Array(1024);
  let sent = 0;
  let received = 0;
  while (!reactor().coalescing.isDue) {
    const reading = to.read(buf);
    // What is sent is of this thread too, and would count.
    reactor().coalescing.onRead(100, 1024);
    if (sent === received) sent += await from.write(bytesOf("message"));
    received += (await reading)!;
    for (let i = 0; i < 70; i++) reactor().coalescing.onRead(100, 1024);
    await new Promise<void>((resolve) => nextTurn(resolve));
  }
  assertEquals(received, sent);
  return received;
}

for (const hostname of LOOPBACKS) {
  test(`whoever sends does not wait for data to gather over ${hostname}`, async () => {
    using pair = await connectedPair({ hostname });
    for (let i = 0; i < 20; i++) {
      await streamUntilDue(pair.server, pair.client);
      const echo = readUpTo(pair.client, 4);
      const request = readUpTo(pair.server, 4);
      await pair.client.write(bytesOf("ping"));
      assertEquals(await request, bytesOf("ping"));
      await pair.server.write(bytesOf("pong"));
      assertEquals(await echo, bytesOf("pong"));
    }
  });

  test(`a connection closes while data gathers over ${hostname}`, async () => {
    using pair = await connectedPair({ hostname });
    await streamUntilDue(pair.server, pair.client);
    const reading = pair.client.read(new Uint8Array(1024));
    await new Promise<void>((resolve) => nextTurn(resolve));
    pair.client.close();
    await assertRejects(() => reading, Error, "operation canceled");
  });
}
