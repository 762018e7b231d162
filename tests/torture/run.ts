/**
 * `deno task test:torture`: every call of every row of the contract fails once, each way that it can.
 * `--case TEXT` chooses rows, `--most N` how many faults of a row are tried, chosen by `--seed`.
 *
 * @module
 */

import { parseArgs } from "node:util";
import process from "node:process";
import { torture } from "./all.ts";

const { values } = parseArgs({
  options: {
    case: { type: "string", default: "" },
    most: { type: "string" },
    seed: { type: "string", default: "1" },
  },
});
const began = performance.now();
const { cases, faults, shown, problems } = await torture({
  text: values.case,
  most: values.most === undefined ? Infinity : Number(values.most),
  seed: Number(values.seed),
});
const seconds = ((performance.now() - began) / 1000).toFixed(1);
console.log(
  `${cases} rows, ${faults} calls failed, ${shown} of them seen by the row, in ${seconds} s`,
);
for (const problem of problems) console.error(problem);
process.exit(problems.length === 0 ? 0 : 1);
