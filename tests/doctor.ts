/**
 * The doctor between the two hosts of a lab, for tests.
 *
 * @module
 */

import { diagnose, type Diagnosis } from "../src/cli/doctor/diagnose.ts";
import type { Evidence } from "../src/cli/doctor/evidence.ts";
import { examine } from "../src/cli/doctor/examine.ts";
import type { DoctorOptions, Remote } from "../src/cli/doctor/options.ts";
import { serveDoctors } from "../src/cli/doctor/peer.ts";
import type { Terminal } from "../src/cli/ui/terminal.ts";
import { type Setup, setUp } from "./path_lab.ts";

/** Two hosts with a doctor on each. */
export interface Practice extends AsyncDisposable {
  readonly setup: Setup;
  /** Where the other end listens. */
  readonly port: number;
  /** Examines the way from the client to the server. */
  examine(options?: Partial<DoctorOptions>): Promise<Examined>;
}

/** What came of an examination. */
export interface Examined {
  readonly diagnosis: Diagnosis | null;
  readonly evidence: Evidence;
}

/** The options of an examination from within a network namespace. */
export function optionsIn(netns: string): DoctorOptions {
  return {
    json: false,
    netns: { netns },
    connectTimeout: 8,
    remote: null,
    listen: {},
    wait: 700,
    data: true,
    pcap: null,
  };
}

/** Opens the practice; `prepare` comes before the other end listens. */
export async function openPractice(prepare?: (setup: Setup) => unknown): Promise<Practice> {
  const setup = await setUp();
  await prepare?.(setup);
  const { client, server } = setup.lab;
  const end = new AbortController();
  const port = 5202;
  const listening = Promise.withResolvers<void>();
  const terminal = { signal: end.signal, warn: () => listening.resolve() } as unknown as Terminal;
  const listen = { hostname: "0.0.0.0", port, netns: server.name };
  const serving = serveDoctors({ ...optionsIn(server.name), listen }, terminal);
  await Promise.race([listening.promise, serving]);
  const remote: Remote = { hostname: server.address(), port, mptcp: "prefer", family: undefined };
  return {
    setup,
    port,
    async examine(options = {}) {
      const all = { ...optionsIn(client.name), ...options };
      const evidence = await examine(remote, all, end.signal);
      return { evidence, diagnosis: diagnose(evidence) };
    },
    async [Symbol.asyncDispose]() {
      end.abort();
      await serving;
      await setup[Symbol.asyncDispose]();
    },
  };
}
