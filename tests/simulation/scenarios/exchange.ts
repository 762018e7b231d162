/**
 * Connections that carry a stream each way, to the end, whatever calls and paths do meanwhile.
 *
 * @module
 */

import { connectMptcp, listenMptcp } from "../../../mod.ts";
import type { MptcpConn } from "../../../src/types.ts";
import type { Simulation } from "../simulation.ts";
import {
  ADDRESSES,
  drawStyle,
  largestStream,
  must,
  receiveStream,
  retry,
  sendStream,
} from "./support.ts";

const UP = 11;
const DOWN = 22;

/** See the module's documentation. */
export async function exchange(simulation: Simulation): Promise<void> {
  const { random } = simulation;
  const hostname = random.pick(ADDRESSES);
  const modes = ["prefer", "prefer", "off"] as const;
  const listener = await retry(
    simulation,
    () => listenMptcp({ hostname, mptcp: random.pick(modes) }),
  );
  const { port } = listener.addr;
  const count = random.pick([1, 1, 1, 2]);
  const sizes = Array.from({ length: count }, () => ({ up: size(), down: size() }));
  /** By the port of the client: what its server has to know, once the client has told. */
  const known = new Map<number, PromiseWithResolvers<number>>();

  function downOf(port: number): PromiseWithResolvers<number> {
    const there = known.get(port) ?? Promise.withResolvers<number>();
    known.set(port, there);
    return there;
  }

  function size(): number {
    const most = largestStream(simulation);
    return random.pick([0, 1, random.int(0, most), most]);
  }

  async function serve(conn: MptcpConn): Promise<number> {
    return await carry(conn, DOWN, await downOf(conn.remoteAddr.port).promise, UP);
  }

  async function carry(conn: MptcpConn, salt: number, total: number, other: number) {
    if (random.percent(20)) conn.unref();
    const style = drawStyle(simulation);
    const [received] = await Promise.all([
      receiveStream(simulation, conn, other, style),
      sendStream(simulation, conn, salt, total, style),
    ]);
    simulation.assertTruth(conn);
    if (conn.fd >= 0) conn.close();
    return received;
  }

  async function acceptAll(): Promise<number[]> {
    const running: Promise<number>[] = [];
    while (running.length < count) {
      running.push(serve(await retry(simulation, () => listener.accept())));
    }
    return await Promise.all(running);
  }

  async function connect({ up, down }: { up: number; down: number }): Promise<void> {
    const conn = await retry(
      simulation,
      () => connectMptcp({ hostname, port, mptcp: random.pick(modes) }),
    );
    downOf(conn.localAddr.port).resolve(down);
    const received = await carry(conn, UP, up, DOWN);
    must(received === down, `${received} of ${down} bytes came down`);
  }

  const [received] = await Promise.all([acceptAll(), ...sizes.map(connect)]);
  const expected = sizes.map(({ up }) => up).sort();
  must(String([...received].sort()) === String(expected), `${received} instead of ${expected} up`);
  listener.close();
}
