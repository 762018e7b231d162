import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { release } from "node:os";
import {
  MPTCP_INFO,
  mptcp_info,
  MPTCP_SUBFLOW_ADDRS,
  mptcp_subflow_addrs,
  mptcp_subflow_data,
  SOL_MPTCP,
} from "../ffi/linux/abi.ts";
import { ERRNO } from "../ffi/linux/errno.ts";
import { libc } from "../ffi/runtime.ts";
import { mptcpSupport } from "../mod.ts";
import { decodeMptcpInfo } from "../src/kernel/info.ts";
import type { MptcpInfo } from "../src/kernel/info_types.ts";
import { stubLibc } from "./faults.ts";
import { test } from "./harness.ts";
import { bytesOf, connectedPair, LOOPBACKS, readUpTo } from "./sockets.ts";

const noMptcp = mptcpSupport().fallback?.detail ?? null;

/** `struct mptcp_info` of Linux 6.18: where each member is and how long. */
const MEMBERS: readonly (readonly [name: keyof MptcpInfo, offset: number, bytes: 1 | 4 | 8])[] = [
  ["subflows", 0, 1],
  ["addAddrSignal", 1, 1],
  ["addAddrAccepted", 2, 1],
  ["subflowsMax", 3, 1],
  ["addAddrSignalMax", 4, 1],
  ["addAddrAcceptedMax", 5, 1],
  ["flags", 8, 4],
  ["token", 12, 4],
  ["writeSeq", 16, 8],
  ["sndUna", 24, 8],
  ["rcvNxt", 32, 8],
  ["localAddrUsed", 40, 1],
  ["localAddrMax", 41, 1],
  ["csumEnabled", 42, 1],
  ["retransmits", 44, 4],
  ["bytesRetrans", 48, 8],
  ["bytesSent", 56, 8],
  ["bytesReceived", 64, 8],
  ["bytesAcked", 72, 8],
  ["subflowsTotal", 80, 1],
  ["endpLaminarMax", 81, 1],
  ["endpFullmeshMax", 82, 1],
  ["lastDataSent", 84, 4],
  ["lastDataRecv", 88, 4],
  ["lastAckRecv", 92, 4],
];

/** What a number would round. */
const SEQUENCE_NUMBERS: ReadonlySet<string> = new Set(["writeSeq", "sndUna", "rcvNxt"]);

/** The members that a struct of that length has. */
function membersWithin(length: number): string[] {
  return MEMBERS.filter(([, offset, bytes]) => offset + bytes <= length).map(([name]) => name);
}

function definedMembers(info: MptcpInfo): string[] {
  return Object.entries(info).filter(([, value]) => value !== undefined).map(([name]) => name);
}

test("what a struct mptcp_info of any length covers is read, and nothing else", () => {
  const bytes = new Uint8Array(mptcp_info.size).fill(0xff);
  for (let length = 0; length <= bytes.length; length++) {
    assertEquals(definedMembers(decodeMptcpInfo(bytes.slice(0, length))), membersWithin(length));
  }
  assertEquals(membersWithin(mptcp_info.size).length, MEMBERS.length);
});

test("every member of a struct mptcp_info is read from its place, little-endian", () => {
  const structs = fc.uint8Array({ minLength: mptcp_info.size, maxLength: mptcp_info.size });
  fc.assert(fc.property(structs, (bytes) => {
    const info = decodeMptcpInfo(bytes);
    for (const [name, offset, length] of MEMBERS) {
      const digits = [...bytes.subarray(offset, offset + length)].reverse();
      const value = BigInt(
        `0x${digits.map((byte) => byte.toString(16).padStart(2, "0")).join("")}`,
      );
      const read = info[name];
      if (name === "flags") {
        const flags = { fallback: (value & 1n) !== 0n, remoteKeyReceived: (value & 2n) !== 0n };
        assertEquals(read, flags as typeof read);
      } else if (name === "csumEnabled") {
        assertEquals(read, value !== 0n);
      } else {
        assertEquals(
          typeof read === "string" ? BigInt(read) : read,
          SEQUENCE_NUMBERS.has(name) ? value : Number(value),
          name,
        );
      }
    }
  }));
});

