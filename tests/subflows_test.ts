import { assert, assertEquals } from "@std/assert";
import { existsSync } from "node:fs";
import {
  MPTCP_FULL_INFO,
  mptcp_full_info,
  MPTCP_SUBFLOW_ADDRS,
  mptcp_subflow_data,
  mptcp_subflow_info,
  MPTCP_TCPINFO,
  SOL_MPTCP,
  SOL_TCP,
  TCP_INFO,
  tcp_info,
} from "../ffi/linux/abi.ts";
import { ERRNO } from "../ffi/linux/errno.ts";
import { LIBC_PATHS } from "../ffi/linux/libc.ts";
import { libc } from "../ffi/runtime.ts";
import { mptcpSupport, type Subflow, type TcpInfo } from "../mod.ts";
import { decodeTcpInfo } from "../src/kernel/tcp_info.ts";
import { stubLibc } from "./faults.ts";
import { test } from "./harness.ts";
import { CLIENT, connect, noPaths, SERVER, setUp, subflowsBecome } from "./path_lab.ts";
import { runProgram } from "./processes.ts";
import { bytesOf, connectedPair, delay, LOOPBACKS, readUpTo, writeAll } from "./sockets.ts";

const noMptcp = mptcpSupport().fallback?.detail ?? null;

/** As a kernel that does not know an option of SOL_MPTCP. */
function withoutOption(option: number): Disposable {
  const { getsockopt } = libc();
  return stubLibc({
    getsockopt: (fd, level, optname, optval, optlen) =>
      level === SOL_MPTCP && optname === option
        ? -ERRNO.EOPNOTSUPP
        : getsockopt(fd, level, optname, optval, optlen),
  });
}

/** What cannot change while nothing is sent. */
function settled({ tcp, ...subflow }: Subflow): unknown {
  const { lastDataSent: _1, lastDataRecv: _2, lastAckRecv: _3, ...rest } = tcp;
  return { ...subflow, tcp: rest };
}

test("the one subflow of a connection has its addresses and its TCP_INFO", {
  skip: noMptcp,
}, async () => {
  for (const hostname of LOOPBACKS) {
    for (const mptcp of ["require", "off"] as const) {
      using pair = await connectedPair({ hostname, mptcp });
      await pair.client.write(bytesOf("fifteen bytes.."));
      await readUpTo(pair.server, 15);
      for (const conn of [pair.client, pair.server]) {
        const { id, localAddr, remoteAddr, tcp } = conn.subflows()[0]!;
        assertEquals([conn.subflows().length, id], [1, mptcp === "off" ? undefined : 1]);
        assertEquals([localAddr, remoteAddr], [conn.localAddr, conn.remoteAddr]);
        assertEquals([tcp.state, tcp.caState], ["ESTABLISHED", "Open"]);
        assert(tcp.pmtu! >= 65535, `${tcp.pmtu}`);
        assert(tcp.rtt! > 0 && tcp.rtt! < 1_000_000, `${tcp.rtt}`);
        assert(tcp.options!.sack && tcp.options!.timestamps && tcp.options!.wscale);
      }
      assertEquals(pair.client.subflows()[0]!.tcp.bytesSent, 15);
      assertEquals(pair.server.subflows()[0]!.tcp.bytesReceived, 15);
    }
  }
});

test("a connection that has fallen back is one TCP subflow", { skip: noMptcp }, async () => {
  for (const [listen, connect] of [["off", "require"], ["prefer", "off"]] as const) {
    using pair = await connectedPair({ mptcp: listen }, { mptcp: connect });
    for (const conn of [pair.client, pair.server]) {
      const [subflow, ...more] = conn.subflows();
      assertEquals([more.length, subflow!.id], [0, undefined]);
      assertEquals(subflow!.tcp.state, "ESTABLISHED");
      assertEquals(subflow!.remoteAddr, conn.remoteAddr);
    }
  }
});

