/**
 * The Node.js that tests run on, which npm fetches: the one of the machine is older.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";

const VERSION = "26.10.0";
const PACKAGE = `node-linux-${process.arch}`;
const FOLDER = fileURLToPath(new URL(`../node_modules/.node-${VERSION}`, import.meta.url));
const PROGRAM = `${FOLDER}/node_modules/${PACKAGE}/bin/node`;

/** The program that `MPTCP_NODE` names, or the one that was fetched; `null` if there is neither. */
export function presentNode(): string | null {
  return process.env.MPTCP_NODE ?? (existsSync(PROGRAM) ? PROGRAM : null);
}

/** The same, fetched from npm if need be. */
export function fetchNode(): string {
  const present = presentNode();
  if (present !== null) return present;
  const args = ["install", "--no-save", "--prefix", FOLDER, `${PACKAGE}@${VERSION}`];
  const { status, stderr } = spawnSync("npm", args, { encoding: "utf8" });
  if (status === 0) return PROGRAM;
  throw new Error(`npm ${args.join(" ")}: status ${status}: ${stderr}`);
}
