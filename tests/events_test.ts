import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { SO_RCVBUF, SO_RCVBUFFORCE, SOL_SOCKET } from "../ffi/linux/abi.ts";
import { ERRNO } from "../ffi/linux/errno.ts";
import type { Libc } from "../ffi/linux/libc.ts";
import { libc } from "../ffi/runtime.ts";
import { connectMptcp, listenMptcp, type MptcpConn, MptcpError, mptcpSupport } from "../mod.ts";
import { AttributeBuilder } from "../src/netlink/attributes.ts";
import { encodeMessage } from "../src/netlink/message.ts";
import type { EventStream } from "../src/path_manager/event_stream.ts";
import { decodeEvents } from "../src/path_manager/events.ts";
import { type MptcpEvent, MptcpPathManager } from "../src/path_manager/mod.ts";
import { stubLibc } from "./faults.ts";
import { assertOpenFds, openFds, settledFds, test } from "./harness.ts";
import { createNetns, missingNamespaces, runProgram } from "./processes.ts";
import { delay } from "./sockets.ts";

const skip = missingNamespaces() ?? mptcpSupport().fallback?.detail ?? null;

/** A path manager in a namespace of its own, and connections there. */
interface Setup extends Disposable {
  readonly netns: string;
  readonly paths: MptcpPathManager;
  /** Makes connections over loopback, both ends of each. */
  connect(count: number): Promise<MptcpConn[]>;
}

function setUp(label: string): Setup {
  const netns = createNetns(label);
  const paths = new MptcpPathManager({ netns: netns.name });
  const opened: MptcpConn[] = [];
  return {
    netns: netns.name,
    paths,
    async connect(count) {
      using listener = listenMptcp({ hostname: "127.0.0.1", netns: netns.name });
      const { port } = listener.addr;
      const made: MptcpConn[] = [];
      for (let i = 0; i < count; i++) {
        const connecting = connectMptcp({ port, netns: netns.name, mptcp: "require" });
        made.push(...await Promise.all([connecting, listener.accept()]));
      }
      opened.push(...made);
      return made;
    },
    [Symbol.dispose]() {
      for (const conn of opened) conn[Symbol.dispose]();
      paths.close();
      netns[Symbol.dispose]();
    },
  };
}

function bytesOfHex(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g)!, (digits) => parseInt(digits, 16));
}

test("an event of Linux 6.18 is read as the kernel meant it", () => {
  // MPTCP_EVENT_CREATED at a client, as it was received.
  const datagram = bytesOfHex(
    "540000001c000000000000000000000001010000" +
      "080001000e686c7b0600020002000000080005000a4d0101080007000a4d0102" +
      "06000900e3d0000006000a00138900000500030000000000" + "0500040000000000",
  );
  assertEquals(decodeEvents(datagram), [{
    type: "created",
    token: 0x7b6c680e,
    localAddr: { hostname: "10.77.1.1", port: 0xe3d0 },
    remoteAddr: { hostname: "10.77.1.2", port: 5001 },
    serverSide: false,
    denyJoinInitialAddr: false,
  }]);
});

/** An event as the kernel sends it. */
function eventOf(number: number, attributes: AttributeBuilder): MptcpEvent[] {
  const payload = Uint8Array.from([number, 1, 0, 0, ...attributes.build()]);
  return decodeEvents(encodeMessage({ type: 28, flags: 0, seq: 0, payload }));
}

test("the server's side is known by either attribute, and the client's by their absence", () => {
  const created = (extra: (attributes: AttributeBuilder) => AttributeBuilder) => {
    const [event] = eventOf(1, extra(new AttributeBuilder().u32(1, 5)));
    assert(event?.type === "created");
    return [event.serverSide, event.denyJoinInitialAddr];
  };
  assertEquals(created((a) => a), [false, false]);
  assertEquals(created((a) => a.u8(18, 0)), [false, false]);
  assertEquals(created((a) => a.u8(18, 1)), [true, false]);
  assertEquals(created((a) => a.u16(13, 2)), [true, false]);
  assertEquals(created((a) => a.u16(13, 1)), [false, true]);
});

