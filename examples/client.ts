// Sends a line, or by default an HTTP request. Prints the response and the protocol.
//
//   deno run --allow-ffi examples/client.ts <host> <port> [line]
//   bun examples/client.ts <host> <port> [line]

import process from "node:process";
import { connectMptcp, type NetAddr } from "@multipath/mptcp";

const [hostname = "127.0.0.1", port = "5000", line] = process.argv.slice(2);
const get = `GET / HTTP/1.1\r\nhost: ${hostname}:${port}\r\nconnection: close\r\n\r\n`;

const text = ({ hostname, port }: NetAddr) =>
  hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;

using conn = await connectMptcp({ hostname, port: Number(port) });

function describe(): string {
  const subflows = conn.subflows().map((s) => `${text(s.localAddr)} -> ${text(s.remoteAddr)}`);
  return [`This connection is ${conn.protocol}.`, conn.fallback?.detail, ...subflows]
    .filter(Boolean).join("\n");
}

await conn.writable.getWriter().write(new TextEncoder().encode(line ? `${line}\n` : get));
let description = "";
for await (const chunk of conn.readable.pipeThrough(new TextDecoderStream())) {
  description ||= describe(); // Subflows do not outlive the last byte.
  process.stdout.write(chunk);
  if (line) await conn.closeWrite();
}
console.log(`\n${description || describe()}`);
