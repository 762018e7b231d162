import { assert, assertEquals } from "@std/assert";
import { mptcp_info, tcp_info } from "../ffi/linux/abi.ts";
import { mptcpSupport } from "../mod.ts";
import { mptcpCounters } from "../src/kernel/counters.ts";
import { decodeMptcpInfo } from "../src/kernel/info.ts";
import { decodeTcpInfo } from "../src/kernel/tcp_info.ts";
import { test } from "./harness.ts";
import { bytesOf, connectedPair, LOOPBACKS, readUpTo } from "./sockets.ts";

/** Where a value is not plain data: a path to it and what it is. */
function strays(value: unknown, path = ""): string[] {
  if (value === null || value === undefined) return [];
  if (typeof value === "string" || typeof value === "boolean") return [];
  if (typeof value === "number") return Number.isFinite(value) ? [] : [`${path}: ${value}`];
  if (typeof value !== "object") return [`${path}: a ${typeof value}`];
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== Array.prototype) return [`${path}: a class`];
  return Object.entries(Object.getOwnPropertyDescriptors(value)).flatMap(([name, property]) => {
    if (Array.isArray(value) && name === "length") return [];
    if (property.get !== undefined) return [`${path}.${name}: a getter`];
    return strays(property.value, `${path}.${name}`);
  });
}

/** Fails unless the value is the same after each way that programs copy and store it. */
function assertPlain(value: object): void {
  assertEquals(strays(value), []);
  assertEquals(structuredClone(value), value);
  assertEquals(Array.isArray(value) ? [...value] : { ...value }, value);
  assertEquals(JSON.stringify(JSON.parse(JSON.stringify(value))), JSON.stringify(value));
}

for (const hostname of LOOPBACKS) {
  for (const mptcp of ["prefer", "off"] as const) {
    test(`what a connection to ${hostname} tells with mptcp "${mptcp}" is plain data`, async () => {
      using pair = await connectedPair({ hostname, mptcp }, { mptcp });
      await pair.client.write(bytesOf("x"));
      await readUpTo(pair.server, 1);
      for (const end of [pair.client, pair.server]) {
        const { localAddr, remoteAddr, fallback } = end;
        assertPlain({ localAddr, remoteAddr, fallback });
        assertPlain({ info: end.info() });
        assertEquals(end.subflows().length, 1);
        assertPlain(end.subflows());
      }
    });
  }
}

test("what mptcpSupport tells is plain data", () => {
  assertPlain(mptcpSupport());
});

test("the counters are plain data", { skip: mptcpSupport().fallback?.detail ?? null }, () => {
  assertPlain(mptcpCounters({}));
});

test("structs that are all ones are plain data, and no limit of a rate is null", () => {
  const ones = (size: number) => new Uint8Array(size).fill(0xff);
  assertPlain(decodeMptcpInfo(ones(mptcp_info.size)));
  const tcp = decodeTcpInfo(ones(tcp_info.size));
  assertPlain(tcp);
  assertEquals([tcp.pacingRate, tcp.maxPacingRate], [null, null]);
});

test("a counter is exact up to 2^53, and a sequence number always", () => {
  const struct = new Uint8Array(mptcp_info.size);
  const view = new DataView(struct.buffer);
  view.setBigUint64(mptcp_info.mptcpi_bytes_sent, 2n ** 53n - 1n, true);
  view.setBigUint64(mptcp_info.mptcpi_write_seq, 0x0123456789abcdefn, true);
  const { bytesSent, writeSeq } = decodeMptcpInfo(struct);
  assertEquals([bytesSent, writeSeq], [2 ** 53 - 1, "0x0123456789abcdef"]);
  assert(BigInt(writeSeq!) === 0x0123456789abcdefn);
});