test("MPTCP_FULL_INFO and the older options say the same", { skip: noPaths }, async () => {
  await using setup = await setUp();
  using ends = await connect(setup, SERVER.v4[0]);
  setup.serverPaths.addEndpoint({ address: SERVER.v6[1], signal: true });
  await subflowsBecome(ends, 2);
  await writeAll(ends.client, new Uint8Array(100_000));
  await readUpTo(ends.server, 100_000);
  await delay(300);
  for (const conn of [ends.client, ends.server]) {
    const full = conn.subflows();
    assertEquals(full.map(({ id }) => id), [1, 2]);
    using _ = withoutOption(MPTCP_FULL_INFO);
    const older = conn.subflows();
    assertEquals(older.map(settled), full.map(({ id: _, ...subflow }) => settled(subflow)));
  }
  const addresses = ends.client.subflows().map((
    f,
  ) => [f.localAddr.hostname, f.remoteAddr.hostname]);
  assertEquals(addresses, [[CLIENT.v4[0], SERVER.v4[0]], [CLIENT.v6[1], SERVER.v6[1]]]);
});

test("more subflows than there is room for are asked for again", { skip: noPaths }, async () => {
  await using setup = await setUp();
  using ends = await connect(setup, SERVER.v4[0]);
  setup.serverPaths.addEndpoint({ address: SERVER.v4[1], signal: true });
  await subflowsBecome(ends, 2);
  const { getsockopt } = libc();
  const counts = {
    [MPTCP_FULL_INFO]: mptcp_full_info.num_subflows,
    [MPTCP_SUBFLOW_ADDRS]: mptcp_subflow_data.num_subflows,
    [MPTCP_TCPINFO]: mptcp_subflow_data.num_subflows,
  };
  for (const [option, at] of Object.entries(counts)) {
    let asked = 0;
    using _ = stubLibc({
      getsockopt(fd, level, optname, optval, optlen) {
        if (level !== SOL_MPTCP) return getsockopt(fd, level, optname, optval, optlen);
        if (optname === MPTCP_FULL_INFO && Number(option) !== optname) return -ERRNO.EOPNOTSUPP;
        const result = getsockopt(fd, level, optname, optval, optlen);
        // Says once that there are more than anybody reckons with.
        if (optname === Number(option) && ++asked === 1) {
          new DataView(optval.buffer, optval.byteOffset).setUint32(at, 20, true);
        }
        return result;
      },
    });
    const addresses = ends.client.subflows().map(({ remoteAddr }) => remoteAddr.hostname);
    assertEquals([addresses, asked], [[...SERVER.v4], 2], `option ${option}`);
  }
});

test("subflows that come or go between two questions are asked for again", {
  skip: noMptcp,
}, async () => {
  using pair = await connectedPair({}, { mptcp: "require" });
  using _ = withoutOption(MPTCP_FULL_INFO);
  const { getsockopt } = libc();
  for (const [times, expected] of [[1, 2], [3, 4], [9, 4]] as const) {
    let asked = 0;
    using _ = stubLibc({
      getsockopt(fd, level, optname, optval, optlen) {
        const result = getsockopt(fd, level, optname, optval, optlen);
        if (level === SOL_MPTCP && optname === MPTCP_TCPINFO && asked++ < times) {
          const view = new DataView(optval.buffer, optval.byteOffset);
          view.setUint32(mptcp_subflow_data.num_subflows, 0, true);
        }
        return result;
      },
    });
    assertEquals([pair.client.subflows().length, asked], [times < 4 ? 1 : 0, expected]);
  }
});

/** Canary bytes: what the kernel leaves alone stays this. */
const CANARY = 0xa5;

interface FullInfoRequest {
  length?: number;
  sizes?: Partial<Record<keyof typeof mptcp_full_info, number>>;
  pointers?: readonly [subflows: bigint, tcp: bigint];
}

const ROOM = 4096;

/** MPTCP_FULL_INFO with arguments of the caller's choice, into buffers long enough for any. */
function askFullInfo(fd: number, { length = 136, sizes = {}, pointers }: FullInfoRequest) {
  const [subflows, tcp] = [0, 1].map(() => new Uint8Array(new ArrayBuffer(ROOM)).fill(CANARY)) as [
    Uint8Array,
    Uint8Array,
  ];
  const full = new Uint8Array(ROOM);
  full.fill(CANARY, mptcp_full_info.mptcp_info);
  const view = new DataView(full.buffer);
  const defaults = { size_tcpinfo_user: 512, size_sfinfo_user: 264, size_arrays_user: 4 };
  for (const [name, size] of Object.entries({ ...defaults, ...sizes })) {
    view.setUint32(mptcp_full_info[name as keyof typeof mptcp_full_info], size, true);
  }
  const addresses = pointers ?? [libc().addressOf(subflows), libc().addressOf(tcp)];
  view.setBigUint64(mptcp_full_info.subflow_info, addresses[0], true);
  view.setBigUint64(mptcp_full_info.tcp_info, addresses[1], true);
  const optlen = new Uint32Array([length]);
  const result = libc().getsockopt(fd, SOL_MPTCP, MPTCP_FULL_INFO, full, optlen);
  const u32 = (name: keyof typeof mptcp_full_info) => view.getUint32(mptcp_full_info[name], true);
  return { result, length: optlen[0]!, u32, full, subflows, tcp };
}

