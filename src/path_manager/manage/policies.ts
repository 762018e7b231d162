/**
 * The policies that come with this module, by their names.
 *
 * @module
 */

import { AdaptivePolicy } from "./adaptive.ts";
import type {
  PathChange,
  PathInfo,
  PathPolicy,
  PolicyAnswer,
  PolicyName,
  PolicySample,
} from "./types.ts";

/** How often the policies that do not measure look, in milliseconds. */
const INTERVAL = 100;

/** "Wi-Fi first, LTE when it is gone": everything but the preferred path is a backup, always. */
export class ActiveBackupPolicy implements PathPolicy {
  readonly name = "active-backup";

  beginsAsBackup({ role, preferred }: PathInfo): boolean {
    return role === undefined ? !preferred : role !== "primary";
  }

  decide({ paths }: PolicySample): PolicyAnswer {
    const working = paths.some((path) => !this.beginsAsBackup(path) && path.subflows > 0);
    const changes: PathChange[] = [];
    for (const path of paths) {
      const isBackup = this.beginsAsBackup(path);
      if (path.backup === isBackup) continue;
      // The other paths stay in use until the preferred path has a subflow again.
      if (isBackup && !working) continue;
      const reason = isBackup ? "the preferred path works" : "it is the preferred path";
      changes.push({ path: path.path, backup: isBackup, reason });
    }
    return { changes, again: INTERVAL };
  }
}

/** Leaves every path as it began. */
export class NoPolicy implements PathPolicy {
  readonly name = "none";

  beginsAsBackup({ role }: PathInfo): boolean {
    return role === "backup" || role === "metered";
  }

  decide(): PolicyAnswer {
    return { changes: [], again: 1000 };
  }
}

const POLICIES: Readonly<Record<PolicyName, () => PathPolicy>> = {
  "adaptive": () => new AdaptivePolicy(),
  "active-backup": () => new ActiveBackupPolicy(),
  // A fixed line first: LTE is taken once that has been full for a while.
  "overflow": () => new AdaptivePolicy({ name: "overflow", patience: 2000, metered: true }),
  "none": () => new NoPolicy(),
};

/** The names of the policies. */
export const POLICY_NAMES: readonly PolicyName[] = Object.keys(POLICIES) as PolicyName[];

/**
 * A function that makes the policy.
 *
 * @throws {TypeError} for a name that none has.
 */
export function policyMaker(
  policy: PolicyName | (() => PathPolicy) = "adaptive",
): () => PathPolicy {
  if (typeof policy === "function") return policy;
  if (Object.hasOwn(POLICIES, policy)) return POLICIES[policy];
  throw new TypeError(
    `Invalid policy: expected ${POLICY_NAMES.join(", ")} or a function, got ${
      JSON.stringify(policy)
    }`,
  );
}
