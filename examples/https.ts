// HTTPS over Multipath TCP, with a certificate and its key in PEM. A pair to try it with:
//   openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -keyout key.pem -out cert.pem \
//     -addext subjectAltName=DNS:localhost -addext basicConstraints=CA:FALSE
//   deno run --allow-ffi --allow-net --allow-read examples/https.ts cert.pem key.pem [port]
//   bun examples/https.ts cert.pem key.pem [port]
import { readFileSync } from "node:fs";
import process from "node:process";
import { serveMptcp } from "@multipath/mptcp/http";

const [certPath, keyPath, port = "8443"] = process.argv.slice(2);
if (certPath === undefined || keyPath === undefined) {
  console.error("Usage: https.ts CERT KEY [PORT]");
  process.exit(2);
}
const cert = readFileSync(certPath, "utf8");
const key = readFileSync(keyPath, "utf8");
const server = serveMptcp({ hostname: "::", port: Number(port), cert, key }, (request, info) => {
  const { protocol, remoteAddr } = info;
  const { pathname } = new URL(request.url);
  const how = { mptcp: "over MPTCP", tcp: "over TCP", unknown: "somehow" }[protocol];
  return new Response(`${remoteAddr.hostname} got ${pathname} ${how}, encrypted.\n`);
});
console.log(`Port ${server.addr.port}: ${server.fallback?.detail ?? "MPTCP and TCP"}`);