test("a closed subflow says by which error and reason", () => {
  const attributes = new AttributeBuilder().u32(1, 5).u8(3, 1).u8(4, 2).u8(11, 1).u8(12, 104)
    .u32(16, 4).i32(15, 3).bytes(6, new Uint8Array([0xfd, ...new Array(14).fill(0), 1]));
  assertEquals(eventOf(11, attributes), [{
    type: "subflow-closed",
    token: 5,
    localAddr: { hostname: "fd00::1", port: undefined },
    remoteAddr: { hostname: "", port: undefined },
    localId: 1,
    remoteId: 2,
    backup: true,
    error: "ECONNRESET",
    resetReason: 4,
    interfaceIndex: 3,
  }]);
});

test("an event that is not known is told as unknown, by its number", () => {
  assertEquals(eventOf(77, new AttributeBuilder().u32(1, 5)), [
    { type: "unknown", number: 77, token: 5 },
  ]);
  assertEquals(eventOf(77, new AttributeBuilder()), [{ type: "unknown", number: 77 }]);
  // One that is known and has no token cannot be what it says.
  assertEquals(eventOf(3, new AttributeBuilder()), [{ type: "unknown", number: 3 }]);
});

test("what happens between the call and the first look is not missed", { skip }, async () => {
  using setup = setUp("first");
  using events = setup.paths.events();
  const [client] = await setup.connect(1);
  await delay(20);
  const types: string[] = [];
  for await (const event of events) {
    types.push(event.type);
    if (event.type === "created" && event.token === client!.info()!.token) break;
  }
  assertEquals(types.slice(0, 1), ["listener-created"]);
  assert(types.includes("created"));
  // Leaving the loop has ended it.
  assertEquals(await events.next(), { done: true, value: undefined });
});

test("only the events of one connection are told if one is named", { skip }, async () => {
  using setup = setUp("one");
  const [client, , other] = await setup.connect(2);
  const token = client!.info()!.token!;
  using byConn = setup.paths.events({ connection: client! });
  using byToken = setup.paths.events({ connection: other!.info()!.token! });
  client!.close();
  other!.close();
  assertEquals((await byConn.next()).value, { type: "closed", token });
  const next = (await byToken.next()).value as { type: string; token: number };
  assertEquals([next.type, next.token === token], ["closed", false]);
});

test("several waiters are served in the order of their calls", { skip }, async () => {
  using setup = setUp("order");
  using events = setup.paths.events();
  const waiting = [events.next(), events.next(), events.next()];
  await setup.connect(1);
  const types = (await Promise.all(waiting)).map(({ value }) => value!.type);
  assertEquals(types[0], "listener-created");
  assertEquals(types.length, 3);
});

test("aborting ends the wait with the signal's reason, and the descriptor", { skip }, async () => {
  using setup = setUp("abort");
  const before = await settledFds();
  const reason = new Error("enough");
  const controller = new AbortController();
  const events = setup.paths.events({ signal: controller.signal });
  const [first, second] = [events.next(), events.next()];
  controller.abort(reason);
  assertEquals(await first.catch((error) => error), reason);
  assertEquals(await second.catch((error) => error), reason);
  assertEquals(await events.next(), { done: true, value: undefined });
  assertEquals(openFds(), before);
  assertEquals(
    assertThrows(() => setup.paths.events({ signal: controller.signal }), Error),
    reason,
  );
  assertEquals(openFds(), before);
});

test("an abort while nobody waits is told to who waits next", { skip }, async () => {
  using setup = setUp("later");
  const controller = new AbortController();
  const events = setup.paths.events({ signal: controller.signal });
  controller.abort();
  const error = await assertRejects(() => events.next(), DOMException);
  assertEquals(error.name, "AbortError");
  assertEquals(await events.next(), { done: true, value: undefined });
});

test("closing ends the wait, once and for all", { skip }, async () => {
  using setup = setUp("close");
  const before = await settledFds();
  const controller = new AbortController();
  const events = setup.paths.events({ signal: controller.signal });
  assertEquals(openFds(), before + 1);
  const waiting = events.next();
  events.close();
  events.close();
  controller.abort();
  assertEquals(await waiting, { done: true, value: undefined });
  assertEquals(await events.next(), { done: true, value: undefined });
  assertEquals(await events.return(), { done: true, value: undefined });
  await assertOpenFds(before);
});

test("events go on after their path manager is closed", { skip }, async () => {
  using setup = setUp("outlive");
  const paths = new MptcpPathManager({ netns: setup.netns });
  using events = paths.events();
  paths.close();
  await setup.connect(1);
  assertEquals((await events.next()).value!.type, "listener-created");
});

