/**
 * `managePaths`: paths that look after themselves.
 *
 * @module
 */

import { unsupportedPlatform } from "../../../ffi/runtime.ts";
import { MptcpError } from "../../error.ts";
import { checkHostname } from "../../net/address.ts";
import { type ManagedPaths, PathsManager } from "./managed_paths.ts";
import type { ManagePathsOptions } from "./types.ts";

/**
 * Keeps the paths of this machine in order, and lets a policy say which of them carry data.
 *
 * It follows the links, addresses and routes: an address with a route out becomes an endpoint of the
 * kernel's path manager, and stops being one once they are gone. Endpoints that other programs made are
 * left alone. The policy "adaptive" lets every transfer begin on the preferred path, and uses further
 * ones as long as that makes it faster. What it does holds for all connections of the network
 * namespace, of all programs; where `net.mptcp.path_manager` is "userspace", for each by itself.
 *
 * Changing anything needs `CAP_NET_ADMIN`. Without it paths are watched, and that is reported once, as a
 * "problem" event. It does not keep the process alive. Linux 5.12 or later; subflows can be watched
 * without the capability since Linux 6.15.
 *
 * @returns What it does, until `close()`, which removes what it made and nothing else.
 * @throws {MptcpError} code "ENOENT" where the kernel has no path manager, or there is no such
 * namespace; "EPERM" when the namespace may not be entered; "ERR_NOT_LINUX".
 * @throws {TypeError} for options that make no sense.
 *
 * @example
 * ```ts
 * import { managePaths } from "@multipath/mptcp/path-manager";
 *
 * using paths = managePaths({ exclude: ["wg*"], roles: { "wwan*": "metered" }, dryRun: true });
 * for (const { device, address, state, missing } of paths.state().paths) {
 *   console.log(device, address, state, missing);
 * }
 * ```
 */
export function managePaths(options: ManagePathsOptions = {}): ManagedPaths {
  if (typeof options !== "object" || options === null) {
    throw new TypeError("Invalid options: expected an object");
  }
  if (options.netns !== undefined) checkHostname(options.netns, "netns");
  const platform = unsupportedPlatform();
  if (platform !== null) {
    throw new MptcpError(`The path manager is unavailable: ${platform}`, { code: "ERR_NOT_LINUX" });
  }
  return new PathsManager(options);
}
