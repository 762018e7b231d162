/**
 * Routing by source address: what is sent from an address has to leave by its interface. Without a
 * route of its own, the answers of a server's second address leave by the first interface.
 *
 * @module
 */

import { AF_INET, AF_INET6 } from "../../../ffi/linux/abi.ts";
import { NLM_F_CREATE, NLM_F_EXCL } from "../../../ffi/linux/abi_netlink.ts";
import {
  fib_rule_hdr,
  FR_ACT_TO_TBL,
  FRA_PRIORITY,
  FRA_SRC,
  FRA_TABLE,
  RT_TABLE_MAIN,
  RTA_DST,
  RTA_GATEWAY,
  RTA_OIF,
  RTA_SRC,
  RTA_TABLE,
  RTM_DELROUTE,
  RTM_DELRULE,
  RTM_GETROUTE,
  RTM_NEWROUTE,
  RTM_NEWRULE,
  rtmsg,
  RTN_UNICAST,
  RTPROT_STATIC,
} from "../../../ffi/linux/abi_route.ts";
import { ERRNO } from "../../../ffi/linux/errno.ts";
import { parseIp } from "../../../ffi/linux/sockaddr.ts";
import { check } from "../../error.ts";
import type { Network } from "../../kernel/network.ts";
import { AttributeBuilder, Attributes } from "../../netlink/attributes.ts";
import type { NetlinkSocket } from "../../netlink/socket.ts";
import type { Candidate } from "./candidates.ts";
import type { ManagePathsOptions, MissingPart } from "./types.ts";

/** Addresses that nobody has and only the default route leads to: 6to4's of old. Nothing is sent to them. */
const ELSEWHERE = { 4: "192.88.99.1", 6: "2002:c058:6301::1" } as const;
/** The tables that are used: this and the index of the interface. */
const FIRST_TABLE = 20_000;
/** Before the main table, which has 32766. */
const PRIORITY = 20_000;

/** What was added, to be removed again. */
interface Added {
  readonly family: 4 | 6;
  readonly address: string;
  readonly link: number;
  readonly gateway: string;
}

/** See the module's documentation. */
export class SourceRoutes {
  readonly #socket: NetlinkSocket;
  readonly #mayAdd: boolean;
  readonly #added: Map<string, Added> = new Map();

  constructor(socket: NetlinkSocket, mayAdd: boolean) {
    this.#socket = socket;
    this.#mayAdd = mayAdd;
  }

  /**
   * Reports for each candidate whether its packets would leave via another interface; or fixes it.
   * Subflows of a client are bound to their interface and need no such routes.
   */
  complete(
    candidates: readonly Candidate[],
    network: Network,
    { side, dryRun }: Pick<ManagePathsOptions, "side" | "dryRun">,
  ): Candidate[] {
    this.#removeStale(candidates);
    return candidates.map((candidate) => {
      const { address, family, gateway, excluded, missing } = candidate;
      if (address === undefined || family === undefined || gateway === undefined) return candidate;
      if (excluded !== undefined || missing.length > 0) return candidate;
      if (side !== "server" && !this.#mayAdd) return candidate;
      if (this.#leavesBy(address, family) === candidate.link) return candidate;
      const route = { family, address, link: candidate.link, gateway };
      if (this.#mayAdd && !dryRun) {
        try {
          this.#add(route);
          return candidate;
        } catch (error) {
          const text = (error as Error).message;
          return { ...candidate, missing: [{ text, commands: commandsFor(candidate, network) }] };
        }
      }
      return { ...candidate, missing: [missingPart(candidate, network)] };
    });
  }

  /** The interface that a packet from the address to somewhere else would leave by. */
  #leavesBy(address: string, family: 4 | 6): number | undefined {
    const bits = family === 4 ? 32 : 128;
    const payload = header({ family, dstLength: bits, srcLength: bits, table: 0, protocol: 0 });
    const attributes = new AttributeBuilder()
      .bytes(RTA_DST, parseIp(ELSEWHERE[family])!.bytes).bytes(RTA_SRC, parseIp(address)!.bytes);
    const { result, messages } = this.#socket.request(RTM_GETROUTE, join(payload, attributes));
    const answer = messages.find(({ type }) => type === RTM_NEWROUTE);
    if (result < 0 || answer === undefined) return undefined;
    return new Attributes(answer.payload.subarray(rtmsg.size)).u32(RTA_OIF);
  }

  #add(route: Added): void {
    this.#change(route, { table: RTM_NEWROUTE, rule: RTM_NEWRULE }, NLM_F_CREATE | NLM_F_EXCL);
    this.#added.set(route.address, route);
  }

