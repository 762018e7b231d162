import { assert, assertEquals, assertRejects } from "@std/assert";
import type { MptcpConn } from "../mod.ts";
import { fill } from "./contract/conn.ts";
import { unsupported } from "./contract/implementation.ts";
import { test } from "./harness.ts";
import {
  bytesOf,
  connectedPair,
  delay,
  LOOPBACKS,
  type Pair,
  readToEnd,
  readUpTo,
} from "./sockets.ts";

/** A view, and what takes its memory away or makes it smaller. */
interface Changing {
  readonly view: Uint8Array<ArrayBuffer>;
  change(): void;
}

/** What both runtimes have, and not both of their types. */
interface NewBuffer {
  resize(length: number): void;
  transfer(): ArrayBuffer;
}

function asNew(buffer: ArrayBuffer): NewBuffer {
  return buffer as unknown as NewBuffer;
}

const PAGE = 64 * 1024;

function resizable(length: number): ArrayBuffer {
  const Constructor = ArrayBuffer as unknown as new (
    length: number,
    options: { maxByteLength: number },
  ) => ArrayBuffer;
  return new Constructor(length, { maxByteLength: 2 * length });
}

/** By what an innocent program may do. */
const WAYS: Readonly<Record<string, (length: number) => Changing>> = {
  "transfers the buffer": (length) => {
    const view = new Uint8Array(length);
    return { view, change: () => void asNew(view.buffer).transfer() };
  },
  "posts the buffer to a Worker": (length) => {
    const view = new Uint8Array(length);
    return { view, change: () => void structuredClone(view.buffer, { transfer: [view.buffer] }) };
  },
  "shrinks the buffer": (length) => {
    const buffer = resizable(length);
    return { view: new Uint8Array(buffer), change: () => asNew(buffer).resize(length / 2) };
  },
  "shrinks the buffer of a view with a fixed length": (length) => {
    const buffer = resizable(length);
    return {
      view: new Uint8Array(buffer, 0, length),
      change: () => asNew(buffer).resize(length / 2),
    };
  },
  "grows a WebAssembly.Memory": (length) => {
    const { WebAssembly } = globalThis as unknown as {
      WebAssembly: {
        Memory: new (
          options: { initial: number },
        ) => { buffer: ArrayBuffer; grow(pages: number): void };
      };
    };
    const memory = new WebAssembly.Memory({ initial: Math.ceil(length / PAGE) });
    return {
      view: new Uint8Array(memory.buffer, 0, length),
      change: () => memory.grow(1),
    };
  },
};

const MESSAGE = "detached or made smaller";

/** Reads at least so many bytes; how many. */
async function readCount(conn: MptcpConn, length: number): Promise<number> {
  const buf = new Uint8Array(256 * 1024);
  let total = 0;
  while (total < length) total += (await conn.read(buf))!;
  return total;
}

const inBun = { only: { runtime: "bun", reason: "Deno's own TCP keeps the memory" } } as const;

/** The kinds of sockets; with the runtime's own TCP in the place of libc the protocol is TCP too. */
const KINDS = [
  ["mptcp", "require", {}],
  ["tcp", "off", {}],
  ["the TCP of the runtime", "off", inBun],
] as const;

for (const hostname of LOOPBACKS) {
  for (const [kind, mptcp, options] of KINDS) {
    const protocol = kind === "mptcp" ? kind : "tcp";
    const connect = async (): Promise<Pair> => {
      const open = () => connectedPair({ hostname, mptcp }, { hostname, mptcp });
      const pair = await (options === inBun ? unsupported(open) : open());
      assertEquals([pair.client.protocol, pair.server.protocol], [protocol, protocol]);
      return pair;
    };
    for (const [does, make] of Object.entries(WAYS)) {
      const title = `over ${kind} at ${hostname}, where the program ${does}`;

      test(`a read that waits fails and loses no byte ${title}`, options, async () => {
        using pair = await connect();
        const { view, change } = make(PAGE);
        const read = assertRejects(() => pair.client.read(view), TypeError, MESSAGE);
        change();
        await pair.server.write(bytesOf("news"));
        await read;
        assertEquals(await readUpTo(pair.client, 4), bytesOf("news"));
      });

      test(`a write that waits fails and sends nothing ${title}`, options, async () => {
        using pair = await connect();
        const { waiting, written } = await fill(pair.client);
        const { view, change } = make(PAGE);
        const write = assertRejects(() => pair.client.write(view), TypeError, MESSAGE);
        change();
        const [sent, read] = await Promise.all([waiting, readCount(pair.server, written + 1)]);
        await write;
        await pair.client.write(bytesOf("!"));
        await pair.client.closeWrite();
        const rest = await readToEnd(pair.server);
        assertEquals(read + rest.byteLength, written + sent + 1);
        assertEquals(rest.at(-1), bytesOf("!")[0]);
      });

      test(`a chunk that is half written errors the stream ${title}`, options, async () => {
        using pair = await connect();
        const { view, change } = make(256 * PAGE);
        const writer = pair.client.writable.getWriter();
        const closed = assertRejects(() => writer.closed, TypeError, MESSAGE);
        const write = assertRejects(() => writer.write(view), TypeError, "of 16777216 bytes");
        await delay(20);
        change();
        let received = 0;
        const buf = new Uint8Array(PAGE);
        for (let count; (count = await pair.server.read(buf)) !== null;) received += count;
        await write;
        await closed;
        assert(received > 0 && received < 256 * PAGE, `${received} bytes were received`);
      });
    }

    test(
      `a buffer that was lost before it was given is no empty one, over ${kind} at ${hostname}`,
      options,
      async () => {
        using pair = await connect();
        const lost = () => {
          const { view, change } = WAYS["transfers the buffer"]!(8);
          change();
          return view;
        };
        await assertRejects(() => pair.client.read(lost()), TypeError, MESSAGE);
        await assertRejects(() => pair.client.write(lost()), TypeError, MESSAGE);
        const writer = pair.client.writable.getWriter();
        writer.closed.catch(() => {});
        await assertRejects(() => writer.write(lost()), TypeError, MESSAGE);
      },
    );

    test(
      `a buffer that grows is read and written as it was, over ${kind} at ${hostname}`,
      options,
      async () => {
        using pair = await connect();
        const buffer = resizable(4);
        const view = new Uint8Array(buffer);
        const read = pair.client.read(view);
        asNew(buffer).resize(8);
        await pair.server.write(bytesOf("more news"));
        assertEquals(await read, 4);
        assertEquals(view, bytesOf("more\0\0\0\0"));
      },
    );

    test(
      `a reader that brings its own buffer gets all bytes, over ${kind} at ${hostname}`,
      options,
      async () => {
        using pair = await connect();
        const reader = pair.client.readable.getReader({ mode: "byob" });
        const view = new Uint8Array(8);
        const read = reader.read(view);
        assertEquals(view.byteLength, 0);
        await pair.server.write(bytesOf("news"));
        assertEquals((await read).value, bytesOf("news"));
      },
    );
  }
}
