/**
 * What stands between the two ends and meddles with their packets, by `nft`.
 *
 * @module
 */

import { run } from "./command.ts";
import { interfaceOf } from "./links.ts";
import { inNamespace } from "./namespaces.ts";

/** Where a rule is: for packets that come into the namespace, or that are made in it. */
export type Chain = "in" | "out";

/** A rule in the words of nft(8), as `iifname path1 tcp dport 80 drop`. */
export interface Rule {
  readonly chain: Chain;
  readonly statement: string;
}

const TABLE = `table inet lab {
  chain in { type filter hook prerouting priority raw; }
  chain out { type filter hook output priority raw; }
}`;

/** Drops what goes over a path, in both directions and without a word. */
export function drop(path: number): Rule[] {
  const name = interfaceOf(path);
  return [
    { chain: "in", statement: `iifname ${name} drop` },
    { chain: "out", statement: `oifname ${name} drop` },
  ];
}

/** Takes the MPTCP option out of all packets that come in over a path, as some middleboxes do. */
export function stripMptcp(path: number): Rule[] {
  return [{ chain: "in", statement: `iifname ${interfaceOf(path)} reset tcp option mptcp` }];
}

/** Adds rules to those of a namespace. */
export async function addRules(namespace: string, rules: readonly Rule[]): Promise<void> {
  const lines = rules.map(({ chain, statement }) => `add rule inet lab ${chain} ${statement}`);
  await nft(namespace, [TABLE, ...lines]);
}

/** Removes all rules that {@linkcode addRules} added. */
export async function clearRules(namespace: string): Promise<void> {
  // Adding what is there is no error, removing what is not would be one.
  await nft(namespace, ["add table inet lab", "delete table inet lab"]);
}

async function nft(namespace: string, lines: string[]): Promise<void> {
  await run(inNamespace(namespace, ["nft", "-f", "-"]), { input: lines.join("\n") + "\n" });
}
