/**
 * Random changes of links, addresses and routes under a transfer, for a test and for a longer run:
 *
 *     deno run -A tests/path_flaps.ts 1000 SEED
 *
 * @module
 */

import process from "node:process";
import { createLab, type Lab } from "../bench/lab/lab.ts";
import { connectMptcp, listenMptcp } from "../mod.ts";
import { managePaths, MptcpPathManager } from "../src/path_manager/mod.ts";
import { addDefault, until } from "./managed_lab.ts";
import { delay } from "./sockets.ts";

/** What came of it. */
export interface Flapped {
  readonly flaps: number;
  /** Bytes of the transfer, all of them as they were sent. */
  readonly bytes: number;
  /** Words that were wrong. */
  readonly wrong: number;
  /** How often the kernel saw a mapping that contradicts another: it mixes up bytes then. */
  readonly mismatches: number;
  readonly decisions: number;
}

/** Numbers from 0 to 1 that follow from a seed: mulberry32. */
function randomNumbers(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let x = Math.imul(seed ^ seed >>> 15, 1 | seed);
    x = x + Math.imul(x ^ x >>> 7, 61 | x) ^ x;
    return ((x ^ x >>> 14) >>> 0) / 2 ** 32;
  };
}

/** Changes of path 2 of the client, each with what undoes it. */
const CHANGES:
  readonly (readonly [(lab: Lab) => Promise<unknown>, (lab: Lab) => Promise<unknown>])[] = [
    [
      ({ client }) => client.setLink(2, "down"),
      async (lab) => {
        await lab.client.setLink(2, "up");
        await addDefault(lab, 2);
      },
    ],
    [
      ({ client }) => client.run(["ip", "route", "del", "default", "dev", "path2"]),
      (lab) => addDefault(lab, 2),
    ],
    [
      ({ client }) =>
        client.run(["ip", "address", "del", `${client.address(2)}/24`, "dev", "path2"]),
      async (lab) => {
        const { client } = lab;
        await client.run(["ip", "address", "add", `${client.address(2)}/24`, "dev", "path2"]);
        await addDefault(lab, 2);
      },
    ],
  ];

/**
 * Changes the network so many times while data moves, and checks that nothing is left behind.
 *
 * @throws {Error} where an endpoint is stale or missing in the end.
 */
export async function flap(flaps: number, seed: number, linger = 50): Promise<Flapped> {
  await using lab = await createLab({
    paths: [{}, {}],
    signal: null,
    sysctls: { "net.ipv4.tcp_congestion_control": "reno" },
  });
  await addDefault(lab, 1);
  await addDefault(lab, 2);
  using paths = new MptcpPathManager({ netns: lab.client.name });
  const mismatchesBefore = await mismatches(lab);
  using managed = managePaths({ netns: lab.client.name, include: ["path*"], linger });
  using listener = listenMptcp({ netns: lab.server.name, hostname: "::" });
  const { port } = listener.addr;
  const [client, server] = await Promise.all([
    connectMptcp({
      netns: lab.client.name,
      hostname: lab.server.address(1),
      port,
      mptcp: "require",
    }),
    listener.accept(),
  ]);
  let sending = true;
  const send = async () => {
    const words = new Uint32Array(4096);
    const bytes = new Uint8Array(words.buffer);
    for (let word = 0; sending;) {
      for (let i = 0; i < words.length; i++) words[i] = word++;
      for (let sent = 0; sent < bytes.length;) sent += await client.write(bytes.subarray(sent));
      await delay(1);
    }
    await client.closeWrite();
  };
  let [total, wrong] = [0, 0];
  const receive = async () => {
    const bytes = new Uint8Array(64 * 1024 + 4);
    const words = new Uint32Array(bytes.buffer, 0, bytes.length >> 2);
    for (let rest = 0;;) {
      const count = await server.read(bytes.subarray(rest));
      if (count === null) return;
      const whole = (rest + count) >> 2;
      const first = (total - rest) / 4;
      for (let i = 0; i < whole; i++) if (words[i] !== (first + i) >>> 0) wrong++;
      total += count;
      bytes.copyWithin(0, 4 * whole, rest + count);
      rest = (rest + count) % 4;
    }
  };
  const transfer = Promise.all([send(), receive()]);

  const random = randomNumbers(seed);
  for (let i = 0; i < flaps; i++) {
    const [change, undo] = CHANGES[Math.floor(random() * CHANGES.length)]!;
    await change(lab);
    await delay(random() * 2 * linger);
    await undo(lab);
    await delay(random() * linger);
  }
  const addresses = [1, 2].map((path) => lab.client.address(path));
  const own = () =>
    paths.endpoints().map(({ address }) => address).filter((address) => !address.includes(":"));
  const isRight = () => own().toSorted().join() === addresses.join();
  await until("an endpoint for each path", isRight, () => [own(), managed.state().paths]);
  sending = false;
  await transfer;
  client.close();
  server.close();
  const decisions = managed.decisions().length;
  managed.close();
  if (paths.endpoints().length > 0) throw new Error("Endpoints are left behind");
  return {
    flaps,
    bytes: total,
    wrong,
    mismatches: await mismatches(lab) - mismatchesBefore,
    decisions,
  };
}

async function mismatches({ server }: Lab): Promise<number> {
  const text = await server.run(["cat", "/proc/net/netstat"]);
  const [names, values] = text.split("\n").filter((line) => line.startsWith("MPTcpExt"))
    .map((line) => line.split(" "));
  return Number(values![names!.indexOf("DSSNotMatching")] ?? 0);
}

const [, file, count, seed] = process.argv;
if (file?.endsWith("path_flaps.ts")) console.log(await flap(Number(count), Number(seed ?? 1)));
