/**
 * One end of a bulk transfer on this module: `transfer.c` in TypeScript, with the same arguments, for
 * Deno and for Bun.
 *
 * @module
 */

import process from "node:process";
import { connectMptcp, listenMptcp, type MptcpConn, type MptcpListener } from "../../mod.ts";
import { SOL_SOCKET } from "../../ffi/linux/abi.ts";
import { setIntOption } from "../../src/poll/socket.ts";
import type { Received, Sent, SubflowBytes, Wrong } from "./results.ts";

const BLOCK = 256 * 1024;
/** Milliseconds. */
const SAMPLE_INTERVAL = 50;
/** Raises the receive buffer at once to twice its value, which stays when it is put back. */
const SO_RCVLOWAT = 18;

/** The bytes of the buffer, and of a word that a read has cut. */
const bytes = new Uint8Array(new ArrayBuffer(BLOCK + 4));
const words = new Uint32Array(bytes.buffer);

const [mode, protocol, seconds, ...rest] = process.argv.slice(2);
const mptcp = protocol === "mptcp" ? "require" : "off";
const limit = Number(seconds) * 1000;

function print(line: unknown): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** The CPU time since `began`, in seconds. */
function cpuSince(began: ReturnType<typeof process.cpuUsage>): { user: number; system: number } {
  const { user, system } = process.cpuUsage(began);
  return { user: user / 1e6, system: system / 1e6 };
}

function listen(lowat: number): MptcpListener {
  const listener = listenMptcp({ hostname: "::", port: 0, mptcp });
  if (lowat > 0) {
    setIntOption(listener.fd, SOL_SOCKET, SO_RCVLOWAT, lowat);
    setIntOption(listener.fd, SOL_SOCKET, SO_RCVLOWAT, 1);
  }
  return listener;
}

/** The subflows that a connection has had, and samples of what came by each. */
class Samples {
  readonly #conn: MptcpConn;
  readonly #subflows: Map<string, SubflowBytes> = new Map();
  readonly taken: number[][] = [];

  constructor(conn: MptcpConn) {
    this.#conn = conn;
  }

  take(at: number, total: number): void {
    for (const { localAddr, remoteAddr, tcp } of this.#conn.subflows()) {
      const key = `${localAddr.hostname} ${remoteAddr.hostname} ${remoteAddr.port}`;
      const count = { local: localAddr.hostname, remote: remoteAddr.hostname };
      this.#subflows.set(key, { ...count, bytes: Number(tcp.bytesReceived ?? 0) });
    }
    this.taken.push([at, total, ...this.subflows.map(({ bytes }) => bytes)]);
  }

  get subflows(): SubflowBytes[] {
    return [...this.#subflows.values()];
  }
}

async function receive(lowat: number): Promise<void> {
  const listener = listen(lowat);
  print({ port: listener.addr.port });
  const conn = await listener.accept();
  const spoken = conn.protocol;
  const samples = new Samples(conn);
  const cpu = process.cpuUsage();
  let [total, measured, began, last, gap, gapAt] = [0, 0, 0, 0, 0, 0];
  let timer;
  for (;;) {
    const cut = total % 4;
    const count = await conn.read(bytes.subarray(cut, cut + BLOCK));
    if (count === null) break;
    if (total === 0) {
      began = performance.now();
      print({ started: Date.now() });
      timer = setInterval(() => samples.take(performance.now() - began, total), SAMPLE_INTERVAL);
    }
    const at = performance.now() - began;
    if (at <= limit) {
      if (at - last > gap) [gap, gapAt] = [at - last, last];
      measured += count;
    }
    last = at;
    const whole = (cut + count) >>> 2;
    checkWords((total - cut) / 4, whole);
    total += count;
    words[0] = words[whole]!;
  }
  clearInterval(timer);
  const end = performance.now() - began;
  samples.take(end, total);
  const result: Received = {
    bytes: total,
    measuredBytes: measured,
    seconds: Math.min(end, limit) / 1000,
    longestGap: gap,
    longestGapAt: gapAt,
    wrong,
    protocol: spoken,
    ...cpuSince(cpu),
    subflows: samples.subflows,
    samples: samples.taken,
  };
  print(result);
}

let wrong: Wrong | null = null;

/** Compares what has come with what was sent there. */
function checkWords(first: number, count: number): void {
  for (let i = 0; i < count; i++) {
    const word = (first + i) >>> 0;
    if (words[i] === word) continue;
    const begun: Wrong = wrong ?? { offset: 4 * word, found: 4 * words[i]!, words: 0, last: 0 };
    wrong = { ...begun, words: begun.words + 1, last: 4 * word };
  }
}

async function send(hostname: string, port: number): Promise<void> {
  const conn = await connectMptcp({ hostname, port, mptcp });
  const cpu = process.cpuUsage();
  const block = bytes.subarray(0, BLOCK);
  const began = performance.now();
  let total = 0;
  while (performance.now() - began < limit) {
    for (let i = 0, first = total / 4; i < BLOCK / 4; i++) words[i] = first + i;
    let sent = await conn.write(block);
    while (sent < BLOCK) sent += await conn.write(block.subarray(sent));
    total += BLOCK;
  }
  const spoken = conn.protocol;
  await conn.closeWrite();
  if (await conn.read(block) !== null) throw new Error("The receiver did not end the connection");
  const result: Sent = { bytes: total, protocol: spoken, ...cpuSince(cpu) };
  print(result);
}

// Whoever started this may be no more, and the other end too.
setTimeout(() => process.exit(1), limit + 60_000);
if (mode === "receive") await receive(Number(rest[0]));
else if (mode === "send") await send(rest[0]!, Number(rest[1]));
else throw new TypeError("transfer.ts receive|send tcp|mptcp SECONDS ...; see transfer.c");
process.exit(0);
