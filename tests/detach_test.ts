import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { once } from "node:events";
import * as net from "node:net";
import * as tls from "node:tls";
import { libc } from "../ffi/runtime.ts";
import { connectMptcp, listenMptcp, MptcpError } from "../mod.ts";
import { wireProtocol } from "../src/kernel/info.ts";
import type { MptcpConn } from "../src/types.ts";
import { createCertificate, noCertificate } from "./certificate.ts";
import { openFds, runtime, test } from "./harness.ts";
import { bytesOf, connectedPair, readToEnd, readUpTo } from "./sockets.ts";

const onlyBun = { runtime: "bun", reason: "the functions are Bun's own" } as const;

/** A socket of `node:net` on a descriptor, as each runtime takes it. */
function adopt(fd: number): net.Socket {
  return runtime === "bun" ? net.connect({ fd } as never) : new net.Socket({ fd });
}

/** Sends a word by a socket of `node:net`, and gives all that comes back. */
async function say(socket: net.Socket, word: string): Promise<string> {
  let heard = "";
  socket.on("data", (chunk) => heard += chunk);
  socket.end(word);
  await once(socket, "close");
  return heard;
}

/** Answers what comes by itself in brackets, then closes. */
async function answer(conn: MptcpConn): Promise<void> {
  const heard = new TextDecoder().decode(await readToEnd(conn));
  await conn.write(bytesOf(`[${heard}]`));
  conn.close();
}

test("a detached connection carries on as a socket of node:net", async () => {
  using pair = await connectedPair();
  const fd = pair.client.detach();
  assertEquals([pair.client.fd, wireProtocol(fd)], [-1, "mptcp"]);
  const [heard] = await Promise.all([say(adopt(fd), "by node:net"), answer(pair.server)]);
  assertEquals(heard, "[by node:net]");
});

test("a detached listener carries on as a server of node:net", async () => {
  const listener = listenMptcp({ hostname: "127.0.0.1" });
  const { port } = listener.addr;
  const server = net.createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
  server.listen({ fd: listener.detach() });
  await once(server, "listening");
  using conn = await connectMptcp({ port });
  assertEquals(conn.protocol, "mptcp");
  await conn.write(bytesOf("echo"));
  await conn.closeWrite();
  assertEquals(await readToEnd(conn), bytesOf("echo"));
  server.close();
  await once(server, "close");
});

test("TLS of node:tls runs over detached connections and listeners", {
  skip: noCertificate,
}, async () => {
  const { cert, key } = createCertificate();
  const listener = listenMptcp({ hostname: "127.0.0.1" });
  const { port } = listener.addr;
  const server = tls.createServer({ cert, key }, (socket) => socket.pipe(socket));
  server.listen({ fd: listener.detach() });
  await once(server, "listening");
  const conn = await connectMptcp({ port });
  assertEquals(conn.protocol, "mptcp");
  const secure = tls.connect({ socket: adopt(conn.detach()), ca: cert, servername: "localhost" });
  await once(secure, "secureConnect");
  assert(secure.authorized);
  secure.write("secret");
  const [heard] = await once(secure, "data");
  assertEquals(String(heard), "secret");
  secure.end();
  await once(secure, "close");
  server.close();
  await once(server, "close");
});

interface BunSocket {
  write(data: string): number;
  end(): void;
}

interface BunSockets {
  connect(options: unknown): Promise<BunSocket>;
  listen(options: unknown): { stop(force: boolean): void };
}

test("a detached connection carries on by Bun.connect", { only: onlyBun }, async () => {
  const { Bun } = globalThis as unknown as { Bun: BunSockets };
  using pair = await connectedPair();
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = await Bun.connect({
    fd: pair.client.detach(),
    socket: { data: (_socket: BunSocket, data: Uint8Array) => resolve(String(data)) },
  });
  socket.write("by Bun.connect");
  assertEquals(await readUpTo(pair.server, 14), bytesOf("by Bun.connect"));
  await pair.server.write(bytesOf("heard"));
  assertEquals(await promise, "heard");
  socket.end();
});

test("a detached listener carries on by Bun.listen", { only: onlyBun }, async () => {
  const { Bun } = globalThis as unknown as { Bun: BunSockets };
  const listener = listenMptcp({ hostname: "127.0.0.1" });
  const { port } = listener.addr;
  const server = Bun.listen({
    fd: listener.detach(),
    socket: { data: (socket: BunSocket, data: Uint8Array) => socket.write(String(data)) },
  });
  using conn = await connectMptcp({ port });
  assertEquals(conn.protocol, "mptcp");
  await conn.write(bytesOf("echo"));
  assertEquals(await readUpTo(conn, 4), bytesOf("echo"));
  server.stop(true);
});

test("detaching rejects what waits, forgets the descriptor and leaves it open", async () => {
  using pair = await connectedPair();
  const before = openFds();
  const reading = pair.client.read(new Uint8Array(1));
  const fd = pair.client.detach();
  const error = await assertRejects(() => reading, MptcpError);
  assertEquals([error.name, error.code], ["Interrupted", "EINTR"]);
  assertThrows(() => pair.client.detach(), MptcpError, "Bad resource ID");
  assertThrows(() => pair.client.close(), MptcpError, "Bad resource ID");
  pair.client[Symbol.dispose]();
  assertEquals(openFds(), before);
  assertEquals(libc().close(fd), 0);

  const listener = listenMptcp();
  const accepting = listener.accept();
  const listening = listener.detach();
  assertEquals((await assertRejects(() => accepting, MptcpError)).name, "BadResource");
  assertEquals([listener.fd, libc().close(listening)], [-1, 0]);
});

test("events of a detached descriptor go to nobody", async () => {
  using pair = await connectedPair();
  // Registered by a read that had to wait.
  const reading = pair.client.read(new Uint8Array(1));
  await pair.server.write(bytesOf("1"));
  await reading;
  const fd = pair.client.detach();
  using other = await connectedPair();
  const waiting = readUpTo(other.server, 1);
  await pair.server.write(bytesOf("2"));
  await other.client.write(bytesOf("3"));
  assertEquals(await waiting, bytesOf("3"));
  assertEquals(libc().recv(fd, new Uint8Array(4), 4, 0), 1);
  libc().close(fd);
});
