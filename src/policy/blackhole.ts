/**
 * Why a connection that an MPTCP socket made is TCP: the peer did not agree, or the kernel did not
 * ask. It does not ask while it holds the network to be a black hole for MPTCP: where SYNs that asked
 * went unanswered and one that did not was answered.
 *
 * @module
 */

import { SO_BINDTOIFINDEX, SOL_SOCKET } from "../../ffi/linux/abi.ts";
import { MptcpError } from "../error.ts";
import { wireProtocol } from "../kernel/info.ts";
import { askedForMptcp, type Ends } from "../kernel/sock_diag.ts";
import { type MptcpCounters, mptcpCounters } from "../kernel/counters.ts";
import { getIntOption, localSockaddr } from "../poll/socket.ts";
import { type Origin, PEER_OF_CLIENT } from "./fallback.ts";
import { readSysctls } from "../kernel/sysctls.ts";
import { readTcpInfo } from "../kernel/tcp_info.ts";
import type { Fallback } from "../types.ts";

/** The kernel waits twice as long each time, up to this many times its timeout. */
const MAX_MULTIPLIER = 64;

/** The origin of connections that requested MPTCP and were agreed to, whatever happens later. */
const AGREED: Origin = { fallback: null, peer: PEER_OF_CLIENT };

/**
 * The origin of a connection that an MPTCP socket made, to be asked for when the handshake is over.
 *
 * @param remote The sockaddr that the socket was connected to.
 */
export function mptcpClientOrigin(fd: number, remote: Uint8Array, netns?: string): Origin {
  return wireProtocol(fd) === "mptcp" ? AGREED : new NotAgreed(fd, remote, netns);
}

/** What a connection was like when it was made: the kernel finds it by that. */
interface Traits {
  readonly ends: Ends;
  /** The index of the device that it is bound to, or 0. */
  readonly interfaceIndex: number;
  /** Whether a SYN was sent more than once. */
  readonly repeated: boolean;
}

/** The origin of a connection that is TCP, or whose handshake waits for the first data. */
class NotAgreed implements Origin {
  readonly fallback: null = null;
  readonly #traits: Traits | null;
  readonly #netns: string | undefined;
  #peer: Fallback | null = null;

  constructor(fd: number, remote: Uint8Array, netns?: string) {
    this.#netns = netns;
    this.#traits = orNull(() => ({
      ends: { local: localSockaddr(fd), remote },
      interfaceIndex: Math.max(getIntOption(fd, SOL_SOCKET, SO_BINDTOIFINDEX), 0),
      repeated: (readTcpInfo(fd).totalRetrans ?? 0) > 0,
    }));
  }

  /** Why it is TCP. The kernel forgets that with the connection. */
  get peer(): Fallback {
    return this.#peer ??= orNull(() => explain(this.#traits, this.#netns)) ?? UNCERTAIN;
  }
}

/**
 * `null` where the kernel cannot be asked: no socket diagnosis, no descriptor left, a namespace that is
 * gone. The connection is none the worse for it.
 */
function orNull<T>(ask: () => T): T | null {
  try {
    return ask();
  } catch (error) {
    if (error instanceof MptcpError) return null;
    throw error;
  }
}

function explain(traits: Traits | null, netns: string | undefined): Fallback {
  const asked = traits && orNull(() => askedForMptcp(traits.ends, traits.interfaceIndex, netns));
  if (asked === true) return PEER_OF_CLIENT;
  const counters = mptcpCounters({ ...(netns !== undefined && { netns }) });
  if (asked === false) return notAsked(counters, traits!.repeated, netns);
  const { MPCapableSYNTXDrop = 0, MPCapableSYNTXDisabled = 0 } = counters;
  return MPCapableSYNTXDrop + MPCapableSYNTXDisabled === 0 ? PEER_OF_CLIENT : UNCERTAIN;
}

const UNCERTAIN: Fallback = {
  reason: "peer",
  detail:
    `${PEER_OF_CLIENT.detail}; or the kernel did not request it, because it detected a black hole ` +
    "for MPTCP before. It is not known which: the kernel only reports open connections, and " +
    "before Linux 6.15 only with CAP_NET_ADMIN",
};

/** The reason of a connection whose SYN, as it was answered, did not request MPTCP. */
function notAsked(counters: MptcpCounters, repeated: boolean, netns?: string): Fallback {
  const { MPCapableSYNTXDrop = 0, MPCapableSYNTXDisabled = 0, Blackhole = 0 } = counters;
  if (MPCapableSYNTXDrop + MPCapableSYNTXDisabled === 0) {
    return {
      reason: "kernel",
      detail:
        "The kernel did not request MPTCP: it had no token for the connection, or the socket " +
        "has an option that excludes MPTCP, such as TCP MD5 signatures",
    };
  }
  const cause = repeated
    ? "SYNs that requested MPTCP were not answered, but one without the option was: something on " +
      "the path drops them"
    : "The kernel did not request MPTCP, because earlier SYNs that did were not answered in this " +
      "network namespace";
  return { reason: "blackhole", detail: `${cause}. ${untilWhen(Blackhole, netns)}` };
}

/** Until when the kernel does not ask, and how to end that: the moment of its last finding is unknown. */
function untilWhen(blackholes: number, netns?: string): string {
  const timeout = readSysctls(netns).blackholeTimeout ?? 0;
  if (timeout === 0 || blackholes === 0) return "The next connection requests it again";
  const multiplier = Math.min(2 ** (blackholes - 1), MAX_MULTIPLIER);
  return `It requests MPTCP again after at most ${
    timeout * multiplier
  } seconds, or at once after ` +
    `\`sysctl -w net.mptcp.blackhole_timeout=${timeout}\``;
}
