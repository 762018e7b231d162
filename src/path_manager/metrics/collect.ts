/**
 * `collectMetrics`: the state of MPTCP on this machine as metrics.
 *
 * @module
 */

import { mptcpCounters } from "../../kernel/counters.ts";
import { listEndpoints } from "../../kernel/endpoints.ts";
import { getLimits } from "../../kernel/limits.ts";
import { hostAddresses } from "../../kernel/local_addresses.ts";
import { KernelPathManager } from "../../kernel/mptcp_pm.ts";
import { MptcpError } from "../../error.ts";
import type { ManagedPaths } from "../manage/managed_paths.ts";
import { perConnectionFamilies } from "./connection_families.ts";
import { decisionFamily, metricFamilies, type Survey } from "./families.ts";
import { ConnectionTally, tallySubflows } from "./tally.ts";
import { formatMetrics, type MetricsFormat } from "./text.ts";
import type { MetricFamily } from "./types.ts";

/** Options of {@linkcode collectMetrics}. */
export interface MetricsOptions {
  /** A network namespace: a name under /run/netns or a path. Needs `CAP_SYS_ADMIN`. */
  netns?: string;
  /**
   * How many connections get their own series: those that transferred the most bytes.
   * @default {0}
   */
  connections?: number;
  /**
   * "openmetrics" for OpenMetrics 1.0, "prometheus" for the older text format, which
   * `promtool check metrics` reads.
   * @default {"openmetrics"}
   */
  format?: MetricsFormat;
  /** Paths that this program manages: the decisions about them are counted too. */
  paths?: ManagedPaths;
}

/**
 * The MPTCP connections, subflows, endpoints and counters of a network namespace, of all processes, as
 * text for Prometheus. Counts and sums are per interface, endpoint, family, role and state, so the
 * number of series does not grow with the number of connections.
 *
 * Needs no privilege. Before Linux 6.15, the kernel shows subflows only with `CAP_NET_ADMIN`; without
 * it, their metrics are empty.
 *
 * @throws {MptcpError} code "EPERM" or "ENOENT" if the namespace cannot be entered.
 *
 * @example
 * ```ts
 * import { collectMetrics } from "@multipath/mptcp/path-manager";
 *
 * console.log(collectMetrics());
 * ```
 */
export function collectMetrics(options: MetricsOptions = {}): string {
  return formatMetrics(collectFamilies(options), options.format ?? "openmetrics");
}

/** The metrics before they become text. */
export function collectFamilies(options: MetricsOptions = {}): MetricFamily[] {
  const { netns, connections = 0, paths } = options;
  if (!Number.isInteger(connections) || connections < 0) {
    throw new RangeError(`Invalid connections: expected a count of at least 0, got ${connections}`);
  }
  const survey = surveyMachine(netns, connections > 0);
  return [
    ...metricFamilies(survey),
    ...(paths === undefined ? [] : [decisionFamily(paths.decisionCounts())]),
    ...(connections === 0 ? [] : perConnectionFamilies(survey.connections.kept, connections)),
  ];
}

function surveyMachine(netns: string | undefined, keep: boolean): Survey {
  return {
    connections: new ConnectionTally(netns, keep),
    subflows: tallySubflows(netns),
    counters: orNull(() => mptcpCounters({ ...(netns !== undefined && { netns }) })),
    addresses: hostAddresses(netns),
    ...pathManagerOf(netns),
  };
}

function pathManagerOf(netns: string | undefined): Pick<Survey, "endpoints" | "limits"> {
  const kernel = orNull(() => new KernelPathManager(netns));
  if (kernel === null) return { endpoints: null, limits: null };
  try {
    return { endpoints: listEndpoints(kernel, netns), limits: getLimits(kernel) };
  } finally {
    kernel.close();
  }
}

/** `null` where the kernel has none of it: no MPTCP, or no path manager. */
function orNull<T>(ask: () => T): T | null {
  try {
    return ask();
  } catch (error) {
    if (error instanceof MptcpError && error.code === "ENOENT") return null;
    throw error;
  }
}
