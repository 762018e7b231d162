// Answers every HTTP request with its protocol, MPTCP or TCP, and its subflows:
//   deno run --allow-ffi examples/server.ts [port]     much faster with --allow-net
//   bun examples/server.ts [port]
import process from "node:process";
import type { NetAddr } from "@multipath/mptcp";
import { serveMptcp } from "@multipath/mptcp/http";

const VERDICT = {
  mptcp: "You are using MPTCP.",
  tcp: "You are not using MPTCP.",
  unknown: "This kernel does not report it; Linux 5.16 and later do.",
};
const text = ({ hostname, port }: NetAddr) =>
  hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;

const port = Number(process.argv[2] ?? 5000);
const server = serveMptcp({ hostname: "::", port }, (_request, info) => {
  const { protocol, fallback } = info;
  const subflows = info.subflows().map((s) => `${text(s.localAddr)} <- ${text(s.remoteAddr)}`);
  const lines = [VERDICT[protocol], fallback?.detail ?? [], subflows].flat();
  return new Response(`${lines.join("\n")}\n`);
});
const { addr, fallback, engine } = server;
console.log(`Port ${addr.port}: ${fallback?.detail ?? "MPTCP and TCP"} (${engine.name} engine)`);
