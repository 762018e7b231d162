/**
 * Folders that tests write to.
 *
 * @module
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A folder that is removed when disposed of. */
export interface TemporaryFolder extends Disposable {
  readonly path: string;
  /** The path of a name in it. */
  at(name: string): string;
}

/** Makes a folder. */
export function temporaryFolder(): TemporaryFolder {
  const path = mkdtempSync(join(tmpdir(), "mptcp-test-"));
  return {
    path,
    at: (name) => join(path, name),
    [Symbol.dispose]: () => rmSync(path, { recursive: true }),
  };
}
