/**
 * The contract of listeners and connections: one body for the runtime's own sockets and for this
 * module's, so that one can take the place of the other. Where they differ on purpose the row says so.
 *
 * @module
 */

import { implementations, type Subject } from "./contract/implementation.ts";
import { lifetimeRows } from "./contract/lifetime.ts";
import { applies, type Row } from "./contract/row.ts";
import { contractRows } from "./contract/rows.ts";
import { test } from "./harness.ts";
import { LOOPBACKS } from "./sockets.ts";

for (const key of Object.keys(implementations)) {
  for (const hostname of LOOPBACKS) {
    register({ ...implementations[key]!, key, hostname }, contractRows);
  }
  register({ ...implementations[key]!, key, hostname: LOOPBACKS[0] }, lifetimeRows);
}

function register(subject: Subject, rows: readonly Row[]): void {
  for (const row of rows.filter((row) => applies(row, subject))) {
    const name = `${subject.name}, ${subject.hostname}: ${row.sentence}`;
    test(name, subject.options, () => row.body(subject));
  }
}
