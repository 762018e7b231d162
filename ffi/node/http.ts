/**
 * The HTTP of Node.js behind the contract of `http.ts`. The twin of `deno/http.ts`: same names, same
 * order.
 *
 * Node has no server of its own that takes a `Request`: there is the engine "node" alone.
 *
 * @module
 */

import type {
  ClientTlsOptions,
  RuntimeFetch,
  RuntimeHttp,
  RuntimeServer,
  WebSocketUpgrade,
} from "../http.ts";
import { createNodeServer } from "../node_server.ts";

function serveDenied(): string | null {
  return "Node.js has no HTTP server with Request and Response";
}

function serve(): RuntimeServer {
  throw new Error(serveDenied()!);
}

function showAddress(): void {}

function missingHost(): null {
  return null;
}

function foreignTlsOption(): null {
  return null;
}

function remoteAddr(): null {
  return null;
}

/** What makes the connections of a `fetch`: the `Agent` of undici. */
interface Dispatcher {
  close(): Promise<void>;
}

type Agent = new (options: { connect: Record<string, unknown> }) => Dispatcher;

/** Node has undici's `Agent` and does not export it, but shows the one that `fetch` uses. */
function agentClass(): Agent {
  // Only when this is made does Node load undici.
  new Response();
  const holder = globalThis as unknown as Record<symbol, Dispatcher | undefined>;
  const dispatcher = holder[Symbol.for("undici.globalDispatcher.2")];
  if (dispatcher !== undefined) return dispatcher.constructor as Agent;
  throw new Error("This version of Node.js does not expose the undici that its fetch uses");
}

function createFetch({ caCerts, cert, key }: ClientTlsOptions): RuntimeFetch {
  const tls = {
    ...(caCerts !== undefined && { ca: caCerts }),
    ...(cert !== undefined && { cert, key }),
  };
  const dispatchers = new Map<string | undefined, Dispatcher>();

  function dispatcherFor(path: string | undefined): Dispatcher {
    let dispatcher = dispatchers.get(path);
    if (dispatcher === undefined) {
      const connect = { ...tls, ...(path !== undefined && { socketPath: path }) };
      dispatcher = new (agentClass())({ connect });
      dispatchers.set(path, dispatcher);
    }
    return dispatcher;
  }

  return {
    fetch(input, init, path) {
      const options: object = { ...init, dispatcher: dispatcherFor(path) };
      return fetch(input, options);
    },
    close() {
      for (const dispatcher of dispatchers.values()) dispatcher.close().catch(() => {});
      dispatchers.clear();
    },
  };
}

function upgradeWebSocket(): WebSocketUpgrade {
  throw new Error("WebSockets on the server are not available in Node.js");
}

function nodeServerMissing(): string | null {
  return null;
}

/** The HTTP of Node.js. */
export const nodeHttp: RuntimeHttp = {
  waitsForSilent: false,
  abortsAfterShutdown: true,
  handlersGetServer: false,
  serveDenied,
  tellsCompletion: false,
  hidesTextType: false,
  showAddress,
  missingHost,
  optionNames: [],
  foreignTlsOption,
  serve,
  remoteAddr,
  tunnel: "unix",
  createFetch,
  upgradeWebSocket,
  nodeServerMissing,
  nodeServer: createNodeServer,
};