test(
  "an error of the socket ends the wait with it, and leaves no descriptor",
  { skip },
  async () => {
    using setup = setUp("error");
    const before = await settledFds();
    const events = setup.paths.events();
    const { recv } = libc();
    {
      using _ = stubLibc({ recv: () => -ERRNO.ENOMEM });
      const error = await assertRejects(() => events.next(), MptcpError, "read events");
      assertEquals(error.code, "ENOMEM");
    }
    assertEquals(libc().recv, recv);
    // As a `for await` does, which closes nothing when the wait fails.
    assertEquals(await events.next(), { done: true, value: undefined });
    await assertOpenFds(before);
  },
);

test("events that come faster than they are read are told as lost, with the state after", {
  skip,
}, async () => {
  using setup = setUp("lost");
  const { paths } = setup;
  paths.addEndpoint({ address: "127.0.0.1", signal: true });
  const { setsockopt } = libc();
  using smallBuffer = stubLibc({
    setsockopt: (fd, level, optname, optval) =>
      level === SOL_SOCKET && optname === SO_RCVBUFFORCE
        ? setIntOptionBy(setsockopt, fd, SO_RCVBUF, 8192)
        : setsockopt(fd, level, optname, optval),
  });
  using events = paths.events();
  smallBuffer[Symbol.dispose]();
  const conns = await setup.connect(60);
  for (const conn of conns.splice(0, 20)) conn.close();

  const seen: MptcpEvent[] = [];
  for await (const event of events) {
    seen.push(event);
    if (event.type === "state") break;
  }
  const state = seen.pop()!;
  assertEquals(seen.pop(), { type: "lost" });
  // The events before the gap are there, and are fewer than happened.
  assert(seen.length > 5 && seen.length < 120, `${seen.length}`);
  assertEquals(seen.every(({ type }) => type !== "lost" && type !== "state"), true);
  assertEquals(seen[0]!.type, "listener-created");
  assert(state.type === "state");
  const told = new Set(state.connections.map(({ token }) => token));
  for (const conn of conns) assert(told.has(conn.info()!.token!));
  for (const { localAddr, remoteAddr } of state.connections) {
    assertEquals([localAddr.hostname, remoteAddr.hostname], ["127.0.0.1", "127.0.0.1"]);
  }
  assertEquals(state.endpoints.map(({ address }) => address), ["127.0.0.1"]);
  assertEquals(state.limits, paths.limits());
});

function setIntOptionBy(
  setsockopt: Libc["setsockopt"],
  fd: number,
  optname: number,
  value: number,
): number {
  return setsockopt(fd, SOL_SOCKET, optname, new Uint8Array(Int32Array.of(value).buffer));
}

test("after a gap the events go on", { skip }, async () => {
  using setup = setUp("on");
  using events = setup.paths.events();
  const { recv } = libc();
  const { fd } = events as unknown as EventStream;
  let failures = 2;
  using _ = stubLibc({
    recv: (...args) => args[0] === fd && failures-- > 0 ? -ERRNO.ENOBUFS : recv(...args),
  });
  assertEquals((await events.next()).value!.type, "lost");
  const { value: state } = await events.next();
  assert(state?.type === "state");
  assertEquals(state.connections, []);
  await setup.connect(1);
  assertEquals((await events.next()).value!.type, "listener-created");
});

test("an event that is waited for keeps the process alive unless it is unref'ed", {
  skip,
}, async () => {
  using setup = setUp("ref");
  const program = (call: string) => `
import { MptcpPathManager } from "./src/path_manager/mod.ts";
const events = new MptcpPathManager({ netns: "${setup.netns}" }).events();
${call}
events.next().then(() => console.log("event"));
setTimeout(() => console.log("timer"), 50);
`;
  const { stdout, status, milliseconds } = await runProgram(program("events.unref();"));
  assertEquals([stdout, status], ["timer\n", 0]);
  assert(milliseconds < 5000);
  const later = "events.unref(); events.ref(); setTimeout(() => events.close(), 300);";
  const kept = await runProgram(program(later).replace('event"', 'done"'));
  assertEquals([kept.stdout, kept.status], ["timer\ndone\n", 0]);
});
