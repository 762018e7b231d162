import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { readFileSync } from "node:fs";
import process from "node:process";
import { mptcpSupport } from "../mod.ts";
import { test } from "./harness.ts";
import {
  createNetns,
  LineProcess,
  missingNamespaces,
  missingProgram,
  ROOT,
  run,
  runtimeCommand,
} from "./processes.ts";
import { delay } from "./sockets.ts";

const README = readFileSync(`${ROOT}examples/proxy/README.md`, "utf8");
const snippets = [...README.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, text]) => text!);
const noMptcp = mptcpSupport().supported ? null : mptcpSupport().fallback!.detail;

test("every command of the README of examples/proxy does what it says", {
  skip: missingNamespaces() ?? missingProgram("curl") ?? noMptcp,
}, async () => {
  // Its ports are fixed, and those of this machine may be taken.
  using netns = createNetns("example");
  const prefix = ["ip", "netns", "exec", netns.name];
  process.env.RUN = runtimeCommand().slice(4).join(" ").replace(/^run/, process.execPath);
  await using up = new LineProcess([
    ...prefix,
    "sh",
    "-c",
    "exec sh examples/proxy/up.sh 2>&1",
  ]);
  const lines: string[] = [];
  const unseen: string[] = [];
  /** The first line that matches; two proxies print, in any order. */
  const until = async (pattern: RegExp) => {
    for (;;) {
      const at = unseen.findIndex((line) => pattern.test(line));
      if (at >= 0) return unseen.splice(at, 1)[0]!;
      lines.push(await up.nextLine());
      unseen.push(lines.at(-1)!);
    }
  };
  const sh = (text: string) => run(prefix[0]!, [...prefix.slice(1), "sh", "-c", text]);
  const [ask, client, kill, revive, counters, restart] = snippets;
  assertEquals(snippets.length, 6);
  try {
    for (const port of ["Port 5001", "Port 5002", ":8000 ", '"port":7000']) {
      await until(new RegExp(port));
    }

    assertStringIncludes(sh(ask!), "You are not using MPTCP.");
    assertMatch(await until(/ connection /), / front=mptcp\/1 .* back=tcp\/1 /);
    const edge = JSON.parse(await until(/^\{.*"connection"/));
    assertEquals([edge.front.protocol, edge.back.protocol], ["tcp", "mptcp"]);

    assertStringIncludes(sh(client!), "This connection is mptcp.");
    assertEquals(sh(kill!).split("You are not using MPTCP.").length - 1, 4);
    await until(/state=down/);
    assertEquals(sh(revive!).split("You are not using MPTCP.").length - 1, 4);
    await until(/state=up/);
    assertMatch(sh(counters!), /"total": \d+/);
    await until(/ counters backend/);
    sh(restart!);
    await until(/ stopped cut=0$/);
  } catch (error) {
    throw new Error(`${lines.join("\n")}\n${error}`, { cause: error });
  } finally {
    for (const name of ["server-1", "server-2", "edge", "front"]) {
      run("sh", ["-c", `kill "$(cat /tmp/mptcp-proxy/${name}.pid)" || true`]);
    }
    await delay(50);
  }
});
