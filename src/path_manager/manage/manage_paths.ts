/**
 * `managePaths`: sets up and maintains paths.
 *
 * @module
 */

import { unsupportedPlatform } from "../../../ffi/runtime.ts";
import { MptcpError } from "../../error.ts";
import { checkHostname } from "../../net/address.ts";
import { type ManagedPaths, PathsManager } from "./managed_paths.ts";
import type { ManagePathsOptions } from "./types.ts";

/**
 * Sets up and maintains the paths of this machine, and lets a policy choose which of them carry data.
 *
 * It follows changes of links, addresses and routes: an address with a default route becomes an
 * endpoint of the kernel's path manager, and is removed when the address or route is gone. Endpoints of
 * other programs are not touched. The policy "adaptive" starts every transfer on the preferred path and
 * uses additional paths as long as they make it faster. Decisions apply to all connections of the
 * network namespace, of all programs. If `net.mptcp.path_manager` is "userspace", they apply to each
 * connection separately.
 *
 * Changing anything needs `CAP_NET_ADMIN`. Without it, paths are only watched, and a "problem" event
 * reports that once. It does not keep the process alive. Linux 5.12 or later; watching subflows without
 * the capability needs Linux 6.15.
 *
 * @returns An object to watch and stop it. `close()` removes everything that it created.
 * @throws {MptcpError} code "ENOENT" if the kernel has no path manager or the namespace does not exist;
 * "EPERM" if the namespace must not be entered; "ERR_NOT_LINUX".
 * @throws {TypeError} for invalid options.
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
