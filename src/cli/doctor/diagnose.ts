/**
 * Which cause the evidence shows.
 *
 * @module
 */

import { ADVICE, type CauseName, SUMMARIES } from "./causes.ts";
import type { Evidence } from "./evidence.ts";

/** What keeps a connection from MPTCP, or from a second path. */
export interface Diagnosis {
  readonly cause: CauseName;
  readonly summary: string;
  /** What shows it. */
  readonly evidence: readonly string[];
  readonly advice: string;
}

type Found = readonly [cause: CauseName, ...evidence: string[]];

/** The cause; `null` where nothing is wrong. */
export function diagnose(evidence: Evidence): Diagnosis | null {
  const found = ofThisHost(evidence) ?? ofConnecting(evidence) ?? ofProtocol(evidence) ??
    ofPaths(evidence);
  if (found === null) return null;
  const [cause, ...shown] = found;
  return { cause, summary: SUMMARIES[cause], evidence: shown, advice: ADVICE[cause] };
}

function ofThisHost({ support }: Evidence): Found | null {
  const { supported, fallback } = support;
  if (supported || fallback === null) return null;
  const { reason, code = "", detail } = fallback;
  if (reason === "off" || code === "ENOPROTOOPT") return ["off", detail];
  if (code === "EPERM" || code === "EACCES") return ["forbidden", detail];
  return ["no-kernel", detail];
}

/** No connection over MPTCP. */
function ofConnecting({ connect, tcp, counters, connection }: Evidence): Found | null {
  const plain = `plain TCP to the same address: ${tcp}`;
  if (connect !== "ok") {
    if (tcp !== "ok") return ["unreachable", `MPTCP: ${connect}`, plain];
    const cause = connect === "timeout" ? "syn-dropped" : "option-reset";
    return [cause, `a SYN with MP_CAPABLE: ${connect}`, plain];
  }
  if (connection === null || (counters.MPCapableSYNACKRX ?? 0) === 0) return null;
  const { data, protocol, established } = connection;
  const agreed = "the handshake agreed on MPTCP; then";
  // The connection outlives its subflow, and waits for another one.
  if (data === "none" && protocol === "mptcp" && established === 0) {
    return ["option-reset", `${agreed} its subflow was reset, and no data came back`, plain];
  }
  return /^(ok|none|ended)$/.test(data) ? null : ["option-reset", `${agreed}: ${data}`, plain];
}

/** A connection that is TCP. */
function ofProtocol({ connection, counters, peer }: Evidence): Found | null {
  if (connection === null || connection.protocol !== "tcp") return null;
  const { fallback } = connection;
  const {
    MPCapableSYNTX = 0,
    MPCapableSYNTXDrop = 0,
    MPCapableSYNTXDisabled = 0,
    MPCapableSYNACKRX = 0,
  } = counters;
  if (fallback?.reason === "off") return ["off", fallback.detail];
  if (MPCapableSYNTXDrop > 0) {
    return ["syn-dropped", "the SYNs with MP_CAPABLE were not answered, the one without it was"];
  }
  if (fallback?.reason === "blackhole" || MPCapableSYNTXDisabled > 0) {
    return ["blackhole", fallback?.detail ?? "MP_CAPABLE was not sent"];
  }
  if (MPCapableSYNACKRX > 0) {
    return ["data-stripped", "the SYN/ACK had MP_CAPABLE, but later packets had no MPTCP option"];
  }
  const sent = `${MPCapableSYNTX} SYN with MP_CAPABLE sent, no SYN/ACK with it received`;
  if (peer === null) {
    return [
      "no-peer",
      sent,
      'the option may also have been removed on the path: run "mptcp doctor --listen" there to tell',
    ];
  }
  if (!peer.supported) return ["no-peer", sent, "the server cannot create MPTCP sockets"];
  const { MPCapableSYNRX = 0 } = peer.counters;
  return MPCapableSYNRX > 0
    ? ["synack-stripped", sent, "the server received it, and answered with the option"]
    : ["syn-stripped", sent, "the server received none"];
}

