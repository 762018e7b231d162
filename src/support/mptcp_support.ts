/**
 * `mptcpSupport`: whether there is MPTCP here, and how it is set up.
 *
 * @module
 */

import { AF_INET, AF_INET6 } from "../../ffi/linux/abi.ts";
import { unsupportedPlatform } from "../../ffi/runtime.ts";
import { MptcpError } from "../error.ts";
import { hostAddresses } from "../kernel/local_addresses.ts";
import { mptcpCounters } from "../kernel/counters.ts";
import { dataWarnings } from "../kernel/data_faults.ts";
import { listEndpoints } from "../kernel/endpoints.ts";
import { KernelPathManager } from "../kernel/mptcp_pm.ts";
import { getLimits } from "../kernel/limits.ts";
import { readProc } from "../kernel/procfs.ts";
import { kernelFallback, noPlatform, probe, switchedOff } from "../policy/fallback.ts";
import { hintsFor } from "./hints.ts";
import type { MptcpCapabilities, MptcpSupport } from "./types.ts";
import { readSysctls } from "../kernel/sysctls.ts";

/**
 * Reports whether the kernel offers MPTCP sockets, and how MPTCP is configured. It asks the kernel on
 * every call and does not rely on version numbers. Needs no privilege. On other systems than Linux it
 * asks nothing and reports no support.
 *
 * Requires `--allow-ffi` in Deno.
 *
 * @param options `netns`: ask in a network namespace, a name under /run/netns or a path.
 * @throws {MptcpError} code "EMFILE" if no descriptor is left; "ENOENT" or "EPERM" if the namespace
 * does not exist or must not be entered.
 *
 * @example
 * ```ts
 * import { mptcpSupport } from "@multipath/mptcp";
 *
 * const { supported, fallback, hints } = mptcpSupport();
 * console.log(supported ? "MPTCP" : fallback?.detail);
 * for (const hint of hints) console.log(hint);
 * ```
 */
export function mptcpSupport(options: { netns?: string } = {}): MptcpSupport {
  const { netns } = options;
  const platform = unsupportedPlatform();
  if (platform !== null) return notLinux(platform);
  const v4 = probe(AF_INET, netns);
  const v6 = probe(AF_INET6, netns);
  const refused = v4 === 0 || v6 === 0 ? null : kernelFallback(v4);
  const fallback = refused ?? switchedOff("prefer");
  const facts: Omit<MptcpSupport, "hints" | "warnings"> = {
    supported: fallback === null,
    ipv4: v4 === 0,
    ipv6: v6 === 0,
    fallback,
    kernel: readProc("/proc/sys/kernel/osrelease")?.trim() ?? null,
    sysctls: readSysctls(netns),
    ...askPathManager(netns),
    addresses: whereThereIs(() => hostAddresses(netns)) ?? [],
  };
  const counters = whereThereIs(() => mptcpCounters({ ...(netns !== undefined && { netns }) }));
  const warnings = fallback === null ? dataWarnings(facts.kernel, counters ?? {}) : [];
  return { ...facts, warnings, hints: hintsFor(facts, counters ?? {}) };
}

function notLinux(platform: string): MptcpSupport {
  return {
    supported: false,
    ipv4: false,
    ipv6: false,
    fallback: noPlatform(platform),
    kernel: null,
    sysctls: {},
    limits: null,
    endpoints: null,
    addresses: [],
    capabilities: { netAdmin: false, sysAdmin: false },
    warnings: [],
    hints: [],
  };
}

function askPathManager(
  netns?: string,
): Pick<MptcpSupport, "limits" | "endpoints" | "capabilities"> {
  using kernel = whereThereIs(() => new KernelPathManager(netns));
  const capabilities = readCapabilities();
  if (kernel === null) return { limits: null, endpoints: null, capabilities };
  return {
    limits: getLimits(kernel),
    endpoints: listEndpoints(kernel, netns),
    // Events are for those only who may also change things: the kernel's own answer, for this very
    // network namespace. The descriptor is closed before one could come.
    capabilities: { ...capabilities, netAdmin: kernel.subscribe() === 0 },
  };
}

/** `null` where the kernel has no such thing to ask. */
function whereThereIs<T>(ask: () => T): T | null {
  try {
    return ask();
  } catch (error) {
    if (error instanceof MptcpError && ABSENT.includes(error.code)) return null;
    throw error;
  }
}

/** The errors of netlink for a protocol, a family or a file that is missing or unavailable. */
const ABSENT: readonly string[] = [
  "ENOENT",
  "EPROTONOSUPPORT",
  "EAFNOSUPPORT",
  "ESOCKTNOSUPPORT",
  "EOPNOTSUPP",
  "EPERM",
  "EACCES",
];

/** linux/capability.h: the bits of CAP_NET_ADMIN and CAP_SYS_ADMIN. */
const CAP_NET_ADMIN = 12n;
const CAP_SYS_ADMIN = 21n;

function readCapabilities(): MptcpCapabilities {
  const status = readProc("/proc/thread-self/status") ?? "";
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  return {
    netAdmin: ((effective >> CAP_NET_ADMIN) & 1n) !== 0n,
    sysAdmin: ((effective >> CAP_SYS_ADMIN) & 1n) !== 0n,
  };
}
