/**
 * What is measured: the paths, and what happens to them.
 *
 * @module
 */

import { drop } from "../lab/firewall.ts";
import type { Lab, LabOptions, PathOptions } from "../lab/lab.ts";

/** Something that is done to the paths during a transfer. */
export interface Deed {
  /** When, in parts of the transfer's time. */
  readonly at: number;
  readonly name: string;
  act(lab: Lab): Promise<void>;
}

/** One set-up, in which every program transfers in its turn. */
export interface Scenario {
  /** For the command line. */
  readonly name: string;
  /** For readers. */
  readonly title: string;
  /** Why the figures are as they are, where that is no matter of course. */
  readonly note?: string;
  readonly paths: readonly Readonly<PathOptions & { rate: number }>[];
  readonly protocol: "tcp" | "mptcp";
  /** The congestion control, in place of the one of all others. */
  readonly congestion?: string;
  readonly lab?: Omit<LabOptions, "paths">;
  /** How long a transfer is, in seconds; and with `--short`. */
  readonly seconds: number;
  readonly short: number;
  /** Whether it is part of `--short`. */
  readonly inShort: boolean;
  /** How many subflows there have to be in the end. */
  readonly subflows: number;
  /** Before each transfer. */
  prepare?(lab: Lab): Promise<void>;
  readonly deeds: readonly Deed[];
}

const USUAL = {
  protocol: "mptcp",
  seconds: 2.5,
  short: 0.5,
  inShort: false,
  subflows: 2,
  deeds: [],
} as const;

const WIRE = { rate: 100 };

/** What the handshake of a second subflow loses can take longer to be sent again than a transfer. */
const LOSSY = {
  paths: [{ rate: 100, delay: 10, loss: 1 }, { rate: 100, delay: 10, loss: 1 }],
  lab: { sysctls: { "net.mptcp.add_addr_timeout": 1 } },
  subflows: 1,
} as const;

/** All scenarios, in the order of the table. */
export const SCENARIOS: readonly Scenario[] = [
  {
    ...USUAL,
    name: "tcp",
    title: "TCP, 100",
    paths: [WIRE],
    protocol: "tcp",
    inShort: true,
    subflows: 1,
  },
  { ...USUAL, name: "single", title: "MPTCP, 100", paths: [WIRE], subflows: 1 },
  { ...USUAL, name: "100+100", title: "100 + 100", paths: [WIRE, WIRE], inShort: true },
  {
    ...USUAL,
    name: "checksum",
    title: "100 + 100, checksums on",
    paths: [WIRE, WIRE],
    lab: { sysctls: { "net.mptcp.checksum_enabled": 1 } },
    inShort: true,
  },
  { ...USUAL, name: "100+50", title: "100 + 50", paths: [WIRE, { rate: 50 }] },
  {
    ...USUAL,
    name: "100+10",
    title: "100 + 10",
    note: "slower than the fast path alone: data on the slow path blocks the data behind it",
    paths: [WIRE, { rate: 10 }],
  },
  {
    ...USUAL,
    name: "ipv6",
    title: "100 by IPv4 + 100 by IPv6",
    paths: [WIRE, WIRE],
    lab: { signal: 6 },
    inShort: true,
  },
  {
    ...USUAL,
    name: "25/25ms",
    title: "100 + 100, 25 ms each",
    note: "the congestion window grows with each round trip, and the first of them are included",
    paths: [{ rate: 100, delay: 25 }, { rate: 100, delay: 25 }],
    seconds: 4,
  },
  {
    ...USUAL,
    name: "5/50ms",
    title: "100 + 100, 5 and 50 ms",
    note:
      "data on the slower path arrives late, and the receive buffer has to hold the data behind it",
    paths: [{ rate: 100, delay: 5 }, { rate: 100, delay: 50 }],
    seconds: 4,
    inShort: true,
  },
  {
    ...USUAL,
    ...LOSSY,
    name: "loss",
    title: "100 + 100, 10 ms, 1 % lost",
    note:
      "cubic takes every loss for congestion; with so few packets in flight, two transfers by the same program differ by a third",
    seconds: 4,
    short: 1,
    inShort: true,
  },
  {
    ...USUAL,
    ...LOSSY,
    name: "loss-bbr",
    title: "100 + 100, 10 ms, 1 % lost, bbr",
    congestion: "bbr",
    seconds: 4,
  },
  {
    ...USUAL,
    name: "cut",
    title: "path 2 cut, then healed",
    paths: [WIRE, WIRE],
    seconds: 6,
    short: 1.2,
    inShort: true,
    prepare: (lab) => lab.client.clearRules(),
    deeds: [
      { at: 1 / 4, name: "cut", act: (lab) => lab.client.addRules(...drop(2)) },
      { at: 5 / 8, name: "healed", act: (lab) => lab.client.clearRules() },
    ],
  },
  {
    ...USUAL,
    name: "backup",
    title: "path 1 cut, backup path 2",
    paths: [WIRE, WIRE],
    lab: { signal: null },
    seconds: 3,
    short: 1,
    inShort: true,
    async prepare({ client, server }) {
      await client.clearRules();
      await server.flushEndpoints();
      await server.addEndpoint(server.address(2), "signal", "backup");
    },
    deeds: [{ at: 1 / 2, name: "cut", act: (lab) => lab.client.addRules(...drop(1)) }],
  },
  {
    ...USUAL,
    name: "added",
    title: "path 2 added on the way",
    paths: [WIRE, WIRE],
    lab: { signal: null },
    seconds: 3,
    short: 0.8,
    inShort: true,
    prepare: ({ server }) => server.flushEndpoints(),
    deeds: [{
      at: 1 / 2,
      name: "added",
      act: ({ server }) => server.addEndpoint(server.address(2), "signal"),
    }],
  },
];

/** How long a transfer is, in seconds. */
export function secondsOf(scenario: Scenario, short: boolean): number {
  return short ? scenario.short : scenario.seconds;
}
