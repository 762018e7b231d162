/**
 * A connection whose two ends do anything at any time: read, write, end, close, reset, give away. What
 * has been promised is settled, what was read is what was sent, and an end is told only where there is one.
 *
 * @module
 */

import { connectMptcp, listenMptcp } from "../../../mod.ts";
import type { MptcpConn } from "../../../src/types.ts";
import { assertPattern, pattern } from "../bytes.ts";
import type { Simulation } from "../simulation.ts";
import type { Sock } from "../sock.ts";
import { ADDRESSES, isShortage, must, Peer, retry } from "./support.ts";

const OURS = 33;
const THEIRS = 44;

/** What a call on a connection may fail with. */
const EXPECTED: readonly string[] = [
  "EBADF",
  "EINTR",
  "ECONNRESET",
  "EPIPE",
  "ENOTCONN",
  "ERR_INTERRUPTED",
  "ERR_CLOSED",
];

/** See the module's documentation. */
export async function chaos(simulation: Simulation): Promise<void> {
  const { random } = simulation;
  const ip = random.pick(ADDRESSES);
  const [conn, peer] = await (random.percent(50) ? accepted(simulation, ip) : made(simulation, ip));
  const ours = new OurEnd(simulation, conn, simulation.kernel.sock(conn.fd)!);
  await Promise.all([ours.run(), theirEnd(simulation, peer, ours)]);
  peer.close();
  await ours.finish();
}

async function accepted(simulation: Simulation, ip: string): Promise<[MptcpConn, Peer]> {
  const { random } = simulation;
  const listener = await retry(simulation, () => listenMptcp({ hostname: ip }));
  const peer = Peer.connect(simulation, { ip, port: listener.addr.port }, random.percent(70));
  const conn = await retry(simulation, () => listener.accept());
  listener.close();
  return [conn, peer];
}

async function made(simulation: Simulation, ip: string): Promise<[MptcpConn, Peer]> {
  const { random } = simulation;
  const port = 7000;
  const listening = Peer.listen(simulation, { ip, port }, random.percent(70));
  const dualStack = random.percent(50);
  const hostname = ip;
  const conn = await retry(simulation, () => connectMptcp({ hostname, port, dualStack }));
  const peer = await listening.accept();
  // A connection that was made for a call that failed afterwards waits before it.
  let last = peer;
  while (listening.sock.backlog.length > 0) last = await listening.accept();
  listening.close();
  return [conn, last];
}

/** The end that is ours. */
class OurEnd {
  readonly conn: MptcpConn;
  readonly sock: Sock;
  written = 0;
  read = 0;
  readonly #simulation: Simulation;
  readonly #promises: Promise<void>[] = [];
  #isClosed = false;
  #isWriting = false;

  constructor(simulation: Simulation, conn: MptcpConn, sock: Sock) {
    this.#simulation = simulation;
    this.conn = conn;
    this.sock = sock;
  }

  async run(): Promise<void> {
    const { random, world } = this.#simulation;
    const actions = random.int(1, 14);
    for (let i = 0; i < actions && !this.#isClosed; i++) {
      this.#act();
      if (random.percent(60)) await world.delay(random.int(0, 100) / 100);
    }
  }

