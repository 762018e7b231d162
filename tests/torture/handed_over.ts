/**
 * What this module has handed to a test: a test that fails leaves it open, and that is no leak of the
 * module's.
 *
 * @module
 */

import { Acceptor } from "../../src/poll/acceptor.ts";
import type { Source } from "../../src/poll/epoll.ts";
import { Stream } from "../../src/poll/fd.ts";
import { Reactor } from "../../src/poll/reactor.ts";

/** Remembers every listener, every connection that was made and every one that was accepted. */
export class HandedOver implements Disposable {
  readonly #open = new Set<Disposable | (Source & { close(): void })>();
  readonly #own = Reactor.prototype.own;
  readonly #connect = Stream.prototype.connect;
  readonly #accept = Acceptor.prototype.accept;

  constructor() {
    const open = this.#open;
    const [own, connect, accept] = [this.#own, this.#connect, this.#accept];
    Reactor.prototype.own = function (source) {
      own.call(this, source);
      open.add(source as Source & { close(): void });
    };
    Stream.prototype.connect = async function (sockaddr) {
      await connect.call(this, sockaddr);
      open.add(this);
    };
    Acceptor.prototype.accept = async function () {
      const conn = await accept.call(this);
      open.add(conn as Disposable);
      return conn;
    };
  }

  /** Closes what is open. */
  closeAll(): void {
    for (const one of this.#open) {
      if (Symbol.dispose in one) one[Symbol.dispose]();
      else if (one.fd >= 0) one.close();
    }
  }

  [Symbol.dispose](): void {
    Reactor.prototype.own = this.#own;
    Stream.prototype.connect = this.#connect;
    Acceptor.prototype.accept = this.#accept;
  }
}