  #change(
    { family, address, link, gateway }: Added,
    types: { table: number; rule: number },
    flags: number,
  ): void {
    const table = FIRST_TABLE + link;
    const route = header({ family, dstLength: 0, srcLength: 0, table: 0, protocol: RTPROT_STATIC });
    const routeAttributes = new AttributeBuilder().u32(RTA_TABLE, table)
      .bytes(RTA_GATEWAY, parseIp(gateway)!.bytes).u32(RTA_OIF, link);
    const context = { operation: "change the routes of", address };
    const added = this.#socket.request(types.table, join(route, routeAttributes), flags).result;
    if (added !== -ERRNO.EEXIST && added !== -ERRNO.ESRCH) check("send", added, context);
    const rule = new Uint8Array(fib_rule_hdr.size);
    rule[fib_rule_hdr.family] = family === 4 ? AF_INET : AF_INET6;
    rule[fib_rule_hdr.src_len] = family === 4 ? 32 : 128;
    rule[fib_rule_hdr.action] = FR_ACT_TO_TBL;
    const ruleAttributes = new AttributeBuilder().bytes(FRA_SRC, parseIp(address)!.bytes)
      .u32(FRA_TABLE, table).u32(FRA_PRIORITY, PRIORITY);
    const ruled = this.#socket.request(types.rule, join(rule, ruleAttributes), flags).result;
    if (ruled !== -ERRNO.EEXIST && ruled !== -ERRNO.ENOENT) check("send", ruled, context);
  }

  #removeStale(candidates: readonly Candidate[]): void {
    for (const [address, route] of this.#added) {
      const stays = candidates.some((candidate) =>
        candidate.address === address && candidate.link === route.link &&
        candidate.gateway === route.gateway
      );
      if (!stays) this.#remove(address, route);
    }
  }

  #remove(address: string, route: Added): void {
    this.#added.delete(address);
    try {
      this.#change(route, { table: RTM_DELROUTE, rule: RTM_DELRULE }, 0);
    } catch {
      // The kernel removes a route with its interface.
    }
  }

  /** Removes what was added. */
  close(): void {
    for (const [address, route] of [...this.#added]) this.#remove(address, route);
  }
}

function header(
  { family, dstLength, srcLength, table, protocol }: {
    family: 4 | 6;
    dstLength: number;
    srcLength: number;
    table: number;
    protocol: number;
  },
): Uint8Array {
  const bytes = new Uint8Array(rtmsg.size);
  bytes[rtmsg.rtm_family] = family === 4 ? AF_INET : AF_INET6;
  bytes[rtmsg.rtm_dst_len] = dstLength;
  bytes[rtmsg.rtm_src_len] = srcLength;
  bytes[rtmsg.rtm_table] = table;
  bytes[rtmsg.rtm_protocol] = protocol;
  bytes[rtmsg.rtm_type] = protocol === 0 ? 0 : RTN_UNICAST;
  return bytes;
}

function join(header: Uint8Array, attributes: AttributeBuilder): Uint8Array {
  const body = attributes.build();
  const payload = new Uint8Array(header.byteLength + body.byteLength);
  payload.set(header);
  payload.set(body, header.byteLength);
  return payload;
}

function missingPart(candidate: Candidate, network: Network): MissingPart {
  return {
    text: `packets from ${candidate.address} leave via another interface than ` +
      candidate.device,
    commands: commandsFor(candidate, network),
  };
}

/** Into a table of its own, which no route is in yet. */
function commandsFor(
  { device, address, family, gateway, link }: Candidate,
  { routes }: Network,
): string[] {
  const ip = family === 6 ? "ip -6" : "ip";
  let table = 100 + link;
  while (routes.some((route) => route.table === table) && table < RT_TABLE_MAIN) table++;
  return [
    `${ip} route add default via ${gateway} dev ${device} table ${table}`,
    `${ip} rule add from ${address} table ${table}`,
  ];
}
