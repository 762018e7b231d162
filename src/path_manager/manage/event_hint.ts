/**
 * Tells that something has happened to the MPTCP connections of a namespace, and not what: whoever
 * wants to know looks at the connections.
 *
 * @module
 */

import { ERRNO } from "../../../ffi/linux/errno.ts";
import { KernelPathManager } from "../../kernel/mptcp_pm.ts";
import { receiveDatagram } from "../../netlink/socket.ts";
import { Source } from "../../poll/epoll.ts";
import { type Reactor, reactor } from "../../poll/reactor.ts";

/** See the module's documentation. */
export class EventHint extends Source implements Disposable {
  readonly #reactor: Reactor = reactor();
  readonly #kernel: KernelPathManager;
  readonly #onEvent: () => void;

  private constructor(kernel: KernelPathManager, onEvent: () => void) {
    super(kernel.fd);
    this.refed = false;
    this.#kernel = kernel;
    this.#onEvent = onEvent;
    this.#reactor.begin(this);
    this.#reactor.again(this);
  }

  /** Subscribes; gives `null` where that is not allowed: it needs CAP_NET_ADMIN. */
  static open(netns: string | undefined, onEvent: () => void): EventHint | null {
    const kernel = new KernelPathManager(netns);
    if (kernel.subscribe() >= 0) return new EventHint(kernel, onEvent);
    kernel.close();
    return null;
  }

  override onReady(): void {
    let any = false;
    while (this.readable && this.fd >= 0) {
      const datagram = receiveDatagram(this.fd);
      if (datagram === -ERRNO.EAGAIN) this.readable = false;
      else any = true;
    }
    if (any) this.#onEvent();
  }

  /** Ends it, once. */
  close(): void {
    if (this.fd < 0) return;
    this.#reactor.forget(this);
    this.#reactor.end(this);
    this.fd = -1;
    this.#kernel.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
