/**
 * The metrics of a machine, from what the kernel says of it. How many there are depends on interfaces
 * and endpoints, not on connections.
 *
 * @module
 */

import type { MptcpCounters } from "../../kernel/counters.ts";
import { tcpStateName } from "../../kernel/tcp_info.ts";
import type { Endpoint, HostAddress, PathManagerLimits } from "../../kernel/types.ts";
import type { PathDecisionCount } from "../manage/types.ts";
import type { ConnectionTally, SubflowGroup } from "./tally.ts";
import type { MetricFamily, Sample } from "./types.ts";

/** What metrics are made from. */
export interface Survey {
  readonly connections: ConnectionTally;
  readonly subflows: readonly SubflowGroup[];
  /** `null` where the kernel has no MPTCP. */
  readonly counters: MptcpCounters | null;
  /** `null` where the kernel has no path manager. */
  readonly endpoints: readonly Endpoint[] | null;
  readonly limits: PathManagerLimits | null;
  readonly addresses: readonly HostAddress[];
}

/** Why connections became TCP, by the kernel's counters: the reason as a label. */
const FALLBACKS: Readonly<Record<string, string>> = {
  MPCapableFallbackSYNACK: "server_without_mptcp",
  MPCapableFallbackACK: "client_without_mptcp",
  MPCapableSYNTXDrop: "syn_unanswered",
  MPCapableSYNTXDisabled: "blackhole",
  MPCapableDataFallback: "first_data_without_mptcp",
  MPFallbackTokenInit: "no_token",
  MD5SigFallback: "md5_signature",
  SimultConnectFallback: "simultaneous_connect",
  DssFallback: "missing_mapping",
  DSSCorruptionFallback: "corrupt_mapping",
  InfiniteMapTx: "infinite_mapping_sent",
  InfiniteMapRx: "infinite_mapping_received",
};

/** The families of all metrics, in a fixed order. */
export function metricFamilies(survey: Survey): MetricFamily[] {
  return [
    ...connectionFamilies(survey.connections),
    ...subflowFamilies(survey),
    ...(survey.counters === null ? [] : counterFamilies(survey.counters)),
    ...(survey.endpoints === null ? [] : [endpointFamily(survey.endpoints, survey.addresses)]),
    ...(survey.limits === null ? [] : limitFamilies(survey.limits)),
  ];
}

function gauge(name: string, help: string, samples: readonly Sample[]): MetricFamily {
  const [unit] = /bytes$|seconds$/.exec(name) ?? [];
  return {
    name,
    type: "gauge",
    help,
    samples,
    ...(unit !== undefined && { unit: unit as "bytes" | "seconds" }),
  };
}

function counter(name: string, help: string, samples: readonly Sample[]): MetricFamily {
  return { name, type: "counter", help, samples };
}

function connectionFamilies(
  { states, bySubflows, fallbacks }: ConnectionTally,
): MetricFamily[] {
  return [
    gauge(
      "mptcp_connections",
      "Open MPTCP connections.",
      FAMILIES.flatMap((family) =>
        samplesOf(states[family], (state) => ({ family: `ipv${family}`, state: stateName(state) }))
      ),
    ),
    gauge(
      "mptcp_connections_by_subflows",
      "Open MPTCP connections by their number of subflows.",
      samplesOf(bySubflows, (subflows) => ({ subflows: String(subflows) })),
    ),
    gauge(
      "mptcp_fallback_connections",
      "Open connections of MPTCP sockets that fell back to TCP.",
      FAMILIES.map((family) => ({ labels: { family: `ipv${family}` }, value: fallbacks[family] })),
    ),
  ];
}

const FAMILIES = [4, 6] as const;

/** A sample for each count that is not 0. */
function samplesOf(
  counts: Uint32Array,
  labelsOf: (index: number) => Sample["labels"],
): Sample[] {
  const samples: Sample[] = [];
  counts.forEach((value, index) => {
    if (value > 0) samples.push({ labels: labelsOf(index), value });
  });
  return samples;
}

