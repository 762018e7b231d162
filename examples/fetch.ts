// Fetches a URL over Multipath TCP. Prints the body, and the protocol on standard error:
//   deno run --allow-ffi --allow-net --allow-read examples/fetch.ts URL [ca.pem]
//   bun examples/fetch.ts URL [ca.pem]
import { readFileSync } from "node:fs";
import process from "node:process";
import { createMptcpClient } from "@multipath/mptcp/http";

const [url = "http://localhost:5000/", caPath] = process.argv.slice(2);
const caCerts = caPath === undefined ? [] : [readFileSync(caPath, "utf8")];

await using client = createMptcpClient({ caCerts });
const response = await client.fetch(url);
for await (const chunk of response.body ?? []) process.stdout.write(chunk);

for (const conn of client.connections()) {
  const what = conn.fallback?.detail ?? `over ${conn.subflows().length} subflow(s)`;
  console.error(`${conn.hostname} port ${conn.port}: ${conn.protocol}, ${what}`);
}
