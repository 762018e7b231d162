/**
 * Looks after the paths of one end of a lab, as `mptcp paths up` does, until it is told to end:
 *
 *   policy.ts client|server POLICY
 *
 * Prints a line of JSON when it is ready, and one for each decision.
 *
 * @module
 */

import process from "node:process";
import { managePaths, type PolicyName } from "../../src/path_manager/mod.ts";

const [side, policy] = process.argv.slice(2) as ["client" | "server", PolicyName];
const managed = managePaths({
  include: ["path*"],
  exclude: ["fd00::/8"],
  side,
  policy,
});
const events = managed.events();
const alive = setInterval(() => {}, 1000);
const end = () => {
  clearInterval(alive);
  managed.close();
};
process.on("SIGTERM", end);
console.log(JSON.stringify({ ready: true }));
for await (const event of events) {
  if (event.type === "decision") console.log(JSON.stringify(event.decision));
  else if (event.type === "problem") console.error(event.message);
}
process.exit(0);
