/** The server on Bun's own sockets, event-driven as they are: `bun bench/servers/bun.ts TASK SIZE`. */

import { announce, countBytes, sourceBlock, taskArguments } from "./tasks.ts";

/** A connection of `Bun.listen`, as far as it is used here. */
interface Socket<State> {
  data: State;
  /** Gives how many bytes the kernel took; the rest is to be written after `drain`. */
  write(bytes: Uint8Array): number;
  end(): void;
  pause(): void;
  resume(): void;
}

interface Handlers<State> {
  open?(socket: Socket<State>): void;
  data(socket: Socket<State>, bytes: Uint8Array): void;
  drain?(socket: Socket<State>): void;
  /** The other end has sent everything. */
  end?(socket: Socket<State>): void;
}

interface BunListen {
  listen<State>(options: {
    hostname: string;
    port: number;
    allowHalfOpen?: boolean;
    socket: Handlers<State>;
  }): { readonly port: number };
}

const { Bun } = globalThis as unknown as { Bun: BunListen };
const { task, size } = taskArguments();
const address = { hostname: "127.0.0.1", port: 0 };

/** Reading stops while something is left to write. */
const echo: Handlers<Uint8Array | undefined> = {
  data(socket, bytes) {
    const written = socket.write(bytes);
    if (written >= bytes.byteLength) return;
    socket.data = bytes.subarray(Math.max(written, 0));
    socket.pause();
  },
  drain(socket) {
    if (socket.data === undefined) return;
    const written = socket.write(socket.data);
    if (written < socket.data.byteLength) {
      socket.data = socket.data.subarray(Math.max(written, 0));
      return;
    }
    socket.data = undefined;
    socket.resume();
  },
};

const sink: Handlers<number> = {
  open(socket) {
    socket.data = 0;
  },
  data(socket, bytes) {
    socket.data += bytes.byteLength;
  },
  end(socket) {
    socket.write(countBytes(socket.data));
    socket.end();
  },
};

function source(): Handlers<number> {
  const block = sourceBlock(size);
  /** Writes until the kernel takes no more; `data` is how much of the block it has taken. */
  function fill(socket: Socket<number>): void {
    for (;;) {
      const written = socket.write(socket.data === 0 ? block : block.subarray(socket.data));
      if (written < 0) return;
      socket.data += written;
      if (socket.data < size) return;
      socket.data = 0;
    }
  }
  return {
    open(socket) {
      socket.data = 0;
      fill(socket);
    },
    data() {},
    drain: fill,
  };
}

function listen(): { readonly port: number } {
  if (task === "sink") return Bun.listen({ ...address, allowHalfOpen: true, socket: sink });
  return task === "source"
    ? Bun.listen({ ...address, socket: source() })
    : Bun.listen({ ...address, socket: echo });
}

announce(listen().port);
