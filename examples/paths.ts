// Shows visitors the paths of their own connection, live, in the browser:
//   deno run --allow-ffi --allow-net examples/paths.ts [port]
//   bun examples/paths.ts [port]
import process from "node:process";
import { serveMptcp, type ServeMptcpInfo } from "@multipath/mptcp/http";
import { ServerSentEventStream } from "@std/http/server-sent-event-stream";

const PAGE = `<!doctype html><meta charset="utf-8"><title>Your paths</title>
<h1>Your connection</h1><pre id="paths"></pre>
<script>new EventSource("/events").onmessage = ({ data }) =>
  document.getElementById("paths").textContent = JSON.parse(data).join("\\n");</script>`;

function describe(info: ServeMptcpInfo): string[] {
  const paths = info.subflows().map(({ remoteAddr, tcp }) =>
    `path from ${remoteAddr.hostname}, round trip ${((tcp.rtt ?? 0) / 1000).toFixed(1)} ms`
  );
  return [info.fallback?.detail ?? `You are using ${info.protocol}.`, ...paths];
}

function events(info: ServeMptcpInfo): ReadableStream<Uint8Array<ArrayBuffer>> {
  let timer: ReturnType<typeof setInterval>;
  const messages = new ReadableStream<{ data: string }>({
    start(controller) {
      const send = () => controller.enqueue({ data: JSON.stringify(describe(info)) });
      send();
      timer = setInterval(send, 1000);
    },
    cancel: () => clearInterval(timer),
  });
  return messages.pipeThrough(new ServerSentEventStream());
}

const port = Number(process.argv[2] ?? 5004);
const server = serveMptcp({ hostname: "::", port }, (request, info) => {
  const isStream = new URL(request.url).pathname === "/events";
  const headers = { "content-type": isStream ? "text/event-stream" : "text/html" };
  return new Response(isStream ? events(info) : PAGE, { headers });
});
console.log(`Port ${server.addr.port}: ${server.fallback?.detail ?? "MPTCP and TCP"}`);
