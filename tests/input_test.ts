import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { connectMptcp, listenMptcp, MptcpError, mptcpSupport } from "../mod.ts";
import type { ConnectMptcpOptions, ListenMptcpOptions } from "../src/types.ts";
import { stubLibc } from "./faults.ts";
import { test } from "./harness.ts";
import { missingNamespaces } from "./processes.ts";

type Wrong = Record<string, unknown> | string | null | number;

/** Input that is refused before a socket is made: what, the class of the error, a part of its text. */
const WRONG: [options: Wrong, type: typeof Error, message: string][] = [
  [{ port: 70000 }, RangeError, "Invalid port (out of range): 70000"],
  [{ port: -1 }, RangeError, "Invalid port (out of range): -1"],
  [{ port: "x" }, TypeError, 'Invalid port: "x"'],
  [{ port: "" }, TypeError, 'Invalid port: ""'],
  [{ port: 1.5 }, TypeError, "Invalid port: 1.5"],
  [{ port: NaN }, TypeError, "Invalid port: NaN"],
  [{ port: 1, hostname: "" }, TypeError, "Invalid hostname: it is empty"],
  [{ port: 1, hostname: "a\0b" }, TypeError, "zero byte"],
  [{ port: 1, hostname: 7 }, TypeError, "Invalid hostname: expected a string, got 7"],
  [{ port: 1, netns: "" }, TypeError, "Invalid netns: it is empty"],
  [{ port: 1, netns: "a\0b" }, TypeError, "zero byte"],
  [{ port: 1, socketOptions: 5 }, TypeError, "Invalid socketOptions: expected an object"],
  [{ port: 1, socketOptions: { nodelay: true } }, TypeError, 'Unknown socket option "nodelay"'],
  [{ port: 1, socketOptions: { noDelay: 1 } }, TypeError, "noDelay: expected a boolean, got 1"],
  [{ port: 1, socketOptions: { sendBuffer: "big" } }, TypeError, "sendBuffer: expected an integer"],
  [
    { port: 1, socketOptions: { tos: 256 } },
    TypeError,
    "expected an integer from 0 to 255, got 256",
  ],
  [{ port: 1, socketOptions: { linger: -1 } }, TypeError, "or null"],
  [{ port: 1, socketOptions: { congestion: "" } }, TypeError, "congestion: expected a name"],
  [{ port: 1, socketOptions: { keepAlive: { idle: 0 } } }, TypeError, "whose idle is an integer"],
  ["", SyntaxError, "no host and no port"],
  ["mptcp@[::1", SyntaxError, "at character 7"],
  ["127.0.0.1:99999", SyntaxError, "port 99999 is above 65535"],
  ["127.0.0.1:80-90", SyntaxError, "one socket takes one port"],
];

const WRONG_LISTEN: typeof WRONG = [
  [{ mptcp: "yes" }, TypeError, 'expected "prefer", "require" or "off", got "yes"'],
  [{ mptcp: "require-peer" }, TypeError, 'expected "prefer", "require" or "off", got "require-p'],
  [{ tcpBacklog: -1 }, TypeError, "Invalid tcpBacklog: expected an integer of at least 0, got -1"],
  [{ reusePort: "yes" }, TypeError, 'Invalid reusePort: expected a boolean, got "yes"'],
  [{ ipv6Only: 1 }, TypeError, "Invalid ipv6Only: expected a boolean, got 1"],
];