test("a struct mptcp_info that is longer than the known one, or lies anywhere, is read alike", () => {
  const structs = fc.uint8Array({ minLength: mptcp_info.size, maxLength: 512 });
  fc.assert(fc.property(structs, fc.nat(64), (bytes, offset) => {
    const known = decodeMptcpInfo(bytes.slice(0, mptcp_info.size));
    assertEquals(decodeMptcpInfo(bytes), known);
    const moved = new Uint8Array(offset + bytes.length);
    moved.set(bytes, offset);
    assertEquals(decodeMptcpInfo(moved.subarray(offset)), known);
  }));
});

/** The fill of buffers that the kernel is to write to: what it leaves alone stays this. */
const CANARY = 0xa5;

interface Answer {
  readonly result: number;
  readonly length: number;
  readonly buf: Uint8Array;
}

/** `getsockopt` with a length of the caller's choice, into a buffer that is long enough for any. */
function askKernel(fd: number, optname: number, length: number, head: number[] = []): Answer {
  const buf = new Uint8Array(8192).fill(CANARY);
  new Uint32Array(buf.buffer).set(head);
  const optlen = new Uint32Array([length]);
  const result = libc().getsockopt(fd, SOL_MPTCP, optname, buf, optlen);
  return { result, length: optlen[0]!, buf };
}

test(
  "the kernel cuts MPTCP_INFO to any length, and never writes beyond it",
  { skip: noMptcp },
  async () => {
    for (const hostname of LOOPBACKS) {
      using pair = await connectedPair({ hostname }, { mptcp: "require" });
      for (const { fd } of [pair.client, pair.server]) {
        const whole = askKernel(fd, MPTCP_INFO, 4096).length;
        for (const length of [0, 1, 4, 48, whole - 1, whole, whole + 1, 4096, 0xffffffff]) {
          const answer = askKernel(fd, MPTCP_INFO, length);
          assertEquals([answer.result, answer.length], [0, Math.min(length, whole)]);
          assert(answer.buf.subarray(answer.length).every((byte) => byte === CANARY));
          const info = decodeMptcpInfo(answer.buf.subarray(0, answer.length));
          assertEquals(definedMembers(info), membersWithin(answer.length));
          if (info.flags) assertEquals(info.flags, { fallback: false, remoteKeyReceived: true });
        }
      }
    }
  },
);

/** `struct mptcp_info` has grown up to Linux 6.10. */
function olderKernel(): string | null {
  const [major, minor] = release().split(".").map(Number) as [number, number];
  return major > 6 || (major === 6 && minor >= 10) ? null : `Linux ${major}.${minor} knows less`;
}

test("the running kernel's MPTCP_INFO covers every member that is read", {
  skip: noMptcp ?? olderKernel(),
}, async () => {
  using pair = await connectedPair({}, { mptcp: "require" });
  assert(askKernel(pair.client.fd, MPTCP_INFO, 4096).length >= mptcp_info.size);
  assertEquals(definedMembers(pair.client.info()!), membersWithin(mptcp_info.size));
});