function subflowFamilies({ subflows, endpoints, addresses }: Survey): MetricFamily[] {
  const devices = new Map(addresses.map(({ address, device }) => [address, device]));
  const ids = new Map(endpoints?.map(({ address, id }) => [address, String(id)]));
  const groups = subflows.map((group) => {
    const { end: { address, family }, backup } = group;
    const labels = {
      interface: devices.get(address) ?? "",
      endpoint: ids.get(address) ?? "",
      address,
      family: `ipv${family}`,
      role: backup ? "backup" : "regular",
    };
    return { labels, group, rtts: group.sortedRtts() };
  });
  const byState = groups.flatMap(({ labels, group }) =>
    samplesOf(group.states, (state) => ({ ...labels, state: stateName(state) }))
  );
  const sum = (value: (group: SubflowGroup) => number) =>
    groups.map(({ labels, group }) => ({ labels, value: value(group) }));
  const rtt = (quantile: (sorted: Uint32Array) => number) =>
    groups.map(({ labels, rtts }) => ({ labels, value: quantile(rtts) / 1e6 }));
  return [
    gauge(
      "mptcp_subflows",
      "Subflows of open MPTCP connections.",
      byState,
    ),
    gauge(
      "mptcp_subflow_sent_bytes",
      "Bytes sent on open subflows.",
      sum(({ bytesSent }) => bytesSent),
    ),
    gauge(
      "mptcp_subflow_received_bytes",
      "Bytes received on open subflows.",
      sum(({ bytesReceived }) => bytesReceived),
    ),
    gauge(
      "mptcp_subflow_retransmitted_bytes",
      "Bytes retransmitted on open subflows.",
      sum(({ bytesRetrans }) => bytesRetrans),
    ),
    gauge(
      "mptcp_subflow_retransmitted_segments",
      "Segments retransmitted on open subflows.",
      sum(({ retransmissions }) => retransmissions),
    ),
    gauge(
      "mptcp_subflow_unacked_segments",
      "Segments in flight.",
      sum(({ unacked }) => unacked),
    ),
    gauge(
      "mptcp_subflow_rtt_min_seconds",
      "The lowest smoothed round-trip time of the open subflows.",
      rtt((sorted) => sorted[0]!),
    ),
    gauge(
      "mptcp_subflow_rtt_median_seconds",
      "The median smoothed round-trip time of the open subflows.",
      rtt((sorted) => sorted[sorted.length >> 1]!),
    ),
    gauge(
      "mptcp_subflow_rtt_max_seconds",
      "The highest smoothed round-trip time of the open subflows.",
      rtt((sorted) => sorted.at(-1)!),
    ),
  ];
}

function counterFamilies(counters: MptcpCounters): MetricFamily[] {
  const named = (table: Readonly<Record<string, string>>, label: string): Sample[] =>
    Object.entries(table).flatMap(([name, text]) => {
      const value = counters[name];
      return value === undefined ? [] : [{ labels: { [label]: text }, value }];
    });
  const all = Object.entries(counters).flatMap(([name, value]) =>
    // A gauge among counters: mptcp_connections says it.
    value === undefined || name === "MPCurrEstab" ? [] : [{ labels: { counter: name }, value }]
  );
  return [
    counter(
      "mptcp_fallbacks",
      "Connections that fell back to TCP or did not request MPTCP, by reason.",
      named(FALLBACKS, "reason"),
    ),
    counter(
      "mptcp_mapping_mismatches",
      "Received data mappings that contradict the one before (MPTcpExtDSSNotMatching). If this rises, a transfer may have delivered wrong bytes: verify data with a digest or use TLS.",
      named({ DSSNotMatching: "DSSNotMatching" }, "counter"),
    ),
    counter("mptcp_ext", "The kernel's MPTcpExt counters, by name.", all),
  ];
}

function endpointFamily(
  endpoints: readonly Endpoint[],
  addresses: readonly HostAddress[],
): MetricFamily {
  const devices = new Map(addresses.map(({ address, device }) => [address, device]));
  return gauge(
    "mptcp_endpoint_info",
    "The endpoints of the path manager; the value is always 1.",
    endpoints.map((endpoint) => ({
      labels: {
        endpoint: String(endpoint.id),
        address: endpoint.address,
        interface: endpoint.device ?? devices.get(endpoint.address) ?? "",
        flags: flagsOf(endpoint),
      },
      value: 1,
    })),
  );
}

const FLAGS = ["signal", "subflow", "backup", "fullmesh", "laminar", "implicit"] as const;

function flagsOf(endpoint: Endpoint): string {
  return FLAGS.filter((name) => endpoint[name]).join(" ");
}

/** What the policy of this program, and what follows the network, have decided. */
export function decisionFamily(counts: readonly PathDecisionCount[]): MetricFamily {
  return counter(
    "mptcp_path_decisions",
    "Decisions about paths, by policy, action and interface.",
    counts.map(({ by, action, device, count }) => ({
      labels: { policy: by, action, interface: device },
      value: count,
    })),
  );
}

function limitFamilies({ subflows, addAddrAccepted }: PathManagerLimits): MetricFamily[] {
  return [
    gauge(
      "mptcp_limit_subflows",
      "How many subflows a connection may have in addition to the first.",
      [{ labels: {}, value: subflows }],
    ),
    gauge(
      "mptcp_limit_add_addr_accepted",
      "How many announced addresses of the peer a connection may use.",
      [{ labels: {}, value: addAddrAccepted }],
    ),
  ];
}

function stateName(state: number): string {
  return tcpStateName(state)?.toLowerCase() ?? "unknown";
}
