/**
 * The events of a network namespace as an async iterator.
 *
 * @module
 */

import { ERRNO } from "../../ffi/linux/errno.ts";
import { receiveDatagram } from "../netlink/socket.ts";
import { mptcpConnections } from "../kernel/sock_diag.ts";
import { decodeMptcpInfo } from "../kernel/info.ts";
import { Source } from "../poll/epoll.ts";
import { type Reactor, reactor } from "../poll/reactor.ts";
import { toNetAddr } from "../poll/socket.ts";
import { listEndpoints } from "../kernel/endpoints.ts";
import { decodeEvents } from "./events.ts";
import { KernelPathManager, refusal } from "../kernel/mptcp_pm.ts";
import { getLimits } from "../kernel/limits.ts";
import { systemError } from "../error.ts";
import type { KernelConnection, MptcpEvent, StateEvent } from "./types.ts";

/** A subscription to events. Leaving the loop or disposing of it ends the subscription. */
export interface MptcpEvents extends AsyncIterableIterator<MptcpEvent, undefined>, Disposable {
  /** Waits for the next event. */
  next(): Promise<IteratorResult<MptcpEvent, undefined>>;
  /** Ends the subscription: a waiting iteration is done. */
  return(): Promise<IteratorResult<MptcpEvent, undefined>>;
  /** The events themselves. */
  [Symbol.asyncIterator](): MptcpEvents;
  /** Ends the subscription. */
  close(): void;
  /** Makes waiting for an event keep the process alive, which is the default. */
  ref(): void;
  /** Allows the process to exit while waiting for an event. */
  unref(): void;
}

/** What an event stream is made of. */
export interface EventStreamOptions {
  readonly netns?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Only the events of this connection. */
  readonly token?: number | undefined;
}

type Result = IteratorResult<MptcpEvent, undefined>;

const DONE: Result = { done: true, value: undefined };

/** {@linkcode MptcpEvents} by a netlink socket of its own. */
export class EventStream extends Source implements MptcpEvents {
  readonly #reactor: Reactor = reactor();
  readonly #kernel: KernelPathManager;
  readonly #options: EventStreamOptions;
  readonly #events: MptcpEvent[] = [];
  #waiting: PromiseWithResolvers<Result>[] = [];
  #lost = false;
  /** The reason of an abort that has not been reported. */
  #aborted: { readonly reason: unknown } | null = null;

  /** Subscribes: what happens from now on is an event. */
  constructor(options: EventStreamOptions) {
    options.signal?.throwIfAborted();
    const kernel = new KernelPathManager(options.netns);
    super(kernel.fd);
    this.#kernel = kernel;
    this.#options = options;
    const result = kernel.subscribe();
    if (result < 0) {
      kernel.close();
      throw refusal(result, "", {
        operation: "subscribe to events",
        name: "NETLINK_ADD_MEMBERSHIP",
        since: "5.12",
      });
    }
    options.signal?.addEventListener("abort", this.#onAbort);
  }

  async next(): Promise<Result> {
    if (this.#aborted !== null) throw this.#takeReason(this.#aborted);
    if (this.fd < 0) return DONE;
    const mayTry = this.#reactor.mayTry();
    try {
      if (mayTry && this.#waiting.length === 0) {
        const event = this.#take();
        if (event !== null) return { done: false, value: event };
      }
      if (mayTry) this.#reactor.begin(this);
      else this.#reactor.defer(this);
    } catch (error) {
      // A `for await` that ends by an error does not close what it has iterated over.
      this.#end(({ reject }) => reject(error));
      throw error;
    }
    const waiting = Promise.withResolvers<Result>();
    this.#waiting.push(waiting);
    return await waiting.promise;
  }

  return(): Promise<Result> {
    this.close();
    return Promise.resolve(DONE);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  close(): void {
    this.#end(({ resolve }) => resolve(DONE));
  }

  [Symbol.dispose](): void {
    this.close();
  }

  ref(): void {
    this.#reactor.setRef(this, true);
  }

  unref(): void {
    this.#reactor.setRef(this, false);
  }

  override onReady(): void {
    while (this.#waiting.length > 0) {
      let event;
      try {
        event = this.#take();
      } catch (error) {
        this.#end(({ reject }) => reject(error));
        return;
      }
      if (event === null) return;
      this.#reactor.end(this);
      this.#waiting.shift()!.resolve({ done: false, value: event });
    }
  }

  readonly #onAbort = (): void => {
    const { reason } = this.#options.signal!;
    if (this.#waiting.length === 0) this.#aborted = { reason };
    this.#end(({ reject }) => reject(reason));
  };

  #takeReason({ reason }: { readonly reason: unknown }): unknown {
    this.#aborted = null;
    return reason;
  }

  #end(settle: (waiting: PromiseWithResolvers<Result>) => void): void {
    if (this.fd < 0) return;
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    this.#reactor.forget(this);
    this.fd = -1;
    this.#kernel.close();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const one of waiting) {
      this.#reactor.end(this);
      settle(one);
    }
  }

  /** The next event if there is one. */
  #take(): MptcpEvent | null {
    while (this.#events.length === 0) {
      if (!this.readable) return null;
      this.#receive();
    }
    return this.#events.shift()!;
  }

  #receive(): void {
    const datagram = receiveDatagram(this.fd);
    if (typeof datagram !== "number") {
      this.#events.push(...decodeEvents(datagram).filter((event) => this.#isWanted(event)));
    } else if (datagram === -ERRNO.ENOBUFS) {
      // What is queued is older than the gap; the kernel adds nothing until all of it is read.
      this.#lost = true;
    } else if (datagram === -ERRNO.EAGAIN) {
      this.readable = false;
      if (this.#lost) this.#events.push({ type: "lost" }, this.#state());
      this.#lost = false;
    } else {
      throw systemError("recv", datagram, { operation: "read events" });
    }
  }

  #isWanted(event: MptcpEvent): boolean {
    const { token } = this.#options;
    return token === undefined || ("token" in event && event.token === token);
  }

  #state(): StateEvent {
    const { netns, token } = this.#options;
    using kernel = new KernelPathManager(netns);
    return {
      type: "state",
      connections: listConnections(netns)
        .filter((connection) => token === undefined || connection.token === token),
      endpoints: listEndpoints(kernel, netns),
      limits: getLimits(kernel),
    };
  }
}

/** The MPTCP connections of a network namespace. */
export function listConnections(netns?: string): KernelConnection[] {
  return mptcpConnections(netns).flatMap(({ info, local, remote }) => {
    const { token, subflowsTotal, flags } = decodeMptcpInfo(info);
    if (token === undefined || flags?.fallback) return [];
    return [{ token, subflowsTotal, localAddr: netAddr(local), remoteAddr: netAddr(remote) }];
  });
}

function netAddr(sockaddr: Uint8Array) {
  const { hostname, port } = toNetAddr(sockaddr);
  return { hostname, port };
}
