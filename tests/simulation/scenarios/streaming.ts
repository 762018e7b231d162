/**
 * Connections as web streams: echoed by a pipe, transformed, aborted, cancelled.
 *
 * @module
 */

import { listenMptcp } from "../../../mod.ts";
import type { MptcpConn } from "../../../src/types.ts";
import { pattern } from "../bytes.ts";
import type { Simulation } from "../simulation.ts";
import { ADDRESSES, largestStream, must, Peer, retry } from "./support.ts";

const SALT = 55;

/** See the module's documentation. */
export async function streaming(simulation: Simulation): Promise<void> {
  const { random } = simulation;
  // A stream fails for good where a call fails for lack of memory.
  simulation.kernel.faults = { ...simulation.kernel.faults, ENOBUFS: 0 };
  const ip = random.pick(ADDRESSES);
  const listener = await retry(simulation, () => listenMptcp({ hostname: ip }));
  const peer = Peer.connect(simulation, { ip, port: listener.addr.port }, random.percent(70));
  const conn = await retry(simulation, () => listener.accept());
  listener.close();
  const kind = random.pick(["echo", "echo", "transformed", "abort", "cancel", "closed", "reset"]);
  if (kind === "echo" || kind === "transformed") {
    await echo(simulation, conn, peer, kind === "transformed");
  } else {
    await breakOff(simulation, conn, peer, kind);
  }
  peer.close();
  must(conn.fd === -1, "the streams have left the connection open");
}

async function echo(
  simulation: Simulation,
  conn: MptcpConn,
  peer: Peer,
  isTransformed: boolean,
): Promise<void> {
  const { random } = simulation;
  const total = random.int(0, largestStream(simulation));
  const signal = random.percent(20) ? new AbortController().signal : undefined;
  const readable = isTransformed
    ? conn.readable.pipeThrough(new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array>())
    : conn.readable;
  const piping = readable.pipeTo(conn.writable, signal && { signal });
  const receiving = peer.receive(SALT);
  must(await peer.send(pattern(SALT, 0, total)), "the connection broke off");
  peer.shutdown();
  await piping;
  const received = await receiving;
  must(received === total, `${received} of ${total} bytes came back`);
}

async function breakOff(
  simulation: Simulation,
  conn: MptcpConn,
  peer: Peer,
  kind: string,
): Promise<void> {
  const { random, world } = simulation;
  const outcomes: Promise<unknown>[] = [];
  const writer = conn.writable.getWriter();
  writer.closed.catch(() => {});
  const reader = conn.readable.getReader();
  reader.closed.catch(() => {});
  const settled = (promise: Promise<unknown>) => outcomes.push(promise.catch((error) => error));
  settled(reader.read());
  if (random.percent(70)) settled(writer.write(pattern(SALT, 0, random.pick([1, 100_000]))));
  if (random.percent(50)) peer.sock.send(pattern(SALT, 0, 50));
  await world.delay(random.int(0, 100) / 50);
  if (kind === "abort") settled(writer.abort("enough"));
  else if (kind === "cancel") settled(reader.cancel("enough"));
  else if (kind === "closed") conn[Symbol.dispose]();
  else peer.reset();
  await Promise.all(outcomes);
  if (conn.fd >= 0) {
    // What a reset has not ended yet the next read or write does.
    await reader.read().catch(() => {});
    await writer.abort("done").catch(() => {});
    conn[Symbol.dispose]();
  }
}
