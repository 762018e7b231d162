/**
 * A `WebSocket` on what Bun has instead on the server's side: an object that calls the handlers which
 * the server was made with.
 *
 * @module
 */

/** `Bun.ServerWebSocket`, by the parts that are used here. */
interface ServerWebSocket {
  data: unknown;
  binaryType: "arraybuffer" | "uint8array" | "nodebuffer";
  send(data: string | ArrayBufferView | ArrayBufferLike): number;
  close(code?: number, reason?: string): void;
  getBufferedAmount(): number;
}

type EventName = "open" | "message" | "close" | "error";

/** The server's end of a connection, as the standard has the client's. */
export class UpgradedWebSocket extends EventTarget {
  readonly url: string;
  readonly protocol: string;
  readonly extensions = "";
  readyState: number = WebSocket.CONNECTING;
  binaryType: BinaryType = "blob";
  onopen: ((event: Event) => void) | null = null;
  onmessage: ((event: Event) => void) | null = null;
  onclose: ((event: Event) => void) | null = null;
  onerror: ((event: Event) => void) | null = null;
  #socket: ServerWebSocket | null = null;

  constructor(url: string, protocol: string) {
    super();
    this.url = url.replace(/^http/, "ws");
    this.protocol = protocol;
  }

  get bufferedAmount(): number {
    return this.#socket?.getBufferedAmount() ?? 0;
  }

  send(data: string | ArrayBufferView | ArrayBufferLike | Blob): void {
    if (this.readyState === WebSocket.CONNECTING) {
      throw new DOMException("The WebSocket is not open yet", "InvalidStateError");
    }
    if (this.readyState !== WebSocket.OPEN) return;
    if (data instanceof Blob) void data.arrayBuffer().then((bytes) => this.send(bytes));
    else this.#socket!.send(data);
  }

  close(code?: number, reason?: string): void {
    if (this.readyState >= WebSocket.CLOSING) return;
    this.readyState = WebSocket.CLOSING;
    this.#socket?.close(code ?? 1000, reason);
  }

  /** Bun has opened the connection. */
  opened(socket: ServerWebSocket): void {
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    // Bun calls this inside of `upgrade`, when nobody can listen yet.
    queueMicrotask(() => {
      if (this.readyState === WebSocket.CLOSING) socket.close(1000);
      if (this.readyState !== WebSocket.CONNECTING) return;
      this.readyState = WebSocket.OPEN;
      this.#emit("open", new Event("open"));
    });
  }

  /** A message has come. */
  received(message: string | ArrayBuffer): void {
    const isText = typeof message === "string" || this.binaryType === "arraybuffer";
    const data = isText ? message : new Blob([message]);
    this.#emit("message", new MessageEvent("message", { data }));
  }

  /** The connection is closed. */
  closed(code: number, reason: string): void {
    this.readyState = WebSocket.CLOSED;
    // 1006: the connection was lost, and nobody said good-bye.
    const wasClean = code !== 1006;
    if (!wasClean) this.#emit("error", new Event("error"));
    this.#emit("close", new CloseEvent("close", { code, reason, wasClean }));
  }

  #emit(name: EventName, event: Event): void {
    this[`on${name}`]?.call(this, event);
    this.dispatchEvent(event);
  }
}

/** What `Bun.serve` calls for connections that carry an {@linkcode UpgradedWebSocket}. */
export const websocketHandlers = {
  open(socket: ServerWebSocket): void {
    upgraded(socket).opened(socket);
  },
  message(socket: ServerWebSocket, message: string | ArrayBuffer): void {
    upgraded(socket).received(message);
  },
  close(socket: ServerWebSocket, code: number, reason: string): void {
    upgraded(socket).closed(code, reason);
  },
};

function upgraded({ data }: ServerWebSocket): UpgradedWebSocket {
  return data as UpgradedWebSocket;
}
