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
  if (!facts.ipv6) {
    yield "The kernel does not create MPTCP sockets for IPv6: IPv6 connections are TCP";
  }
  const { Blackhole = 0 } = counters;
  if (Blackhole > 0) {
    yield `SYNs that requested MPTCP were dropped on the path ${times(Blackhole)}: for some time ` +
      "after that, this kernel does not request MPTCP. Any " +
      "`sysctl -w net.mptcp.blackhole_timeout=...` ends that";
  }
}

function* aboutAddresses({ addresses, endpoints }: Facts): Generator<string> {
  const global = addresses.filter((address) => address.global);
  const devices = new Set(global.map(({ device }) => device));
  if (global.length === 0) {
    yield "This host has no address with a route to other networks";
  } else if (devices.size === 1) {
    yield `Only one interface (${[...devices][0]}) has a route to other networks: ` +
      "this host cannot add a second path";
  }
  for (const { id, address, implicit } of endpoints ?? []) {
    if (implicit || addresses.some((host) => host.address === address)) continue;
    yield `Endpoint ${id} is ${address}, which is not an address of this host: it has no effect`;
  }
}

function* aboutPathManager(facts: Facts): Generator<string> {
  const { limits, endpoints, sysctls, capabilities } = facts;
  if (limits === null || endpoints === null) {
    yield "This kernel has no path manager, so connections use one path. Linux 5.7 and later have one";
    return;
  }
  if (sysctls.pathManager !== undefined && sysctls.pathManager !== "kernel") {
    yield `The path manager is "${sysctls.pathManager}": endpoints and limits have no effect on new ` +
      "connections, whose paths are managed by a program";
    return;
  }
  if (limits.subflows === 0) yield "The subflow limit is 0: connections use one path";
  if (endpoints.length === 0) {
    yield "There are no endpoints: this host neither announces addresses nor opens subflows. " +
      "Add endpoints with MptcpPathManager or `ip mptcp endpoint add`";
  }
  if (limits.addAddrAccepted === 0) {
    yield "The limit addAddrAccepted is 0: addresses announced by servers are not used";
  }
  if (!capabilities.netAdmin) {
    yield "Without CAP_NET_ADMIN this process can read endpoints and limits, but not change them";
  }
}

function times(count: number): string {
  return count === 1 ? "once" : `${count} times`;
}
