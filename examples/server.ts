// Answers any HTTP request with whether it came by Multipath TCP, and over which subflows:
//   deno run --allow-ffi examples/server.ts [port]
//   bun examples/server.ts [port]
import process from "node:process";
import { listenMptcp, type MptcpConn, type NetAddr } from "@multipath/mptcp";

const VERDICT = {
  mptcp: "You are using MPTCP.",
  tcp: "You are not using MPTCP.",
  unknown: "This kernel cannot tell, Linux 5.16 and later can.",
};
const text = ({ hostname, port }: NetAddr) =>
  hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;

async function answer(conn: MptcpConn): Promise<void> {
  const buf = new Uint8Array(4096);
  for (let head = ""; !head.includes("\r\n\r\n");) {
    const count = await conn.read(buf);
    if (count === null || head.length + count > 16_384) return;
    head += new TextDecoder().decode(buf.subarray(0, count));
  }
  const subflows = conn.subflows().map((s) => `${text(s.localAddr)} <- ${text(s.remoteAddr)}`);
  const lines = [VERDICT[conn.protocol], conn.fallback?.detail ?? [], subflows].flat();
  const head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n";
  await conn.writable.getWriter().write(new TextEncoder().encode(`${head}${lines.join("\n")}\n`));
  await conn.closeWrite();
  while (await conn.read(buf) !== null); // Closing with bytes unread would reset the connection.
}

const pause = () => new Promise<void>((resolve) => setTimeout(resolve, 100));
const listener = listenMptcp({ hostname: "::", port: Number(process.argv[2] ?? 5000) });
console.log(`Port ${listener.addr.port}: ${listener.fallback?.detail ?? "MPTCP and TCP"}`);
for (;;) {
  const conn = await listener.accept().catch(pause); // As when no file descriptor is left.
  if (!conn) continue;
  const late = setTimeout(() => conn[Symbol.dispose](), 10_000);
  answer(conn).catch(() => {}).finally(() => (clearTimeout(late), conn[Symbol.dispose]()));
}
