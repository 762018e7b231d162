// Serves the files of a folder over Multipath TCP, and logs the protocol of each request:
//   deno run --allow-ffi --allow-net --allow-read examples/files.ts [folder] [port]
//   bun examples/files.ts [folder] [port]
//
// In Deno, serveDir does more: ranges, content types, lists of folders.
//   import { serveDir } from "jsr:@std/http/file-server";
//   serveMptcp((request) => serveDir(request, { fsRoot: "public", showDirListing: true }));
import { open, realpath } from "node:fs/promises";
import { join, sep } from "node:path";
import process from "node:process";
import { Readable } from "node:stream";
import { serveMptcp } from "@multipath/mptcp/http";

const [folder = ".", port = "5002"] = process.argv.slice(2);
const root = await realpath(folder);

async function serveFile(request: Request): Promise<Response> {
  try {
    const path = await realpath(join(root, decodeURIComponent(new URL(request.url).pathname)));
    const isShown = path.startsWith(`${root}${sep}`) && !path.slice(root.length).includes("/.");
    if (!isShown) throw new Error("It is outside of the folder, or hidden");
    const file = await open(path);
    const { size } = await file.stat();
    const body = Readable.toWeb(file.createReadStream()) as unknown as ReadableStream<Uint8Array>;
    return new Response(body, { headers: { "content-length": String(size) } });
  } catch {
    return new Response("Not Found\n", { status: 404 });
  }
}

const server = serveMptcp({ hostname: "::", port: Number(port) }, async (request, info) => {
  const response = await serveFile(request);
  const { protocol, remoteAddr } = info;
  const { pathname } = new URL(request.url);
  console.log(remoteAddr.hostname, protocol, request.method, pathname, response.status);
  return response;
});
console.log(`Port ${server.addr.port}: ${server.fallback?.detail ?? "MPTCP and TCP"}`);
