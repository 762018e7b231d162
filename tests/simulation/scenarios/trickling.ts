/**
 * A stream that comes in packet by packet, which makes the reactor pause, and another connection that
 * begins, asks, ends or is closed meanwhile.
 *
 * @module
 */

import { listenMptcp } from "../../../mod.ts";
import type { MptcpConn } from "../../../src/types.ts";
import { assertPattern, pattern } from "../bytes.ts";
import type { Simulation } from "../simulation.ts";
import { must, Peer, retry } from "./support.ts";

const SALT = 88;
const IP = "127.0.0.1";

/** See the module's documentation. */
export async function trickling(simulation: Simulation): Promise<void> {
  const { random } = simulation;
  const listener = await retry(simulation, () => listenMptcp({ hostname: IP }));
  const connect = async (): Promise<[MptcpConn, Peer]> => {
    const peer = Peer.connect(simulation, { ip: IP, port: listener.addr.port }, false);
    return [await retry(simulation, () => listener.accept()), peer];
  };
  const [conn, peer] = await connect();
  const [other, otherPeer] = await connect();
  const total = random.int(50, 200);
  const [received] = await Promise.all([
    receive(simulation, conn),
    trickle(simulation, peer, total),
    random.percent(70) ? ask(simulation, other, otherPeer) : Promise.resolve(),
  ]);
  must(received === total, `${received} of ${total} bytes came`);
  for (const one of [conn, other]) one[Symbol.dispose]();
  for (const one of [peer, otherPeer]) one.close();
  listener.close();
}

async function trickle({ random, world }: Simulation, peer: Peer, total: number): Promise<void> {
  const gap = random.pick([0, 0.02, 0.3, 2]);
  for (let at = 0; at < total; at++) {
    must(await peer.send(pattern(SALT, at, 1)), "the connection broke off");
    if (gap > 0 || random.percent(80)) await world.delay(gap);
  }
  peer.shutdown();
}

async function receive(simulation: Simulation, conn: MptcpConn): Promise<number> {
  const buf = new Uint8Array(64);
  // The peer reads none of these: there must be room for all in the smallest buffers.
  let answers = 3;
  for (let at = 0;;) {
    const count = await retry(simulation, () => conn.read(buf));
    if (count === null) return at;
    assertPattern(SALT, at, buf.subarray(0, count));
    at += count;
    if (simulation.random.percent(1) && answers-- > 0) {
      await retry(simulation, () => conn.write(buf.subarray(0, 1)));
    }
  }
}

async function ask(simulation: Simulation, conn: MptcpConn, peer: Peer): Promise<void> {
  const { random, world } = simulation;
  const buf = new Uint8Array(8);
  for (let i = random.int(1, 4); i > 0; i--) {
    await world.delay(random.int(0, 60) / 10);
    const waiting = retry(simulation, () => conn.read(buf));
    if (random.percent(50)) await retry(simulation, () => conn.write(buf.subarray(0, 1)));
    if (random.percent(20)) {
      // Nobody answers, and whoever waits is told of the end.
      const outcome = waiting.then(() => "read", (error) => error.code);
      conn.close();
      const code = await outcome;
      must(code === "EINTR" || code === "EBADF", `a read of a closed connection: ${code}`);
      return;
    }
    must(await peer.send(pattern(SALT, 0, 3)), "the connection broke off");
    let count = await waiting ?? 3;
    while (count < 3) count += await retry(simulation, () => conn.read(buf)) ?? 3;
  }
}
