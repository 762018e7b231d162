import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { readFileSync } from "node:fs";
import { connectMptcp, MptcpError } from "../mod.ts";
import { test } from "./harness.ts";
import { LineProcess, ROOT, runProgram, runtimeCommand, STDIN } from "./processes.ts";
import { bytesOf, delay, readUpTo } from "./sockets.ts";

const README = readFileSync(`${ROOT}README.md`, "utf8");
const snippets = [...README.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, text]) => text!);

/** The servers of the README do not end by themselves. */
const [server, client, ...others] = snippets as [string, string, ...string[]];
const httpServer = others.find((text) => text.includes("serveMptcp({ port: 8080 }"))!;
const programs = others.filter((text) => text !== httpServer);

test("the README's echo server and client talk to each other", async () => {
  const permissions = ["--allow-ffi"];
  await using listening = new LineProcess([...runtimeCommand(permissions), ...STDIN], server);
  await untilListening(8000);
  const { stdout, stderr, status } = await runProgram(client, { permissions });
  assertEquals([stderr, status], ["", 0]);
  const [echoed, truth] = stdout.split("\n") as [string, string];
  assertEquals(echoed, "hello");
  assert(truth.startsWith("mptcp") || truth.startsWith("tcp"), truth);
  assertStringIncludes(await listening.nextLine(), "127.0.0.1");
});

async function untilListening(port: number, request = "?"): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    try {
      using conn = await connectMptcp({ port });
      await conn.write(bytesOf(request));
      await readUpTo(conn, 1);
      return;
    } catch (error) {
      assert(error instanceof MptcpError && error.code === "ECONNREFUSED", String(error));
      await delay(50);
    }
  }
  throw new Error(`Nobody listens on port ${port}`);
}

for (const permissions of [["--allow-ffi"], ["--allow-ffi", "--allow-net"]]) {
  test(`the README's HTTP server answers with ${permissions.join(" ")}`, async () => {
    const command = [...runtimeCommand(permissions), ...STDIN];
    await using _listening = new LineProcess(command, httpServer);
    await untilListening(8080, "GET / HTTP/1.0\r\n\r\n");
    const answer = await fetch("http://127.0.0.1:8080/");
    assertEquals(await answer.text(), "You are using tcp, by 1 path(s).\n");
  });
}

for (const [i, snippet] of programs.entries()) {
  test(`the README's program ${i + 1} runs to its end`, async () => {
    const permissions = ["--allow-ffi", ...(snippet.includes(".fetch(") ? ["--allow-net"] : [])];
    const { stdout, stderr, status } = await runProgram(snippet, { permissions });
    assertEquals([stderr, status], ["", 0]);
    assert(stdout.length > 0);
  });
}

test("the README begins with the two commands, and they are tasks", () => {
  const { tasks } = JSON.parse(readFileSync(`${ROOT}deno.json`, "utf8"));
  const [demo, all] = [...README.matchAll(/^npx -y deno@\S+ task (\w+)/gm)].map(([, name]) => name);
  assertEquals([demo, all], ["demo", "test"]);
  for (const name of [demo!, all!]) assert(name in tasks, name);
  assert(README.indexOf("npx") < README.indexOf("## "));
});
