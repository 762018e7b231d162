/**
 * Measures a cell of the grid, in a lab of its own.
 *
 * @module
 */

import { createLab, type Lab } from "../lab/lab.ts";
import { checkTransfer, goodputOf } from "./analysis.ts";
import type { Cell, CellResult } from "./grid_cells.ts";
import { commandOf, findPrograms, Peer } from "./programs.ts";
import type { Answered } from "./requests.ts";
import type { Received, Sent } from "./results.ts";

const HERE = new URL(".", import.meta.url);

/** How often each kind is measured in a cell. */
export interface Repeats {
  readonly rounds: number;
}

/** Measures by TCP on the first path, by MPTCP alone, and with the policy: in turns. */
export async function measureCell(cell: Cell, { rounds }: Repeats): Promise<CellResult> {
  const result = {
    tcp: [] as number[],
    alone: [] as number[],
    first: [] as number[],
    policy: [] as number[],
    reasons: [] as string[],
  };
  for (let round = 0; round < rounds; round++) {
    await using lab = await createCellLab(cell);
    result.tcp.push(await load(lab, cell, "tcp"));
    await addSecondPath(lab, cell);
    result.alone.push(await load(lab, cell, "mptcp"));
    await removeSecondPath(lab, cell);
    await using policy = await startPolicy(lab, cell);
    result.first.push(await load(lab, cell, "mptcp"));
    result.policy.push(await load(lab, cell, "mptcp"));
    const reasons = await policy.reasons();
    if (round === 0) result.reasons.push(...reasons);
  }
  return { ...cell, ...result };
}

function createCellLab({ rate, delays, congestion }: Cell): Promise<Lab> {
  const [first, second] = delays.split("/").map(Number);
  return createLab({
    paths: [{ rate: 100, delay: first! }, { rate, delay: second! }],
    signal: null,
    sysctls: {
      "net.ipv4.tcp_congestion_control": congestion,
      // Otherwise a transfer begins with what the one before has learnt.
      "net.ipv4.tcp_no_metrics_save": 1,
    },
  });
}

/** As the policy does it: the client opens the second subflow, or the server announces its address. */
async function addSecondPath({ client, server }: Lab, { side }: Cell): Promise<void> {
  if (side === "receiver") return await server.addEndpoint(server.address(2), "signal");
  const line = ["endpoint", "add", client.address(2), "dev", "path2", "subflow"];
  await client.run(["ip", "mptcp", ...line]);
}

async function removeSecondPath({ client, server }: Lab, { side }: Cell): Promise<void> {
  await (side === "receiver" ? server : client).flushEndpoints();
}

/** One transfer: Mbit/s, or responses a second. The client sends, and asks. */
async function load(lab: Lab, cell: Cell, protocol: "tcp" | "mptcp"): Promise<number> {
  return cell.load === "bulk"
    ? await transfer(lab, cell, protocol)
    : await requests(lab, cell, protocol);
}

async function transfer(lab: Lab, cell: Cell, protocol: "tcp" | "mptcp"): Promise<number> {
  const { program, seconds } = cell;
  const command = (await findPrograms([program])).get(program)!;
  await using receiver = new Peer(lab.server, [
    ...command,
    ...["receive", protocol, `${seconds}`, "0"],
  ]);
  const { port } = await receiver.next<{ port: number }>();
  await using sender = new Peer(lab.client, [
    ...command,
    ...["send", protocol, `${seconds}`, lab.server.address(1), `${port}`],
  ]);
  const result = sender.next<Sent>();
  await Promise.race([receiver.next(), result]);
  const [received, sent] = await Promise.all([receiver.next<Received>(), result]);
  checkTransfer(received, sent, { protocol, subflows: 1 });
  return goodputOf(received);
}

async function requests(lab: Lab, cell: Cell, protocol: "tcp" | "mptcp"): Promise<number> {
  const command = commandOf(cell.program as "deno" | "bun", new URL("requests.ts", HERE));
  const seconds = `${cell.seconds}`;
  await using server = new Peer(lab.server, [...command, "serve", protocol, seconds]);
  const { port } = await server.next<{ port: number }>();
  const { address } = { address: lab.server.address(1) };
  const ask = [...command, "ask", protocol, seconds, address, `${port}`];
  await using client = new Peer(lab.client, ask);
  const { count } = await client.next<Answered>();
  return count / cell.seconds;
}

/** A process that looks after the paths of one end. */
interface RunningPolicy extends AsyncDisposable {
  /** What it has decided so far; it is ended. */
  reasons(): Promise<string[]>;
}

async function startPolicy(lab: Lab, { side, program }: Cell): Promise<RunningPolicy> {
  const host = side === "sender" ? lab.client : lab.server;
  const runtime = program === "bun" ? "bun" : "deno";
  const command = commandOf(runtime, new URL("policy.ts", HERE));
  const role = side === "sender" ? "client" : "server";
  const peer = new Peer(host, [...command, role, "adaptive"]);
  await peer.next();
  return {
    async reasons() {
      peer.terminate();
      const lines: string[] = [];
      for (;;) {
        const line = await peer.nextOrEnd<{ action: string; device: string; reason: string }>();
        if (line === null) return lines;
        lines.push(`${line.device} ${line.action}: ${line.reason}`);
      }
    },
    [Symbol.asyncDispose]: () => peer[Symbol.asyncDispose](),
  };
}