test(
  "MPTCP_INFO counts the bytes that were moved",
  { skip: noMptcp ?? olderKernel() },
  async () => {
    using pair = await connectedPair({}, { mptcp: "require" });
    const { client, server } = pair;
    const before = { client: client.info()!, server: server.info()! };
    assertEquals(before.client.writeSeq, before.server.rcvNxt);
    assertEquals(before.client.rcvNxt, before.server.writeSeq);
    await client.write(bytesOf("fifteen bytes.."));
    await readUpTo(server, 15);
    // The answer carries the acknowledgement.
    await server.write(bytesOf("four"));
    await readUpTo(client, 4);
    const sent = client.info()!;
    assertEquals(BigInt(sent.writeSeq!), BigInt(before.client.writeSeq!) + 15n);
    assertEquals(BigInt(sent.sndUna!), BigInt(before.client.sndUna!) + 15n);
    assertEquals(BigInt(sent.rcvNxt!), BigInt(before.client.rcvNxt!) + 4n);
    assertEquals([sent.bytesSent, sent.bytesReceived, sent.bytesAcked], [15, 4, 15]);
    const received = server.info()!;
    assertEquals(BigInt(received.rcvNxt!), BigInt(before.server.rcvNxt!) + 15n);
    assertEquals([received.bytesSent, received.bytesReceived], [4, 15]);
    assert(sent.subflowsTotal! >= 1 && received.subflowsTotal! >= 1);
  },
);

test("what an older kernel leaves out of MPTCP_INFO is undefined", { skip: noMptcp }, async () => {
  using pair = await connectedPair({}, { mptcp: "require" });
  const { getsockopt } = libc();
  for (const length of [40, 44, 48, 80, 81, 88]) {
    using _ = stubLibc({
      getsockopt(fd, level, optname, optval, optlen) {
        if (level === SOL_MPTCP && optname === MPTCP_INFO) {
          optlen[0] = Math.min(optlen[0]!, length);
        }
        return getsockopt(fd, level, optname, optval, optlen);
      },
    });
    assertEquals(definedMembers(pair.client.info()!), membersWithin(length));
    assertEquals(pair.client.protocol, "mptcp");
  }
});

test(
  "the kernel refuses a header of MPTCP_SUBFLOW_ADDRS that is wrong",
  { skip: noMptcp },
  async () => {
    using pair = await connectedPair({}, { mptcp: "require" });
    const { size } = mptcp_subflow_data;
    const headers: [why: string, length: number, head: number[]][] = [
      ["no size", size, [0, 0, 0, 0]],
      ["a size below the header's", size, [size - 1, 0, 0, 0]],
      ["a size above the buffer's", size, [size + 1, 0, 0, 0]],
      ["the largest size", 4096, [0xffffffff, 0, 0, 256]],
      ["subflows before there are any", size, [size, 1, 0, 0]],
      ["a size of the kernel's", size, [size, 0, 1, 0]],
      ["elements of a negative size", 4096, [size, 0, 0, 0xffffffff]],
      ["no buffer", 0, [size, 0, 0, 0]],
      ["half a buffer", size - 1, [size, 0, 0, 0]],
    ];
    for (const [why, length, head] of headers) {
      const answer = askKernel(pair.client.fd, MPTCP_SUBFLOW_ADDRS, length, head);
      assertEquals([answer.result, answer.length], [-ERRNO.EINVAL, length], why);
    }
  },
);

test("the kernel's subflow addresses are as long and as far apart as abi.ts says", {
  skip: noMptcp,
}, async () => {
  using pair = await connectedPair({}, { mptcp: "require" });
  const { size } = mptcp_subflow_data;
  const element = mptcp_subflow_addrs.size;
  const ask = (length: number, sizeUser: number) => {
    const { result, length: given, buf } = askKernel(
      pair.client.fd,
      MPTCP_SUBFLOW_ADDRS,
      length,
      [size, 0, 0, sizeUser],
    );
    return [result, given, ...new Uint32Array(buf.buffer, 4, 3)];
  };
  // The header alone is a count; an element is cut to what the caller has, and to what the kernel has.
  const [result, given, count] = ask(size, 0) as [number, number, number];
  assertEquals([result, given, count >= 1], [0, size, true]);
  assertEquals(ask(8192, element), [0, size + count * element, count, element, element]);
  assertEquals(ask(8192, 28), [0, size + count * 28, count, element, 28]);
  assertEquals(ask(8192, 4096), [0, size + count * element, count, element, element]);
  assertEquals(ask(size + element - 1, element), [0, size, count, element, element]);
});
