/**
 * Several certificates on one server of `node:tls`.
 *
 * @module
 */

import { createSecureContext, type SecureContext } from "node:tls";
import type { TlsOptions } from "./http.ts";

type Callback = (error: Error | null, context?: SecureContext) => void;

/** The certificates of a server, which can be replaced while it runs. */
export class Certificates {
  #contexts = new Map<string, SecureContext>();
  #options: Record<string, unknown> = {};

  constructor(tls: TlsOptions) {
    this.replace(tls);
  }

  /** What `createServer` of `node:tls` takes. */
  get options(): Record<string, unknown> {
    // A callback of the caller's own comes before ours.
    return { SNICallback: this.#choose, ...this.#options };
  }

  /** Makes new contexts of all certificates; throws, and changes nothing, where one is none. */
  replace({ byName = [], ...tls }: TlsOptions): void {
    const contexts = byName.map(({ serverName, ...tls }) =>
      [serverName.toLowerCase(), createSecureContext(tls)] as const
    );
    this.#contexts = new Map(contexts);
    this.#options = tls;
  }

  readonly #choose = (name: string, callback: Callback): void => {
    const asked = name.toLowerCase();
    const wildcard = asked.replace(/^[^.]+/, "*");
    callback(null, this.#contexts.get(asked) ?? this.#contexts.get(wildcard));
  };
}
