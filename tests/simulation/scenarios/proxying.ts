/**
 * The proxy between clients and backends: bytes both ways, half-closed streams, resets, backends that
 * are down, shortages, a proxy that is shut down or closed meanwhile.
 *
 * @module
 */

import { proxyMptcp } from "../../../src/proxy/mod.ts";
import type { MptcpProxy, ProxyReport } from "../../../src/proxy/types.ts";
import { pattern } from "../bytes.ts";
import type { Simulation } from "../simulation.ts";
import { largestStream, must, Peer, retry } from "./support.ts";

const UP = 66;
const DOWN = 77;
const BACK = { ip: "127.0.0.2", port: 9000 };
/** Nobody listens there. */
const DOWN_BACK = "tcp@127.0.0.3:9001";

/** See the module's documentation. */
export async function proxying(simulation: Simulation): Promise<void> {
  const { random } = simulation;
  const backend = Peer.listen(simulation, BACK, random.percent(50));
  const prefix = random.pick(["mptcp", "tcp"]);
  const back = [`${prefix}@${BACK.ip}:${BACK.port}`];
  if (random.percent(20)) back.unshift(DOWN_BACK);
  const reports: ProxyReport[] = [];
  const proxy = await retry(simulation, () =>
    proxyMptcp({
      front: `${random.pick(["mptcp", "tcp"])}@127.0.0.1:0`,
      back,
      maxConnections: random.pick([1, 100]),
      ...(random.percent(30) && { idleTimeout: 20 }),
      onClose: (report) => reports.push(report),
      onError: () => {},
    }));
  const serving = serve(simulation, backend);
  const clients = Array.from(
    { length: random.pick([1, 1, 2, 3]) },
    () => client(simulation, proxy),
  );
  if (random.percent(20)) {
    await simulation.world.delay(random.int(0, 30));
    if (random.percent(50)) proxy.close();
    else await proxy.shutdown({ timeout: random.int(0, 50) });
  }
  const outcomes = await Promise.all(clients);
  proxy.close();
  await proxy.finished;
  backend.close();
  await serving.finish();
  check(simulation, proxy, reports, outcomes, serving.outcomes);
}

/** What an end has had of a connection. */
interface Outcome {
  readonly sent: number;
  readonly isComplete: boolean;
  readonly received: number;
}

function serve(simulation: Simulation, backend: Peer) {
  const outcomes: Outcome[] = [];
  const running: Promise<void>[] = [];
  const loop = (async () => {
    while (!backend.sock.isReleased) {
      if (backend.sock.backlog.length === 0) {
        await backend.changed();
        continue;
      }
      const peer = await backend.accept();
      running.push(end(simulation, peer, DOWN, UP).then((outcome) => void outcomes.push(outcome)));
    }
  })();
  return {
    outcomes,
    async finish() {
      await loop;
      await Promise.all(running);
    },
  };
}

async function client(simulation: Simulation, proxy: MptcpProxy): Promise<Outcome> {
  const { random } = simulation;
  const { hostname: ip, port } = proxy.fronts[0]!.addr;
  const peer = Peer.connect(simulation, { ip, port }, random.percent(50));
  while (peer.sock.state === "connecting") await peer.changed();
  if (peer.sock.state === "closed") return { sent: 0, isComplete: false, received: 0 };
  return await end(simulation, peer, UP, DOWN);
}

async function end(
  simulation: Simulation,
  peer: Peer,
  salt: number,
  other: number,
): Promise<Outcome> {
  const { random, world } = simulation;
  const total = random.int(0, largestStream(simulation));
  const receiving = peer.receive(other);
  // A backend that answers once the request has ended: the end of the stream has to be passed on.
  if (salt === DOWN && random.percent(50)) await receiving;
  const breaks = random.percent(10);
  let sent = 0;
  let isComplete = true;
  while (sent < total && isComplete) {
    const chunk = pattern(salt, sent, Math.min(total - sent, random.pick([1, 100, 5000])));
    if (breaks && random.percent(30)) {
      peer.reset();
      isComplete = false;
    } else if (await peer.send(chunk)) {
      sent += chunk.byteLength;
    } else {
      isComplete = false;
    }
    if (random.percent(10)) await world.delay(random.int(0, 300) / 100);
  }
  if (isComplete) peer.shutdown();
  const received = await receiving;
  isComplete &&= peer.sock.hasEnd && peer.sock.error === 0;
  peer.close();
  return { sent, isComplete, received };
}

function check(
  simulation: Simulation,
  proxy: MptcpProxy,
  reports: readonly ProxyReport[],
  clients: readonly Outcome[],
  backends: readonly Outcome[],
): void {
  const { active, total, backends: known } = proxy.stats();
  must(active === 0, `${active} connections are still active`);
  must(reports.length === total, `${reports.length} reports of ${total} connections`);
  must(known.every(({ active }) => active === 0), "a backend still has connections");
  const closed = reports.filter(({ end }) => end === "closed");
  const sum = (outcomes: readonly Outcome[], key: "sent" | "received") =>
    outcomes.reduce((all, outcome) => all + outcome[key], 0);
  if (closed.length !== reports.length || reports.length !== clients.length) return;
  if (![...clients, ...backends].every(({ isComplete }) => isComplete)) return;
  // All went well: nothing is lost and nothing is more.
  must(
    sum(clients, "sent") === sum(backends, "received"),
    `${sum(backends, "received")} of ${sum(clients, "sent")} bytes went up`,
  );
  must(
    sum(backends, "sent") === sum(clients, "received"),
    `${sum(clients, "received")} of ${sum(backends, "sent")} bytes came down`,
  );
  const { bytesIn, bytesOut } = proxy.stats();
  must(bytesIn === sum(clients, "sent"), `bytesIn is ${bytesIn}`);
  must(bytesOut === sum(backends, "sent"), `bytesOut is ${bytesOut}`);
  void simulation;
}
