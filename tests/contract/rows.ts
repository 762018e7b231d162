/**
 * All rows of the contract but those about the life of a process.
 *
 * @module
 */

import { connRows } from "./conn.ts";
import { connectRows } from "./connect.ts";
import { listenerRows } from "./listener.ts";
import { pipeRows } from "./pipe.ts";
import { readableRows } from "./readable.ts";
import { resetRows } from "./reset.ts";
import type { Row } from "./row.ts";
import { writableRows } from "./writable.ts";

/** In the order in which they run. */
export const contractRows: readonly Row[] = [
  ...listenerRows,
  ...connectRows,
  ...connRows,
  ...resetRows,
  ...readableRows,
  ...writableRows,
  ...pipeRows,
];
