/**
 * What `mptcp doctor` prints for people.
 *
 * @module
 */

import { formatHostPort } from "../../show.ts";
import { pairLines } from "../ui/table.ts";
import type { Styles } from "../ui/terminal.ts";
import { count } from "../ui/units.ts";
import type { Diagnosis } from "./diagnose.ts";
import type { Evidence } from "./evidence.ts";

/** A finding, its evidence and what to do; or that nothing is wrong. */
export function reportLines(
  diagnosis: Diagnosis | null,
  { connection, peer, unseen }: Evidence,
  styles: Styles,
): string[] {
  const pairs: [string, string][] = [
    [
      "Result",
      diagnosis === null ? styles.green("nothing is wrong") : styles.yellow(diagnosis.summary),
    ],
  ];
  if (connection !== null) {
    const { protocol, remoteAddr, milliseconds, established } = connection;
    const place = formatHostPort(remoteAddr.hostname, remoteAddr.port);
    const paths = protocol === "mptcp" ? `, ${count(established, "subflow")}` : "";
    pairs.push([
      "Connection",
      `${protocol.toUpperCase()} to ${place}${paths}, connected in ${milliseconds} ms`,
    ]);
  }
  pairs.push([
    "Server",
    peer === null ? "does not run mptcp doctor: the diagnosis is limited" : "runs mptcp doctor",
  ]);
  for (const { capability, what } of unseen) {
    pairs.push(["Not seen", `${what}, because ${capability} is missing`]);
  }
  if (diagnosis === null) return pairLines(pairs, styles);
  return [
    ...pairLines(pairs, styles),
    "",
    styles.bold("Evidence:"),
    ...diagnosis.evidence.map((text) => `- ${text}`),
    "",
    styles.bold("What to do:"),
    diagnosis.advice,
  ];
}
