/**
 * Paths in words.
 *
 * @module
 */

import type { ManagedPath, ManagedPathsState } from "../../path_manager/mod.ts";
import { tableLines } from "../ui/table.ts";
import type { Styles } from "../ui/terminal.ts";

const COLUMNS = [
  { heading: "INTERFACE" },
  { heading: "ADDRESS" },
  { heading: "GATEWAY" },
  { heading: "ROLE" },
  { heading: "ENDPOINT" },
  { heading: "STATE" },
] as const;

/** The paths, and what is missing. */
export function pathLines(
  { paths, limits, pathManager, problems }: ManagedPathsState,
  styles: Styles,
): string[] {
  const rows = paths.map((path) => [
    path.device,
    path.address ?? "-",
    path.gateway ?? "-",
    roleOf(path),
    endpointOf(path),
    stateOf(path),
  ]);
  const missing = paths.flatMap((path) => path.missing);
  const lines = [...tableLines(COLUMNS, rows, styles), ""];
  if (limits !== undefined) {
    const { subflows, addAddrAccepted } = limits;
    lines.push(
      `Limits per connection: ${subflows} additional subflows, ${addAddrAccepted} announced addresses.` +
        (pathManager === "userspace" ? " net.mptcp.path_manager is userspace." : ""),
    );
  }
  for (const { text, commands } of missing) {
    lines.push(`${capital(text)}.`, ...commands.map((command) => `    ${command}`));
  }
  return [...lines, ...problems];
}

function roleOf({ role, preferred }: ManagedPath): string {
  return role ?? (preferred ? "preferred" : "-");
}

function endpointOf({ endpoint, backup }: ManagedPath): string {
  return endpoint === undefined ? "-" : `${endpoint}${backup ? " backup" : ""}`;
}

function stateOf({ state, detail, missing }: ManagedPath): string {
  if (missing.length > 0) return "incomplete, see below";
  return detail === undefined ? state : `${state}: ${detail}`;
}

function capital(text: string): string {
  // The name of an interface is written as it is.
  return /^(no|nothing|packets|the|there) /.test(text)
    ? text[0]!.toUpperCase() + text.slice(1)
    : text;
}