/** An MPTCP connection that has one path, though there could be more. */
function ofPaths(evidence: Evidence): Found | null {
  const { connection, support, counters, peer } = evidence;
  if (connection === null || connection.established > 1) return null;
  const { limits, endpoints, sysctls } = support;
  // Then a program manages the paths.
  if (limits === null || endpoints === null || sysctls.pathManager === "userspace") return null;
  const {
    MPJoinSynTx = 0,
    MPJoinSynTxConnectErr = 0,
    MPJoinSynTxBindErr = 0,
    MPJoinSynTxCreatSkErr = 0,
    AddAddr = 0,
  } = counters;
  const failed = MPJoinSynTxConnectErr + MPJoinSynTxBindErr + MPJoinSynTxCreatSkErr;
  if (failed > 0) return ["no-route", `the kernel of this host could not open ${failed} subflows`];
  if (MPJoinSynTx > 0) return ofJoins(evidence, MPJoinSynTx);
  const { AddAddrTx = 0 } = peer?.counters ?? {};
  if (AddAddr > 0 && limits.addAddrAccepted === 0) {
    return [
      "announcement-ignored",
      `${AddAddr} ADD_ADDR received`,
      "the limit addAddrAccepted of this host is 0",
    ];
  }
  if (AddAddrTx > 0 && AddAddr === 0) {
    return ["announcement-lost", `${AddAddrTx} ADD_ADDR sent by the server, none received`];
  }
  return ofConfiguration(evidence);
}

function ofConfiguration({ support, connection, counters }: Evidence): Found | null {
  const { limits, endpoints, addresses } = support;
  const devices = new Set(addresses.filter(({ global }) => global).map(({ device }) => device));
  const local = connection!.localAddr.hostname;
  const others = endpoints!.filter(({ subflow, address }) => subflow && address !== local);
  const isWanted = others.length > 0 || (counters.AddAddr ?? 0) > 0;
  if (limits!.subflows === 0 && (isWanted || devices.size > 1)) {
    return ["limits", "the subflow limit is 0"];
  }
  if (others.length === 0 && devices.size > 1 && limits!.addAddrAccepted === 0) {
    return [
      "no-endpoints",
      `${devices.size} interfaces lead to other networks (${[...devices].join(", ")})`,
      "no endpoint to open subflows from, and announced addresses are not used",
    ];
  }
  return null;
}

/** Subflows that were requested but not established. */
function ofJoins(
  { connection, counters, peer, probes, unseen }: Evidence,
  sent: number,
): Found | null {
  const { MPJoinSynAckRx = 0 } = counters;
  const syns = `${sent} SYN with MP_JOIN sent, ${MPJoinSynAckRx} answered`;
  const paths = probes.map(({ local, remote, outcome }) =>
    `plain TCP ${local === null ? "" : `from ${local} `}to ${remote}: ${outcome}`
  );
  if (probes.length === 0 && unseen.length > 0) {
    paths.push("the second path was not tested with plain TCP, because its address is not known");
  }
  const isReachable = probes.some(({ outcome }) => outcome === "ok");
  const isSilent = connection!.waiting > 0;
  if (isSilent) {
    return [isReachable ? "join-dropped" : "path-blocked", syns, ...paths];
  }
  if (probes.length > 0 && !isReachable) return ["path-blocked", syns, ...paths];
  const { MPJoinSynRx = 0, MPJoinNoTokenFound = 0, MPJoinRejected = 0 } = peer?.counters ?? {};
  if (peer !== null && MPJoinSynRx === 0) {
    return ["elsewhere", syns, "the server received none of them", ...paths];
  }
  if (MPJoinNoTokenFound > 0 && MPJoinRejected === 0) {
    return ["elsewhere", syns, "the server does not know the connection", ...paths];
  }
  return ["join-refused", syns, "they were reset", ...paths];
}
