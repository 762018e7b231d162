/**
 * The metrics of a machine, from what the kernel says of it. How many there are depends on interfaces
 * and endpoints, not on connections.
 *
 * @module
 */

import type { MptcpCounters } from "../../kernel/counters.ts";
import type { SurveyedConnection, SurveyedSubflow } from "../../kernel/socket_survey.ts";
import type { Endpoint, HostAddress, PathManagerLimits } from "../../kernel/types.ts";
import type { MetricFamily, Sample } from "./types.ts";

/** What metrics are made from. */
export interface Survey {
  readonly connections: readonly SurveyedConnection[];
  readonly subflows: readonly SurveyedSubflow[];
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

function connectionFamilies(connections: readonly SurveyedConnection[]): MetricFamily[] {
  const byState = groupBy(connections, ({ end, state }) => [end, state]);
  return [
    gauge(
      "mptcp_connections",
      "Open MPTCP connections.",
      sumByLabels(byState.map(({ first, members }) => ({
        labels: { family: `ipv${first.end.family}`, state: stateOf(first.state) },
        value: members.length,
      }))),
    ),
    gauge(
      "mptcp_connections_by_subflows",
      "Open MPTCP connections by their number of subflows.",
      groupBy(connections, ({ subflows }) => [subflows, null]).map(({ first, members }) => ({
        labels: { subflows: String(first.subflows) },
        value: members.length,
      })),
    ),
  ];
}

function subflowFamilies({ subflows, endpoints, addresses }: Survey): MetricFamily[] {
  const devices = new Map(addresses.map(({ address, device }) => [address, device]));
  const ids = new Map(endpoints?.map(({ address, id }) => [address, String(id)]));
  const labelsOf = ({ end: { address, family }, backup }: SurveyedSubflow) => ({
    interface: devices.get(address) ?? "",
    endpoint: ids.get(address) ?? "",
    address,
    family: `ipv${family}`,
    role: backup ? "backup" : "regular",
  });
  const groups = groupBy(subflows, ({ end, backup }) => [end, backup])
    .map(({ first, members }) => ({ labels: labelsOf(first), members }));
  const byState = groups.flatMap(({ labels, members }) =>
    groupBy(members, ({ state }) => [state, null]).map(({ first, members }) => ({
      labels: { ...labels, state: stateOf(first.state) },
      value: members.length,
    }))
  );
  const per = (value: (group: readonly SurveyedSubflow[]) => number) =>
    groups.map(({ labels, members }) => ({ labels, value: value(members) }));
  const sum = (value: (one: SurveyedSubflow) => number) =>
    per((group) => group.reduce((total, one) => total + value(one), 0));
  const rtt = (quantile: (sorted: readonly number[]) => number) =>
    per((group) => quantile(group.map(({ rtt }) => rtt).sort((a, b) => a - b)) / 1e6);
  return [
    gauge(
      "mptcp_subflows",
      "Subflows of open MPTCP connections.",
      byState,
    ),
    gauge(
      "mptcp_subflow_sent_bytes",
      "Bytes sent on the subflows that are open now.",
      sum(({ bytesSent }) => bytesSent),
    ),
    gauge(
      "mptcp_subflow_received_bytes",
      "Bytes received on the subflows that are open now.",
      sum(({ bytesReceived }) => bytesReceived),
    ),
    gauge(
      "mptcp_subflow_retransmitted_bytes",
      "Bytes sent again on the subflows that are open now.",
      sum(({ bytesRetrans }) => bytesRetrans),
    ),
    gauge(
      "mptcp_subflow_retransmitted_segments",
      "Segments sent again on the subflows that are open now.",
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
      "Connections that became TCP, or were not asked to be MPTCP, by reason.",
      named(FALLBACKS, "reason"),
    ),
    counter(
      "mptcp_mapping_mismatches",
      "Received data mappings that contradict the one before (MPTcpExtDSSNotMatching). When this rises, a transfer may have delivered wrong bytes: verify data by a digest or use TLS.",
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

function limitFamilies({ subflows, addAddrAccepted }: PathManagerLimits): MetricFamily[] {
  return [
    gauge(
      "mptcp_limit_subflows",
      "How many subflows a connection may have besides the first.",
      [{ labels: {}, value: subflows }],
    ),
    gauge(
      "mptcp_limit_add_addr_accepted",
      "How many announced addresses of the peer a connection may use.",
      [{ labels: {}, value: addAddrAccepted }],
    ),
  ];
}

function stateOf(state: string | undefined): string {
  return state?.toLowerCase() ?? "unknown";
}

interface Group<T> {
  readonly first: T;
  readonly members: T[];
}

/** Groups by two keys, without making a label for each item: there may be tens of thousands. */
function groupBy<T>(
  items: readonly T[],
  keysOf: (item: T) => readonly [unknown, unknown],
): Group<T>[] {
  const groups = new Map<unknown, Map<unknown, Group<T>>>();
  const all: Group<T>[] = [];
  for (const item of items) {
    const [one, other] = keysOf(item);
    let inner = groups.get(one);
    if (inner === undefined) groups.set(one, inner = new Map());
    const group = inner.get(other);
    if (group !== undefined) {
      group.members.push(item);
      continue;
    }
    const made = { first: item, members: [item] };
    inner.set(other, made);
    all.push(made);
  }
  return all;
}

/** One sample for each set of labels. */
function sumByLabels(samples: readonly Sample[]): Sample[] {
  return [...Map.groupBy(samples, ({ labels }) => JSON.stringify(labels)).values()]
    .map((group) => ({
      labels: group[0]!.labels,
      value: group.reduce((total, { value }) => total + value, 0),
    }));
}
