// Serves a folder over Multipath TCP, and logs what each request came by:
//   deno run --allow-ffi --allow-net --allow-read examples/files.ts [folder] [port]
//   bun examples/files.ts [folder] [port]
import process from "node:process";
import { serveMptcp } from "@multipath/mptcp/http";
import { serveDir } from "@std/http/file-server";

const [fsRoot = ".", port = "5002"] = process.argv.slice(2);
const server = serveMptcp({ hostname: "::", port: Number(port) }, async (request, info) => {
  const { protocol, remoteAddr } = info;
  const response = await serveDir(request, { fsRoot, showDirListing: true, quiet: true });
  const { pathname } = new URL(request.url);
  console.log(remoteAddr.hostname, protocol, request.method, pathname, response.status);
  return response;
});
console.log(`Port ${server.addr.port}: ${server.fallback?.detail ?? "MPTCP and TCP"}`);
