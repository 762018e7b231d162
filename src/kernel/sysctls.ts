/**
 * The sysctls of MPTCP, per network namespace.
 *
 * @module
 */

import { readProc } from "./procfs.ts";
import { inNetns } from "../poll/socket.ts";
import type { MptcpSysctls } from "./types.ts";

const FOLDER = "/proc/sys/net/mptcp";

/** Reads all; one that this kernel lacks is `undefined`. */
export function readSysctls(netns?: string): MptcpSysctls {
  return inNetns(netns, () => {
    const pmType = number("pm_type");
    return {
      enabled: flag("enabled"),
      pathManager: text("path_manager") ?? PATH_MANAGERS[pmType ?? -1],
      availablePathManagers: list("available_path_managers"),
      scheduler: text("scheduler"),
      availableSchedulers: list("available_schedulers"),
      checksumEnabled: flag("checksum_enabled"),
      blackholeTimeout: number("blackhole_timeout"),
      synRetransBeforeTcpFallback: number("syn_retrans_before_tcp_fallback"),
      staleLossCnt: number("stale_loss_cnt"),
      addAddrTimeout: number("add_addr_timeout"),
      closeTimeout: number("close_timeout"),
      allowJoinInitialAddrPort: flag("allow_join_initial_addr_port"),
    };
  });
}

/** `pm_type`, which is all that there is before 6.15. */
const PATH_MANAGERS: Readonly<Record<number, string>> = { 0: "kernel", 1: "userspace" };

function text(name: string): string | undefined {
  return readProc(`${FOLDER}/${name}`)?.trim();
}

function number(name: string): number | undefined {
  const value = text(name);
  return value === undefined ? undefined : Number(value);
}

function flag(name: string): boolean | undefined {
  const value = text(name);
  return value === undefined ? undefined : value !== "0";
}

function list(name: string): string[] | undefined {
  return text(name)?.split(/\s+/).filter((item) => item !== "");
}