function written(buf: Uint8Array): number {
  return buf.findLastIndex((byte) => byte !== CANARY) + 1;
}

function noFullInfo(): string | null {
  const [major, minor] = (mptcpSupport().kernel ?? "0.0").split(".").map(Number) as [
    number,
    number,
  ];
  const hasIt = major > 6 || (major === 6 && minor >= 5);
  return noMptcp ?? (hasIt ? null : "MPTCP_FULL_INFO is since Linux 6.5");
}

test("the kernel refuses MPTCP_FULL_INFO with wrong arguments, and writes nothing", {
  skip: noFullInfo(),
}, async () => {
  using pair = await connectedPair({}, { mptcp: "require" });
  const { fd } = pair.client;
  const bad: [why: string, request: FullInfoRequest, errno: number][] = [
    ["no buffer", { length: 0 }, ERRNO.EINVAL],
    ["half a buffer", { length: 24 }, ERRNO.EINVAL],
    ["subflows before there are any", { sizes: { num_subflows: 1 } }, ERRNO.EINVAL],
    ["a size of the kernel's tcp_info", { sizes: { size_tcpinfo_kernel: 1 } }, ERRNO.EINVAL],
    ["a size of the kernel's subflow_info", { sizes: { size_sfinfo_kernel: 1 } }, ERRNO.EINVAL],
    ["addresses of nothing", { pointers: [8n, 8n] }, ERRNO.EFAULT],
  ];
  for (const [why, request, errno] of bad) {
    const answer = askFullInfo(fd, request);
    assertEquals(answer.result, -errno, why);
    assertEquals([written(answer.subflows), written(answer.tcp)], [0, 0], why);
  }
});

test("the kernel's MPTCP_FULL_INFO has the strides that it says, and stays within the room", {
  skip: noFullInfo(),
}, async () => {
  using pair = await connectedPair({}, { mptcp: "require" });
  const { fd } = pair.client;
  const whole = askFullInfo(fd, { length: ROOM });
  assertEquals([whole.result, whole.length >= mptcp_full_info.size], [0, true]);
  const kernel = whole.u32("size_tcpinfo_kernel");
  assertEquals([whole.u32("num_subflows"), whole.u32("size_sfinfo_kernel")], [1, 264]);
  assertEquals(whole.u32("size_tcpinfo_user"), Math.min(kernel, 512));
  assert(written(whole.tcp) <= kernel && written(whole.subflows) <= mptcp_subflow_info.size);
  for (const size of [0, 1, 8, 104, kernel - 1, kernel, kernel + 8]) {
    const sizes = { size_tcpinfo_user: size, size_sfinfo_user: Math.min(size, 264) };
    const answer = askFullInfo(fd, { sizes });
    assertEquals([answer.result, answer.u32("num_subflows")], [0, 1]);
    assertEquals(answer.u32("size_tcpinfo_user"), Math.min(size, kernel));
    assert(written(answer.tcp) <= Math.min(size, kernel), `${size}`);
    assert(written(answer.subflows) <= sizes.size_sfinfo_user, `${size}`);
  }
  const counted = askFullInfo(fd, { sizes: { size_arrays_user: 0 }, pointers: [0n, 0n] });
  assertEquals([counted.result, counted.u32("num_subflows")], [0, 1]);
  assertEquals([written(counted.subflows), written(counted.tcp)], [0, 0]);
});

