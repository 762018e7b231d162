/**
 * Makes connections to a server, and collects what they show.
 *
 * @module
 */

import {
  type ConnectMptcpOptions,
  type MptcpConn,
  MptcpError,
  type MptcpSupport,
  mptcpSupport,
  type Subflow,
} from "../../../mod.ts";
import { MptcpPathManager } from "../../path_manager/mod.ts";
import { formatHostPort } from "../../show.ts";
import { dial } from "../dial.ts";
import { pause } from "../ui/pause.ts";
import type { Evidence, ExaminedConnection, Outcome, PathProbe, Unseen } from "./evidence.ts";
import type { DoctorOptions, Remote } from "./options.ts";
import { DoctorLines, GREETING, type PeerReport, readCounters, risen } from "./peer.ts";

/** Milliseconds that a server has to answer. */
const ANSWER_TIME = 1500;
/** Milliseconds in which a kernel that has another path begins to use it. */
const BEGIN_TIME = 500;
const LOOK_INTERVAL = 25;
/** Seconds that a probe of another path may take. */
const PROBE_TIMEOUT = 2;

/** Examines the way to a server. */
export async function examine(
  remote: Remote,
  options: DoctorOptions,
  signal: AbortSignal,
): Promise<Evidence> {
  return await new Examination(remote, options, signal).run();
}

class Examination {
  readonly #remote: Remote;
  readonly #options: DoctorOptions;
  readonly #signal: AbortSignal;
  readonly #support: MptcpSupport;
  /** Addresses of the server, beside the one that was connected to. */
  readonly #others = new Set<string>();
  readonly #unseen: Unseen[] = [];
  #isDoctor = false;

  constructor(remote: Remote, options: DoctorOptions, signal: AbortSignal) {
    this.#remote = remote;
    this.#options = options;
    this.#signal = signal;
    this.#support = mptcpSupport(options.netns);
  }