const WRONG_CONNECT: typeof WRONG = [
  [{ port: 1, mptcp: 1 }, TypeError, '"prefer", "require", "require-peer" or "off", got 1'],
  [
    { port: 1, mptcp: "require-peer", socketOptions: { fastOpen: 1 } },
    TypeError,
    '"require-peer" does not work with socketOptions.fastOpen',
  ],
  [{}, TypeError, "Invalid port: undefined"],
  [null, TypeError, "Invalid options: expected an object or a string"],
  [5, TypeError, "Invalid options: expected an object or a string"],
  [{ port: 1, dualStack: "no" }, TypeError, "Invalid dualStack"],
  [{ port: 1, autoSelectFamily: 0 }, TypeError, "Invalid autoSelectFamily"],
  [{ port: 1, autoSelectFamilyAttemptDelay: -5 }, TypeError, "at least 0, got -5"],
  [{ port: 1, signal: {} }, TypeError, "Invalid signal: expected an AbortSignal"],
  [{ port: 1, localAddress: "localhost" }, TypeError, "is not an IP address"],
  [{ port: 1, localPort: 70000 }, RangeError, "Invalid port (out of range): 70000"],
  [{ port: 1, socketOptions: { deferAccept: 1 } }, TypeError, "only applies to listeners"],
];

/** Fails the test if a socket is made. */
function noSockets(): Disposable {
  return stubLibc({
    socket: () => {
      throw new Error("a socket was made");
    },
  });
}

for (const [options, type, message] of [...WRONG, ...WRONG_LISTEN]) {
  test(`listenMptcp(${JSON.stringify(options)}) throws a ${type.name}`, () => {
    using _ = noSockets();
    assertThrows(() => listenMptcp(options as ListenMptcpOptions), type, message);
  });
}

for (const [options, type, message] of [...WRONG, ...WRONG_CONNECT]) {
  test(`connectMptcp(${JSON.stringify(options)}) rejects with a ${type.name}`, async () => {
    using _ = noSockets();
    await assertRejects(
      () => connectMptcp(options as unknown as ConnectMptcpOptions),
      type,
      message,
    );
  });
}

test("listenMptcp(null) throws a TypeError", () => {
  assertThrows(() => listenMptcp(null as unknown as string), TypeError, "expected an object");
});

test("a port may be a text of digits, as for the runtime's own sockets", () => {
  using listener = listenMptcp({ hostname: "127.0.0.1", port: "0" as unknown as number });
  assertEquals(typeof listener.addr.port, "number");
});

test("an address may be a text", async () => {
  using listener = listenMptcp("[::1]:0");
  using other = listenMptcp("127.0.0.1:0");
  using conn = await connectMptcp(`tcp6@[::1]:${listener.addr.port}`);
  assertEquals([conn.protocol, conn.fallback?.reason], ["tcp", "off"]);
  using digits = await connectMptcp(`${other.addr.port}`);
  assertEquals(digits.remoteAddr, other.addr);
  using any = listenMptcp("*:0");
  assertEquals(any.addr.hostname, "0.0.0.0");
  using any6 = listenMptcp("mptcp6@*:0");
  assertEquals(any6.addr.hostname, "::");
});

test("an address that the machine does not have is an error that names it", () => {
  const options = { hostname: "192.0.2.1", port: 0 };
  const error = assertThrows(() => listenMptcp(options), MptcpError, "listen 192.0.2.1:0: bind");
  assertEquals([error.name, error.code], ["AddrNotAvailable", "EADDRNOTAVAIL"]);
});

test("a zone that is no interface is an error that names it", () => {
  const error = assertThrows(() => listenMptcp({ hostname: "fe80::1%none0" }), MptcpError, "none0");
  assertEquals([error.code, error.syscall], ["ENODEV", "if_nametoindex"]);
});

test("an unknown network namespace is an error that names it", async () => {
  for (const netns of ["no-such-netns", "/no/such/path"]) {
    const error = assertThrows(() => listenMptcp({ netns }), MptcpError, `"${netns}"`);
    assertEquals([error.code, error.name], ["ENOENT", "NotFound"]);
    await assertRejects(() => connectMptcp({ port: 1, netns }), MptcpError, `"${netns}"`);
    assertThrows(() => mptcpSupport({ netns }), MptcpError, `"${netns}"`);
  }
});

test("a path that is no network namespace is an error", { skip: missingNamespaces() }, () => {
  const error = assertThrows(() => listenMptcp({ netns: "/etc/hosts" }), MptcpError, "/etc/hosts");
  assertEquals([error.code, error.syscall], ["EINVAL", "setns"]);
});
