/**
 * Follows the links, addresses and routes of a network namespace.
 *
 * What the kernel reports is only a hint that something has changed: the state itself is read again, so
 * that a lost or misread message leaves nothing stale.
 *
 * @module
 */

import { clearTimeout, now, setTimeout, type Timer } from "../../../ffi/event_loop.ts";
import { NETLINK_ROUTE } from "../../../ffi/linux/abi_netlink.ts";
import {
  RTNLGRP_IPV4_IFADDR,
  RTNLGRP_IPV4_ROUTE,
  RTNLGRP_IPV6_IFADDR,
  RTNLGRP_IPV6_ROUTE,
  RTNLGRP_LINK,
} from "../../../ffi/linux/abi_route.ts";
import { ERRNO } from "../../../ffi/linux/errno.ts";
import { check } from "../../error.ts";
import { type Network, readNetwork } from "../../kernel/network.ts";
import { NetlinkSocket, receiveDatagram } from "../../netlink/socket.ts";
import { Source } from "../../poll/epoll.ts";
import { type Reactor, reactor } from "../../poll/reactor.ts";

const GROUPS = [
  RTNLGRP_LINK,
  RTNLGRP_IPV4_IFADDR,
  RTNLGRP_IPV6_IFADDR,
  RTNLGRP_IPV4_ROUTE,
  RTNLGRP_IPV6_ROUTE,
];

/** In milliseconds: changes come in bunches, an address with its routes. */
const SETTLE = 10;
/** Reading takes at most one part in this many of the time. */
const SPARE = 50;
/** The longest that a change waits for that reason. */
const LONGEST = 500;

/** See the module's documentation. */
export class NetworkWatch extends Source implements Disposable {
  readonly #reactor: Reactor = reactor();
  readonly #events: NetlinkSocket;
  readonly #questions: NetlinkSocket;
  readonly #onChange: (network: Network) => void;
  readonly #onError: (error: unknown) => void;
  #timer: Timer | undefined;
  #earliest = 0;

  /** Begins to follow; the first state is what {@linkcode read} gives. */
  constructor(
    netns: string | undefined,
    onChange: (network: Network) => void,
    onError: (error: unknown) => void,
  ) {
    const events = new NetlinkSocket(NETLINK_ROUTE, netns);
    super(events.fd);
    this.refed = false;
    this.#events = events;
    this.#onChange = onChange;
    this.#onError = onError;
    try {
      for (const group of GROUPS) {
        const result = events.join(group);
        // Without IPv6 there are no such groups.
        if (result !== -ERRNO.EINVAL && result !== -ERRNO.ENOENT) {
          check("setsockopt", result, { operation: "follow the network" });
        }
      }
      this.#questions = new NetlinkSocket(NETLINK_ROUTE, netns);
    } catch (error) {
      events.close();
      throw error;
    }
    this.#reactor.begin(this);
    // Events before the epoll watched cause no edge.
    this.#reactor.again(this);
  }

  /** The state at this moment. */
  read(): Network {
    const began = now();
    const network = readNetwork(this.#questions);
    const ended = now();
    this.#earliest = ended + Math.min(LONGEST, SPARE * (ended - began));
    return network;
  }

  /** The socket that questions about routes can be put to. */
  get questions(): NetlinkSocket {
    return this.#questions;
  }

  override onReady(): void {
    let changed = false;
    while (this.readable && this.fd >= 0) {
      const datagram = receiveDatagram(this.fd);
      if (datagram === -ERRNO.EAGAIN) this.readable = false;
      // Also where some were lost.
      else changed = true;
    }
    if (changed) this.#schedule();
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.fd < 0) return;
    const wait = Math.max(SETTLE, this.#earliest - now());
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.fd < 0) return;
      try {
        this.#onChange(this.read());
      } catch (error) {
        this.#onError(error);
      }
    }, wait);
    this.#timer.unref();
  }

  /** Ends it, once. */
  close(): void {
    if (this.fd < 0) return;
    clearTimeout(this.#timer);
    this.#reactor.forget(this);
    this.#reactor.end(this);
    this.fd = -1;
    this.#events.close();
    this.#questions.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