  async run(): Promise<Evidence> {
    const tcp = await this.#probeTcp();
    const before = readCounters(this.#options.netns);
    const unseen = this.#unseen;
    const nothing = { support: this.#support, tcp, counters: {}, peer: null, probes: [], unseen };
    if (!this.#support.supported) return { ...nothing, connect: "none", connection: null };
    using _events = this.#collectAnnounced();
    let conn;
    const started = performance.now();
    try {
      conn = await this.#dial({ mptcp: "prefer" }, this.#options.connectTimeout);
    } catch (error) {
      const counters = risen(before, readCounters(this.#options.netns));
      return { ...nothing, counters, connect: this.#outcomeOf(error), connection: null };
    }
    using _conn = conn;
    const milliseconds = Math.round((performance.now() - started) * 10) / 10;
    const connection = await this.#watch(conn, milliseconds, before);
    const counters = risen(before, readCounters(this.#options.netns));
    const isJoining = (counters.MPJoinSynTx ?? 0) > 0 && connection.established < 2;
    const probes = isJoining ? await this.#probePaths(connection) : [];
    const peer = this.#isDoctor ? await this.#askPeer() : null;
    return {
      support: this.#support,
      tcp,
      connect: "ok",
      connection,
      counters,
      peer,
      probes,
      unseen,
    };
  }

  #dial(options: Partial<ConnectMptcpOptions>, seconds: number): Promise<MptcpConn> {
    const { netns } = this.#options;
    return dial({ ...this.#remote, ...netns, ...options }, seconds, this.#signal);
  }

  #outcomeOf(error: unknown): Outcome {
    this.#signal.throwIfAborted();
    if (!(error instanceof MptcpError)) return String(error);
    return error.code === "ETIMEDOUT" ? "timeout" : error.code;
  }

  /** Connects by plain TCP, and finds out whether a doctor is there. */
  async #probeTcp(): Promise<Outcome> {
    try {
      using conn = await this.#dial({ mptcp: "off" }, this.#options.connectTimeout);
      const lines = new DoctorLines(conn);
      this.#isDoctor = await within(lines.next(), ANSWER_TIME, null) === GREETING;
      // This resets its counters.
      if (this.#isDoctor) await readReport(lines);
      return "ok";
    } catch (error) {
      return this.#outcomeOf(error);
    }
  }

  async #askPeer(): Promise<PeerReport | null> {
    try {
      using conn = await this.#dial({ mptcp: "off" }, PROBE_TIMEOUT);
      const lines = new DoctorLines(conn);
      await within(lines.next(), ANSWER_TIME, null);
      return await readReport(lines);
    } catch {
      this.#signal.throwIfAborted();
      return null;
    }
  }

  /** Exchanges data, and waits for another path. */
  async #watch(
    conn: MptcpConn,
    milliseconds: number,
    before: ReturnType<typeof readCounters>,
  ): Promise<ExaminedConnection> {
    const data = await this.#exchange(conn);
    let subflows: readonly Subflow[] = [];
    const started = performance.now();
    for (;;) {
      subflows = readSubflows(conn, subflows);
      // The kernel shows them without a capability, but only until they are refused.
      for (const { remoteAddr, tcp } of subflows) {
        if (tcp.state === "SYN_SENT") this.#others.add(remoteAddr.hostname);
      }
      const time = performance.now() - started;
      if (conn.protocol !== "mptcp" || countIn(subflows, "ESTABLISHED") > 1) break;
      const { MPJoinSynTx = 0, AddAddr = 0 } = risen(before, readCounters(this.#options.netns));
      const isOver = time > this.#options.wait ||
        (time > BEGIN_TIME && MPJoinSynTx === 0 && AddAddr === 0);
      if (isOver) break;
      await pause(LOOK_INTERVAL, this.#signal);
    }
    const { protocol, fallback, localAddr, remoteAddr } = conn;
    return {
      protocol,
      fallback,
      localAddr,
      remoteAddr,
      milliseconds,
      data,
      established: countIn(subflows, "ESTABLISHED"),
      waiting: countIn(subflows, "SYN_SENT"),
    };
  }

  /** Has data go both ways: an option can be removed behind the handshake, and paths wait for it. */
  async #exchange(conn: MptcpConn): Promise<Outcome> {
    const { data } = this.#options;
    if (!this.#isDoctor && !data) return "none";
    const lines = new DoctorLines(conn);
    const { hostname } = this.#remote;
    const exchange = async (): Promise<Outcome> => {
      // A server of HTTP answers it, and most others do in their way.
      await lines.send(this.#isDoctor ? "ping" : `HEAD / HTTP/1.1\r\nHost: ${hostname}\r\n\r`);
      const first = await lines.next();
      const second = this.#isDoctor ? await lines.next() : first;
      return second === null ? "ended" : "ok";
    };
    try {
      return await within(exchange(), ANSWER_TIME, "none");
    } catch (error) {
      return this.#outcomeOf(error);
    }
  }

  /** Addresses announced by the server. */
  #collectAnnounced(): Disposable {
    try {
      const paths = new MptcpPathManager(this.#options.netns);
      const events = paths.events();
      const collect = async () => {
        for await (const event of events) {
          if (event.type === "announced") this.#others.add(event.remoteAddr.hostname);
        }
      };
      void collect().catch(() => {});
      return {
        [Symbol.dispose]() {
          events[Symbol.dispose]();
          paths.close();
        },
      };
    } catch (error) {
      if (error instanceof MptcpError && error.code === "EPERM") {
        const what = "the addresses announced by the server (ADD_ADDR)";
        this.#unseen.push({ capability: "CAP_NET_ADMIN", what });
      }
      return { [Symbol.dispose]() {} };
    }
  }

  /** Tries by plain TCP the paths that a second subflow can take. */
  async #probePaths({ localAddr, remoteAddr }: ExaminedConnection): Promise<PathProbe[]> {
    const locals = (this.#support.endpoints ?? [])
      .filter(({ subflow, address }) => subflow && address !== localAddr.hostname)
      .map(({ address }) => ({ local: address, remote: remoteAddr.hostname }));
    const remotes = [...this.#others].filter((address) => address !== remoteAddr.hostname)
      .map((address) => ({ local: null, remote: address }));
    return await Promise.all([...locals, ...remotes].map(async ({ local, remote }) => {
      const place = formatHostPort(remote, remoteAddr.port);
      const options = {
        mptcp: "off",
        hostname: remote,
        ...(local !== null && { localAddress: local }),
      } as const;
      try {
        const conn = await this.#dial(options, PROBE_TIMEOUT);
        conn[Symbol.dispose]();
        return { local, remote: place, outcome: "ok" };
      } catch (error) {
        return { local, remote: place, outcome: this.#outcomeOf(error) };
      }
    }));
  }
}

/** A connection that is gone has none: then what it had. */
function readSubflows(conn: MptcpConn, before: readonly Subflow[]): readonly Subflow[] {
  const now = conn.subflows();
  return now.length > 0 ? now : before;
}

function countIn(subflows: readonly Subflow[], state: Subflow["tcp"]["state"]): number {
  return subflows.filter(({ tcp }) => tcp.state === state).length;
}

async function readReport(lines: DoctorLines): Promise<PeerReport | null> {
  await lines.send("report");
  const line = await within(lines.next(), ANSWER_TIME, null);
  return line === null ? null : JSON.parse(line) as PeerReport;
}

/** What a promise gives in time, else another value. */
async function within<T>(promise: Promise<T>, milliseconds: number, otherwise: T): Promise<T> {
  let timer;
  const late = new Promise<T>((resolve) => {
    timer = setTimeout(() => resolve(otherwise), milliseconds);
  });
  promise.catch(() => {});
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