test("larger structs of a kernel to come are read by its strides", { skip: noPaths }, async () => {
  await using setup = await setUp();
  using ends = await connect(setup, SERVER.v4[0]);
  setup.serverPaths.addEndpoint({ address: SERVER.v4[1], signal: true });
  await subflowsBecome(ends, 2);
  const before = ends.client.subflows().map(settled);
  // Elements of 304 bytes in place of 280: each with something behind it that nobody knows yet.
  const { getsockopt } = libc();
  using _ = withoutOption(MPTCP_FULL_INFO);
  using _stub = stubLibc({
    getsockopt(fd, level, optname, optval, optlen) {
      const result = libcGetsockopt(fd, level, optname, optval, optlen);
      if (result < 0 || level !== SOL_MPTCP || optname !== MPTCP_TCPINFO) return result;
      const view = new DataView(optval.buffer, optval.byteOffset);
      const stride = view.getUint32(mptcp_subflow_data.size_user, true);
      const { size } = mptcp_subflow_data;
      optval.copyWithin(size + stride + 24, size + stride, size + 2 * stride);
      optval.fill(CANARY, size + stride, size + stride + 24);
      view.setUint32(mptcp_subflow_data.size_user, stride + 24, true);
      return result;
    },
  });
  function libcGetsockopt(...args: Parameters<typeof getsockopt>): number {
    return args[1] === SOL_MPTCP && args[2] === MPTCP_FULL_INFO
      ? -ERRNO.EOPNOTSUPP
      : getsockopt(...args);
  }
  const after = ends.client.subflows().map((subflow, i) => settled({ id: i + 1, ...subflow }));
  assertEquals(after, before);
});

test("what an older kernel leaves out of TCP_INFO is undefined, never 0", {
  skip: noMptcp,
}, async () => {
  using pair = await connectedPair({ mptcp: "off" });
  const { getsockopt } = libc();
  // The lengths of the struct of Linux 2.6, 4.1, 5.4 and 6.7.
  const known: [length: number, last: keyof TcpInfo, next?: keyof TcpInfo][] = [
    [0, "state", "state"],
    [104, "totalRetrans", "pacingRate"],
    [136, "bytesReceived", "segsOut"],
    [232, "sndWnd", "rcvWnd"],
    [tcp_info.size, "totalRtoTime"],
  ];
  for (const [length, last, next] of known) {
    using _ = stubLibc({
      getsockopt(fd, level, optname, optval, optlen) {
        if (level === SOL_TCP && optname === TCP_INFO) optlen[0] = Math.min(optlen[0]!, length);
        return getsockopt(fd, level, optname, optval, optlen);
      },
    });
    const { tcp } = pair.client.subflows()[0]!;
    if (length > 0) assert(tcp[last] !== undefined, last);
    if (next !== undefined) assertEquals(tcp[next], undefined);
  }
  assertEquals(Object.values(decodeTcpInfo(new Uint8Array(0))).every((v) => v === undefined), true);
});

test("subflows are had under --allow-ffi for the path of libc alone", {
  skip: noMptcp,
  only: { runtime: "deno", reason: "Bun has no permissions" },
}, async () => {
  const program = `
import { connectMptcp, listenMptcp } from "./mod.ts";
using listener = listenMptcp({ hostname: "127.0.0.1" });
using conn = await connectMptcp({ port: listener.addr.port });
console.log(conn.subflows()[0].id, conn.subflows()[0].tcp.state);`;
  const { stdout, stderr } = await runProgram(program, {
    permissions: ["--no-prompt", `--allow-ffi=${LIBC_PATHS.find(existsSync)}`],
  });
  assertEquals([stdout, stderr], ["1 ESTABLISHED\n", ""]);
});

for (const hostname of LOOPBACKS) {
  test(
    `a connection to ${hostname} that both ends have finished has no subflow without addresses`,
    {
      skip: noMptcp,
    },
    async () => {
      using pair = await connectedPair({ hostname });
      const ends = [pair.client, pair.server];
      await Promise.all(ends.map((end) => end.closeWrite()));
      for (const end of ends) assertEquals(await end.read(new Uint8Array(1)), null);
      for (const full of [true, false]) {
        using _ = full ? null : withoutOption(MPTCP_FULL_INFO);
        for (let i = 0; i < 50; i++) {
          for (const { remoteAddr } of ends.flatMap((end) => end.subflows())) {
            assert(remoteAddr.port !== 0 && remoteAddr.hostname === hostname, remoteAddr.hostname);
          }
          await delay(1);
        }
        if (full) assertEquals(ends.flatMap((end) => end.subflows()), []);
      }
    },
  );
}
