import { assert, assertEquals } from "@std/assert";
import type { MptcpConn, TcpInfo } from "../mod.ts";
import { test } from "./harness.ts";
import { connect, noPaths, SERVER, setUp, subflowsBecome } from "./path_lab.ts";
import { missingProgram } from "./processes.ts";
import { delay, readUpTo, writeAll } from "./sockets.ts";

const noSs = noPaths ?? missingProgram("ss");

/** `ss -tian` of a namespace: by both ports, the words as `mss:1448` and `rtt:0.1/0.2`. */
async function shownBySs(run: (command: string[]) => Promise<string>) {
  const lines = (await run(["ss", "-tianH"])).trimEnd().split("\n");
  const shown = new Map<string, Map<string, string>>();
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const [local, remote] = [...lines[i]!.matchAll(/:(\d+|\*)(?=\s|$)/g)].map(([, port]) => port);
    // "send 1bps" and the like have a space in place of the colon.
    const words = lines[i + 1]!.trim().replace(/ (\d+bps)/g, ":$1").split(" ");
    const entries = words.map((word) => word.split(/:(.*)/) as [string, string]);
    shown.set(`${local} ${remote}`, new Map(entries));
  }
  return shown;
}

/** The words of `ss` for what we say; it leaves out what is 0. */
function wordsOf(tcp: TcpInfo): Record<string, string> {
  const milliseconds = (microseconds: number) => `${microseconds / 1000}`;
  const words: Record<string, string | number | undefined> = {
    wscale: `${tcp.sndWscale},${tcp.rcvWscale}`,
    rto: milliseconds(tcp.rto!),
    rtt: `${milliseconds(tcp.rtt!)}/${milliseconds(tcp.rttvar!)}`,
    mss: tcp.sndMss,
    pmtu: tcp.pmtu,
    rcvmss: tcp.rcvMss,
    advmss: tcp.advmss,
    cwnd: tcp.sndCwnd,
    ssthresh: tcp.sndSsthresh! < 0x7fffffff ? tcp.sndSsthresh : undefined,
    bytes_sent: tcp.bytesSent,
    bytes_retrans: tcp.bytesRetrans,
    bytes_acked: tcp.bytesAcked,
    bytes_received: tcp.bytesReceived,
    segs_out: tcp.segsOut,
    segs_in: tcp.segsIn,
    data_segs_out: tcp.dataSegsOut,
    data_segs_in: tcp.dataSegsIn,
    pacing_rate: `${tcp.pacingRate! * 8}bps`,
    delivery_rate: tcp.deliveryRate === 0 ? undefined : `${tcp.deliveryRate! * 8}bps`,
    delivered: tcp.delivered,
    busy: tcp.busyTime === 0 ? undefined : `${Math.floor(tcp.busyTime! / 1000)}ms`,
    rcv_space: tcp.rcvSpace,
    rcv_ssthresh: tcp.rcvSsthresh,
    minrtt: milliseconds(tcp.minRtt!),
    snd_wnd: tcp.sndWnd,
    dsack_dups: tcp.dsackDups,
    retrans: tcp.totalRetrans === 0 ? undefined : `${tcp.retrans}/${tcp.totalRetrans}`,
  };
  const shown = Object.entries(words).filter(([, v]) => v !== undefined && v !== 0);
  return Object.fromEntries(shown.map(([name, value]) => [name, String(value)]));
}

test("ss shows what we say of each subflow and of the connection, field by field", {
  skip: noSs,
}, async () => {
  await using setup = await setUp({ rate: 100 });
  using ends = await connect(setup, SERVER.v6[0]);
  setup.serverPaths.addEndpoint({ address: SERVER.v6[1], signal: true });
  await subflowsBecome(ends, 2);
  await Promise.all([
    writeAll(ends.client, new Uint8Array(2 << 20)),
    readUpTo(ends.server, 2 << 20),
  ]);
  await delay(500);
  const hosts = [[ends.client, setup.lab.client], [ends.server, setup.lab.server]] as const;
  for (const [conn, host] of hosts) {
    const shown = await shownBySs((command) => host.run(command));
    for (const { localAddr, remoteAddr, tcp } of conn.subflows()) {
      const words = shown.get(`${localAddr.port} ${remoteAddr.port}`);
      assert(words !== undefined, `${localAddr.hostname} is not shown`);
      for (const [name, value] of Object.entries(wordsOf(tcp))) {
        assertEquals(words.get(name), value, `${name} of ${localAddr.hostname}`);
      }
    }
    await compareInfo(conn, (command) => host.run(command));
  }
});

/** `ss -Mian` against `info()`; it prints numbers of 32 and 64 bits in hexadecimal. */
async function compareInfo(conn: MptcpConn, run: (command: string[]) => Promise<string>) {
  const info = conn.info()!;
  const words = (await run(["ss", "-MianH", "state", "established"])).trim().split(/\s+/);
  const shown = new Map(words.map((word) => word.split(":") as [string, string]));
  const decimal = (value: number | undefined) => value === 0 ? undefined : String(value);
  const expected = {
    subflows: decimal(info.subflows),
    add_addr_signal: decimal(info.addAddrSignal),
    add_addr_accepted: decimal(info.addAddrAccepted),
    subflows_max: decimal(info.subflowsMax),
    add_addr_signal_max: decimal(info.addAddrSignalMax),
    add_addr_accepted_max: decimal(info.addAddrAcceptedMax),
    token: info.token!.toString(16),
    write_seq: BigInt(info.writeSeq!).toString(16),
    snd_una: BigInt(info.sndUna!).toString(16),
    rcv_nxt: BigInt(info.rcvNxt!).toString(16),
  };
  for (const [name, value] of Object.entries(expected)) assertEquals(shown.get(name), value, name);
  assertEquals(words.includes("remote_key"), info.flags!.remoteKeyReceived);
}
