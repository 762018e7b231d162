/**
 * What keeps connections from using more than one path, in sentences.
 *
 * @module
 */

import type { MptcpCounters } from "../kernel/counters.ts";
import type { MptcpSupport } from "./types.ts";

type Facts = Omit<MptcpSupport, "hints" | "warnings">;

/** The hints that follow from the facts, the most important first. */
export function hintsFor(facts: Facts, counters: MptcpCounters): string[] {
  if (!facts.ipv4 && !facts.ipv6) return [];
  return [
    ...aboutSockets(facts, counters),
    ...aboutAddresses(facts),
    ...aboutPathManager(facts),
  ];
}

function* aboutSockets(facts: Facts, counters: MptcpCounters): Generator<string> {
  if (!facts.ipv6) yield "The kernel makes no IPv6 MPTCP sockets: IPv6 connections are TCP";
  const { Blackhole = 0 } = counters;
  if (Blackhole > 0) {
    yield `SYNs that asked for MPTCP were dropped on the way ${
      times(Blackhole)
    }: for a time after ` +
      "that this kernel does not ask for it. Any `sysctl -w net.mptcp.blackhole_timeout=...` ends that";
  }
}

function* aboutAddresses({ addresses, endpoints }: Facts): Generator<string> {
  const global = addresses.filter((address) => address.global);
  const devices = new Set(global.map(({ device }) => device));
  if (global.length === 0) {
    yield "This host has no address that leads to another network";
  } else if (devices.size === 1) {
    yield `Only one interface (${[...devices][0]}) leads to another network: ` +
      "there is nothing to add a path with on this side";
  }
  for (const { id, address, implicit } of endpoints ?? []) {
    if (implicit || addresses.some((host) => host.address === address)) continue;
    yield `Endpoint ${id} is ${address}, which is no address of this host: it cannot be used`;
  }
}

function* aboutPathManager(facts: Facts): Generator<string> {
  const { limits, endpoints, sysctls, capabilities } = facts;
  if (limits === null || endpoints === null) {
    yield "This kernel has no path manager: connections keep to one path. Linux 5.7 has one";
    return;
  }
  if (sysctls.pathManager !== undefined && sysctls.pathManager !== "kernel") {
    yield `The path manager is "${sysctls.pathManager}": endpoints and limits have no effect on new ` +
      "connections, whose paths are a program's affair";
    return;
  }
  if (limits.subflows === 0) yield "The limit of subflows is 0: connections keep to one path";
  if (endpoints.length === 0) {
    yield "There are no endpoints: this side neither announces addresses nor opens subflows. " +
      "Add some with MptcpPathManager or `ip mptcp endpoint add`";
  }
  if (limits.addAddrAccepted === 0) {
    yield "The limit addAddrAccepted is 0: addresses that servers announce are not used";
  }
  if (!capabilities.netAdmin) {
    yield "Without CAP_NET_ADMIN this process can read endpoints and limits, not change them";
  }
}

function times(count: number): string {
  return count === 1 ? "once" : `${count} times`;
}
