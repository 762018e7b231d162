/**
 * What `mptcp check` prints of this machine.
 *
 * @module
 */

import type { Endpoint, MptcpSupport } from "../../../mod.ts";
import { pairLines, tableLines } from "../ui/table.ts";
import type { Styles } from "../ui/terminal.ts";
import { count } from "../ui/units.ts";

/** All that is known of this machine, for people. */
export function supportLines(support: MptcpSupport, styles: Styles): string[] {
  return [
    ...pairLines([...facts(support, styles)], styles),
    "",
    ...addressLines(support, styles),
    ...warningLines(support.warnings, styles),
    ...hintLines(support.hints, styles),
  ];
}

/** What may be wrong with data, where something is known. */
function warningLines(warnings: readonly string[], styles: Styles): string[] {
  return warnings.flatMap((warning) => ["", `${styles.red("Warning:")} ${warning}`]);
}

/** Hints as a list under a heading; nothing where there are none. */
export function hintLines(hints: readonly string[], styles: Styles): string[] {
  if (hints.length === 0) return [];
  return [
    "",
    styles.bold("Why connections have only one path:"),
    ...hints.map((hint) => `- ${hint}`),
  ];
}

function* facts(support: MptcpSupport, styles: Styles): Generator<[string, string]> {
  const { supported, fallback, kernel, limits, sysctls } = support;
  yield ["MPTCP", supported ? styles.green(families(support)) : styles.red("no")];
  if (fallback !== null) yield ["Why not", fallback.detail];
  if (kernel !== null) yield ["Kernel", kernel];
  if (sysctls.pathManager !== undefined) yield ["Path manager", sysctls.pathManager];
  if (sysctls.scheduler !== undefined) yield ["Scheduler", sysctls.scheduler];
  if (limits !== null) {
    const { subflows, addAddrAccepted } = limits;
    const announced = count(addAddrAccepted, "announced address", "announced addresses");
    yield ["Limits", `${count(subflows, "subflow")} in addition to the first, ${announced} used`];
  }
}

function families({ ipv4, ipv6 }: MptcpSupport): string {
  return ipv4 && ipv6 ? "yes, over IPv4 and IPv6" : `yes, over IPv${ipv4 ? 4 : 6} only`;
}

const COLUMNS = [
  { heading: "ADDRESS" },
  { heading: "DEVICE" },
  { heading: "REACHES" },
  { heading: "ENDPOINT" },
] as const;

/** The addresses of this host with their endpoints, and endpoints of addresses that it lacks. */
function addressLines({ addresses, endpoints }: MptcpSupport, styles: Styles): string[] {
  const all = endpoints ?? [];
  const endpointsOf = (address: string) =>
    all.filter((endpoint) => endpoint.address === address).map(describeEndpoint).join("; ") || "-";
  const rows = addresses.map(({ address, device, global }) => [
    address,
    device,
    global ? "other networks" : "this link",
    endpointsOf(address),
  ]);
  const known = new Set(addresses.map(({ address }) => address));
  const strays = all.filter(({ address }) => !known.has(address))
    .map((endpoint) => [endpoint.address, "-", "nothing", describeEndpoint(endpoint)]);
  return tableLines(COLUMNS, [...rows, ...strays], styles);
}

function describeEndpoint(endpoint: Endpoint): string {
  return [`${endpoint.id}:`, ...endpointFlags(endpoint)].join(" ");
}

/** The names of the flags that are set. */
export function endpointFlags(endpoint: Endpoint): string[] {
  const names = ["signal", "subflow", "backup", "fullmesh", "laminar", "implicit"] as const;
  return names.filter((name) => endpoint[name]);
}
