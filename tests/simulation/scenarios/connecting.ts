/**
 * Connecting and accepting where much goes wrong: nobody listens, nobody answers, names with addresses
 * of both families, signals, backlogs that are full, listeners that close.
 *
 * @module
 */

import { connectMptcp, listenMptcp, MptcpError } from "../../../mod.ts";
import type { MptcpConn, MptcpListener } from "../../../src/types.ts";
import { BLACKHOLE, UNREACHABLE } from "../network.ts";
import type { Simulation } from "../simulation.ts";
import { isShortage, must, retry } from "./support.ts";

const REFUSING = "127.0.0.1";

/** What an attempt may fail with: the codes that its addresses can lead to. */
const FAILURES: readonly string[] = [
  "ECONNREFUSED",
  "ETIMEDOUT",
  "ENETUNREACH",
  "ENOTFOUND",
  "ECONNRESET",
];

/** See the module's documentation. */
export async function connecting(simulation: Simulation): Promise<void> {
  const { random, kernel, world } = simulation;
  const isV6 = random.percent(50);
  const listener = await retry(
    simulation,
    () =>
      listenMptcp({ hostname: isV6 ? "::1" : "127.0.0.9", tcpBacklog: random.pick([0, 1, 50]) }),
  );
  const good = isV6 ? "::1" : "127.0.0.9";
  kernel.proc.set("hosts:good", good);
  kernel.proc.set("hosts:both", random.pick([`${REFUSING} ${good}`, `${good} ${REFUSING}`]));
  kernel.proc.set("hosts:slow", `${BLACKHOLE} ${good}`);
  kernel.proc.set("hosts:many", `${UNREACHABLE} ${REFUSING} ${BLACKHOLE} ${good}`);
  kernel.proc.set("hosts:twice", `${good} ${good}`);
  kernel.proc.set("hosts:bad", `${UNREACHABLE} ${REFUSING}`);

  const accepted: MptcpConn[] = [];
  const accepting = accept(simulation, listener, accepted);
  const attempts = Array.from({ length: random.int(1, 4) }, () => attempt(simulation, listener));
  if (random.percent(20)) {
    await world.delay(random.int(0, 300));
    if (listener.fd >= 0) listener.close();
  }
  const made = (await Promise.all(attempts)).filter((conn) => conn !== null);
  if (listener.fd >= 0) listener.close();
  await accepting;
  for (const conn of [...made, ...accepted]) {
    simulation.assertTruth(conn);
    conn.close();
  }
}

async function accept(
  simulation: Simulation,
  listener: MptcpListener,
  accepted: MptcpConn[],
): Promise<void> {
  const { random, world } = simulation;
  if (random.percent(40)) await world.delay(random.int(0, 2000));
  while (listener.fd >= 0) {
    try {
      const first = listener.accept();
      if (random.percent(10)) {
        const second = listener.accept().then((conn) => void accepted.push(conn));
        const busy = await second.then(() => "accepted", (error) => error.code);
        must(busy === "EBUSY" || busy === "EBADF" || busy === "accepted" || isCode(busy), busy);
      }
      accepted.push(await first);
    } catch (error) {
      if (error instanceof MptcpError && error.code === "EBADF") return;
      if (!isShortage(error)) throw error;
      await world.delay(1);
    }
  }
}

function isCode(code: string): boolean {
  return ["EMFILE", "ENOBUFS", "ENOMEM"].includes(code);
}

async function attempt(simulation: Simulation, listener: MptcpListener): Promise<MptcpConn | null> {
  const { random, world } = simulation;
  const { port } = listener.addr;
  const host = random.pick([
    "good",
    "twice",
    "twice",
    "both",
    "slow",
    "many",
    "bad",
    "nowhere",
    BLACKHOLE,
  ]);
  const mptcp = random.pick(["prefer", "prefer", "off", "require", "require-peer"] as const);
  const controller = new AbortController();
  const isAborted = random.percent(30);
  if (isAborted) {
    const when = random.pick([0, 0.01, 1, 200, 2000]);
    world.delay(when).then(() => controller.abort("enough"));
  }
  try {
    const conn = await connectMptcp({
      hostname: host,
      port,
      mptcp,
      signal: controller.signal,
      dualStack: random.percent(50),
      autoSelectFamily: random.percent(80),
      autoSelectFamilyAttemptDelay: random.pick([0, 1, 10, 250]),
    });
    if (mptcp === "require-peer") must(conn.protocol === "mptcp", "required, and TCP");
    return conn;
  } catch (error) {
    if (error === "enough") {
      must(isAborted, "aborted by nobody");
      return null;
    }
    if (isShortage(error)) return null;
    if (!(error instanceof MptcpError)) throw error;
    if (error.code === "ERR_MPTCP_PEER") must(mptcp === "require-peer", "not required");
    else must(FAILURES.includes(error.code), `${host}: ${error.message}`);
    if (host === "good" && error.code !== "ERR_MPTCP_PEER") {
      must(listener.fd < 0 || error.code === "ETIMEDOUT", `${host}: ${error.message}`);
    }
    return null;
  }
}