  /** Closes, and sees that everything that was promised is settled. */
  async finish(): Promise<void> {
    if (!this.#isClosed) this.#close();
    await Promise.all(this.#promises);
    must(this.conn.fd === -1, `fd is ${this.conn.fd} after closing`);
  }

  #act(): void {
    const { random } = this.#simulation;
    const action = random.pick(
      ["read", "read", "read", "write", "write", "end", "ref", "truth", "close", "detach"] as const,
    );
    if (action === "read") this.#promises.push(this.#read());
    else if (action === "write" && !this.#isWriting) this.#promises.push(this.#write());
    else if (action === "end") this.#promises.push(this.#expect(this.conn.closeWrite()));
    else if (action === "ref") {
      if (random.percent(50)) this.conn.unref();
      else this.conn.ref();
    } else if (action === "truth") this.#simulation.assertTruth(this.conn);
    else if (action === "close" && random.percent(30)) this.#close();
    else if (action === "detach" && random.percent(15)) this.#detach();
  }

  async #read(): Promise<void> {
    const { random } = this.#simulation;
    const buf = new Uint8Array(random.pick([1, 10, 3000]));
    const reading = this.conn.read(buf);
    // Whoever takes the memory away is told so, and nothing is read into it any more.
    if (random.percent(10)) structuredClone(buf.buffer, { transfer: [buf.buffer] });
    const isGone = buf.byteLength === 0;
    const count = await this.#expect(reading, isGone);
    if (count === undefined) return;
    if (count === null) {
      const { received, hasEnd, state } = this.sock;
      must(received.length === 0, `an end is told, and ${received.length} bytes are unread`);
      must(hasEnd || state === "closed", "an end is told, and there is none");
    } else {
      must(count > 0 && (isGone || count <= buf.byteLength), `a read gave ${count}`);
      if (!isGone) assertPattern(THEIRS, this.read, buf.subarray(0, count));
      this.read += count;
    }
  }

  async #write(): Promise<void> {
    const { random } = this.#simulation;
    this.#isWriting = true;
    const bytes = pattern(OURS, this.written, random.pick([1, 100, 5000]));
    const count = await this.#expect(this.conn.write(bytes));
    this.#isWriting = false;
    if (typeof count === "number") this.written += count;
  }

  #close(): void {
    this.#isClosed = true;
    this.conn.close();
  }

  #detach(): void {
    this.#isClosed = true;
    const fd = this.conn.detach();
    must(this.#simulation.kernel.sock(fd) === this.sock, "detach has given another descriptor");
    this.#simulation.kernel.close(fd);
  }

  /** The value, or `undefined` where the promise is rejected as it may be. */
  async #expect<T>(promise: Promise<T>, isGone = false): Promise<T | undefined> {
    try {
      return await promise;
    } catch (error) {
      if (isGone && error instanceof TypeError) return undefined;
      const { code } = error as { code?: string };
      if (!isShortage(error) && !EXPECTED.includes(code ?? "")) throw error;
      return undefined;
    }
  }
}

async function theirEnd(simulation: Simulation, peer: Peer, ours: OurEnd): Promise<void> {
  const { random, world } = simulation;
  let sent = 0;
  const reading = random.percent(60)
    ? peer.receive(OURS, () => {}).then((count) =>
      must(count <= ours.sock.outgoing!.sent, `${count} bytes have arrived of fewer`)
    )
    : Promise.resolve();
  const actions = random.int(0, 8);
  for (let i = 0; i < actions && peer.sock.state !== "closed"; i++) {
    const action = random.pick(["send", "send", "send", "shutdown", "close", "reset", "lose"]);
    if (action === "send" && !peer.sock.hasShut && !peer.sock.isReleased) {
      const bytes = pattern(THEIRS, sent, random.pick([1, 30, 2000]));
      const count = Math.max(peer.sock.send(bytes), 0);
      sent += count;
    } else if (action === "shutdown" && random.percent(40)) peer.shutdown();
    else if (action === "close" && random.percent(30)) peer.close();
    else if (action === "reset" && random.percent(30)) peer.reset();
    else if (action === "lose" && peer.sock.isMptcpOnWire && random.percent(20)) {
      for (const pair of simulation.network.pairs) {
        if (pair.includes(peer.sock)) simulation.network.loseAll(pair);
      }
    }
    if (random.percent(60)) await world.delay(random.int(0, 100) / 100);
  }
  if (random.percent(80)) peer.close();
  // A peer that stays reads until this end closes, which is what `finish` does.
  else void reading;
  if (peer.sock.isReleased) await reading;
}
