import { assertEquals, assertStringIncludes } from "@std/assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "./harness.ts";
import { ROOT, runtimeCommand, runToEnd } from "./processes.ts";

const only = { runtime: "deno", reason: "bun:test has no sanitizers" } as const;

/** What docs/differences.md says to do, with waits of every kind: short, long, and many. */
const TESTS = `
import { connectMptcp, listenMptcp, mptcpSupport } from "file://${ROOT}mod.ts";
mptcpSupport();
for (const waits of [1, 40]) {
  for (const pause of [1, 40]) {
    Deno.test({ name: waits + " waits of " + pause, sanitizeOps: true, sanitizeResources: true, async fn() {
      using listener = listenMptcp({ hostname: "127.0.0.1" });
      using client = await connectMptcp({ port: listener.addr.port });
      using server = await listener.accept();
      for (let i = 0; i < waits; i++) {
        setTimeout(() => client.write(new Uint8Array(1)), pause);
        await server.read(new Uint8Array(1));
      }
      client.close();
      server.close();
      listener.close();
      await new Promise((resolve) => setTimeout(resolve));
    }});
  }
}`;

test(
  "with libc opened at the top of the file, Deno's sanitizers find nothing",
  { only },
  async () => {
    const folder = mkdtempSync(`${tmpdir()}/mptcp-`);
    try {
      writeFileSync(`${folder}/some_test.ts`, TESTS);
      const command = runtimeCommand().map((word) => word === "run" ? "test" : word);
      const { stdout, stderr, status } = await runToEnd([...command, `${folder}/some_test.ts`]);
      assertStringIncludes(stdout, "4 passed", stdout);
      assertEquals([stderr, status], ["", 0]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
);
