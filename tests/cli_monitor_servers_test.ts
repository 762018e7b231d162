import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { mptcpSupport } from "../mod.ts";
import { mptcp, RunningCli } from "./cli.ts";
import { test } from "./harness.ts";
import { missingProgram } from "./processes.ts";
import { connectedPair, delay } from "./sockets.ts";
import { temporaryFolder } from "./temporary.ts";

const noMptcp = mptcpSupport().supported ? null : mptcpSupport().fallback!.detail;

/** The address that a server prints at its start. */
async function servedAt(cli: RunningCli): Promise<string> {
  return / on (http:\S+?)\. Ctrl-C/.exec(await cli.errorLine())![1]!;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

test("monitor --web serves the live page until a signal", { skip: noMptcp }, async () => {
  await using cli = new RunningCli(["monitor", "--web", "127.0.0.1:0"]);
  const url = await servedAt(cli);
  const response = await fetch(url);
  assertStringIncludes(await response.text(), "<title>MPTCP, live</title>");
  cli.signal("SIGINT");
  assertEquals((await cli.finish()).status, 130);
});

test("monitor --metrics serves the format that is asked for", { skip: noMptcp }, async () => {
  await using cli = new RunningCli(["monitor", "--metrics", "127.0.0.1:0"]);
  const url = await servedAt(cli);
  for (
    const [accept, type, end] of [
      ["application/openmetrics-text;version=1.0.0", "application/openmetrics-text", "# EOF\n"],
      ["*/*", "text/plain; version=0.0.4", "\n"],
    ] as const
  ) {
    const response = await fetch(url, { headers: { accept } });
    assertStringIncludes(response.headers.get("content-type")!, type);
    const text = await response.text();
    assert(text.endsWith(end));
    assertStringIncludes(text, "mptcp_ext_total{");
  }
  const missing = await fetch(new URL("/other", url));
  assertEquals([missing.status, await missing.text()], [404, "The metrics are at /metrics\n"]);
  cli.signal("SIGTERM");
  assertEquals((await cli.finish()).status, 143);
});

test("a real Prometheus scrapes the metrics", {
  skip: noMptcp ?? missingProgram("prometheus"),
}, async () => {
  using _pair = await connectedPair();
  await using cli = new RunningCli(["monitor", "--metrics", "127.0.0.1:0"]);
  const target = new URL(await servedAt(cli)).host;
  using folder = temporaryFolder();
  const config = folder.at("prometheus.yml");
  const scrape = {
    job_name: "mptcp",
    scrape_interval: "200ms",
    static_configs: [{ targets: [target] }],
  };
  // YAML takes JSON.
  writeFileSync(config, JSON.stringify({ scrape_configs: [scrape] }));
  const port = await freePort();
  const prometheus = spawn("prometheus", [
    `--config.file=${config}`,
    `--storage.tsdb.path=${folder.at("data")}`,
    `--web.listen-address=127.0.0.1:${port}`,
  ], { stdio: "ignore" });
  try {
    const query = `http://127.0.0.1:${port}/api/v1/query?query=sum(mptcp_connections)`;
    for (;;) {
      // At its start it refuses connections, then answers 503.
      const answer = await fetch(query)
        .then((response) => response.json())
        .catch(() => null) as
          | { data?: { result?: { value: [number, string] }[] } }
          | null;
      const value = Number(answer?.data?.result?.[0]?.value[1] ?? 0);
      if (value >= 2) break;
      await delay(50);
    }
  } finally {
    const exited = once(prometheus, "exit");
    prometheus.kill("SIGKILL");
    await exited;
  }
});

test("what does not go together is a usage error that names it", async () => {
  for (
    const [args, message] of [
      [["--web", "--metrics"], "--web and --metrics exclude each other"],
      [["127.0.0.1:1"], "ADDRESS can only be used with --web or --metrics"],
      [["--web", "--connections", "3"], "--connections can only be used with --metrics"],
      [["--web", "127.0.0.1:1-3"], "names several ports"],
    ] as const
  ) {
    const { status, stderr } = await mptcp(["monitor", ...args]);
    assertEquals(status, 2, stderr);
    assertStringIncludes(stderr, message);
  }
});
