import { assert, assertEquals } from "@std/assert";
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { listenMptcp } from "../mod.ts";
import { runtime, test } from "./harness.ts";
import { LineProcess, ROOT, runProgram, runtimeCommand } from "./processes.ts";
import { connectedPair } from "./sockets.ts";

/** A port that nobody listens on, as far as anybody can know. */
function freePort(): number {
  using listener = listenMptcp({ hostname: "127.0.0.1" });
  return listener.addr.port;
}

/** What a Worker does with its listener, of which it closes nothing. */
const WORKER = (port: number, hostname: string) => `
import process from "node:process";
import { connectMptcp, listenMptcp } from "file://${ROOT}mod.ts";
const listener = listenMptcp({ hostname: "${hostname}", port: ${port} });
const [client, server] = await Promise.all([
  connectMptcp({ hostname: "${hostname}", port: ${port} }),
  listener.accept(),
]);
server.read(new Uint8Array(1)).catch(() => {});
// Long enough for every way to wait.
for (let i = 0; i < 20; i++) {
  setTimeout(() => server.write(new Uint8Array(1)), 3);
  await client.read(new Uint8Array(1));
}
listener.accept().catch(() => {});
self.onmessage = ({ data }) => {
  if (data !== "close") throw new Error("thrown");
  if (self.close) self.close();
  else process.exit();
};
postMessage("up");`;

/** Starts a Worker and ends it in a way, so many times. */
const RUN = (how: string, port: number, hostname: string) => `
import { readdirSync } from "node:fs";
import process from "node:process";
const source = new Blob([${
  JSON.stringify(WORKER(port, hostname))
}], { type: "application/typescript" });
const counts = [];
for (let i = 0; i < 4; i++) {
  const worker = new Worker(URL.createObjectURL(source), { type: "module" });
  worker.onerror = (event) => {
    event.preventDefault();
    if (event.message && !event.message.includes("thrown")) console.log(event.message);
  };
  await new Promise((resolve) => worker.onmessage = resolve);
  counts.push(readdirSync("/proc/self/fd").length);
  if ("${how}" === "terminate") worker.terminate();
  else worker.postMessage("${how}");
  await new Promise((resolve) => setTimeout(resolve, 100));
}
console.log(counts[3] - counts[1] <= 2 ? "flat" : counts.join(" "));
const { listenMptcp } = await import("file://${ROOT}mod.ts");
listenMptcp({ hostname: "${hostname}", port: ${port} }).close();
console.log("free");
process.exit(0);`;

const place = runtime === "node" ? "Node.js has Workers of another kind" : null;

for (const hostname of ["127.0.0.1", "::1"]) {
  for (const how of ["terminate", "close", "throw"]) {
    test(
      `what a Worker listened on at ${hostname} is free again after ${how}, and no descriptor is left`,
      {
        place,
      },
      async () => {
        const { stdout } = await runProgram(RUN(how, freePort(), hostname));
        assertEquals(stdout, "flat\nfree\n");
      },
    );
  }
}

test(
  "a Worker that lives keeps its sockets while others look for what was left",
  { place },
  async () => {
    const port = freePort();
    const { stdout, stderr } = await runProgram(`
import process from "node:process";
import { connectMptcp, listenMptcp } from "./mod.ts";
const source = new Blob([${
      JSON.stringify(WORKER(port, "127.0.0.1"))
    }], { type: "application/typescript" });
const start = async () => {
  const worker = new Worker(URL.createObjectURL(source), { type: "module" });
  await new Promise((resolve) => worker.onmessage = resolve);
};
await start();
// Looks, as the port is taken, and rightly so.
try { listenMptcp({ hostname: "127.0.0.1", port: ${port} }); } catch (error) { console.log(error.code); }
using conn = await connectMptcp({ port: ${port} });
console.log(conn.remoteAddr.port === ${port});
process.exit(0);`);
    assertEquals([stdout, stderr], ["EADDRINUSE\ntrue\n", ""]);
  },
);

test("looking for what was left leaves this thread's own sockets alone", async () => {
  using pair = await connectedPair();
  using listener = listenMptcp({ hostname: "127.0.0.1" });
  try {
    listenMptcp({ hostname: "127.0.0.1", port: listener.addr.port });
    assert(false);
  } catch (error) {
    assertEquals((error as { code: string }).code, "EADDRINUSE");
  }
  await pair.client.write(new Uint8Array(1));
  assertEquals(await pair.server.read(new Uint8Array(2)), 1);
});

const SERVERS: Record<string, (port: number) => string> = {
  "an echo server": (port) => `
import { listenMptcp } from "file://${ROOT}mod.ts";
const listener = listenMptcp({ hostname: "127.0.0.1", port: ${port} });
console.log("listening");
for await (const conn of listener) conn.readable.pipeTo(conn.writable).catch(() => {});`,
  "serveMptcp with the node engine": (port) => `
import { serveMptcp } from "file://${ROOT}src/http/mod.ts";
const options = { hostname: "127.0.0.1", port: ${port}, engine: "node" } as const;
serveMptcp(options, () => new Response("ok"));
console.log("listening");`,
  "serveMptcp with the native engine": (port) => `
import { serveMptcp } from "file://${ROOT}src/http/mod.ts";
const options = { hostname: "127.0.0.1", port: ${port}, engine: "native" } as const;
serveMptcp(options, () => new Response("ok"));
console.log("listening");`,
  "proxyMptcp": (port) => `
import { proxyMptcp } from "file://${ROOT}src/proxy/mod.ts";
proxyMptcp({ front: "mptcp@127.0.0.1:${port}", back: ["tcp@127.0.0.1:1"] });
console.log("listening");`,
};

for (const [name, program] of Object.entries(SERVERS)) {
  test(`--watch starts ${name} anew on the same port`, {
    only: { runtime: "deno", reason: "Bun starts a new process" },
  }, async () => {
    assertEquals(runtime, "deno");
    const folder = mkdtempSync(`${tmpdir()}/mptcp-`);
    const file = `${folder}/server.ts`;
    writeFileSync(file, program(freePort()));
    const [deno, ...options] = runtimeCommand();
    const command = [deno!, ...options, "--watch", "--quiet", "--no-check", file];
    await using server = new LineProcess(command);
    try {
      assertEquals(await server.nextLine(), "listening");
      for (let i = 0; i < 2; i++) {
        const next = server.nextLine();
        // Deno may not watch yet.
        const timer = setInterval(() => appendFileSync(file, "\n// Saved."), 500);
        assertEquals(await next.finally(() => clearInterval(timer)), "listening");
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}
