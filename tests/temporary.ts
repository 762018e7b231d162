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
    [Symbol.dispose]: () => remove(path),
  };
}

/** A browser that was killed may write into its folder until its last process has ended. */
function remove(path: string): void {
  for (let attempt = 1;; attempt++) {
    try {
      return rmSync(path, { recursive: true });
    } catch (error) {
      if ((error as { code?: string }).code !== "ENOTEMPTY" || attempt === 50) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    }
  }
}
