import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { connectMptcp, listenMptcp, MptcpError, mptcpSupport } from "../mod.ts";
import { mptcpCommand } from "./cli.ts";
import { test } from "./harness.ts";
import {
  createNetns,
  LineProcess,
  missingNamespaces,
  ROOT,
  run,
  runProgram,
  runtimeCommand,
  STDIN,
} from "./processes.ts";
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

const [, commandLine] = README.split("## Command line\n");
const [, shellBlock] = /^```sh\n(.*?)^```$/ms.exec(commandLine!)!;
const commands = shellBlock!.trim().split("\n").map((line) => line.replace(/ *#.*/, ""));

/** A folder with the program as `mptcp`, where the README's command lines run, and a namespace. */
function commandLinePlace() {
  const folder = mkdtempSync(join(tmpdir(), "mptcp-readme-"));
  const netns = createNetns("readme");
  const words = mptcpCommand([]).map((word) => `'${word}'`).join(" ");
  writeFileSync(join(folder, "mptcp"), `#!/bin/sh\nexec ${words} "$@"\n`);
  chmodSync(join(folder, "mptcp"), 0o755);
  writeFileSync(join(folder, "file"), "the file's content\n");
  const started: ChildProcess[] = [];
  return {
    folder,
    netns: netns.name,
    start(line: string): ChildProcess {
      const env = { ...process.env, PATH: `${folder}:${process.env.PATH}` };
      const words = ["netns", "exec", netns.name, "sh", "-c", `exec ${line}`];
      const child = spawn("ip", words, { cwd: folder, env });
      started.push(child);
      return child;
    },
    [Symbol.dispose]() {
      for (const child of started) child.kill("SIGKILL");
      netns[Symbol.dispose]();
      rmSync(folder, { recursive: true });
    },
  };
}

/** Reads what a process prints on either stream until a pattern is there; all of it to its end. */
async function printed(child: ChildProcess, pattern: RegExp | null): Promise<string> {
  let text = "";
  const found = new Promise<void>((resolve) => {
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.on("data", (chunk: Uint8Array) => {
        text += new TextDecoder().decode(chunk);
        if (pattern?.test(text)) resolve();
      });
    }
  });
  await Promise.race([found, once(child, "close")]);
  if (pattern !== null) assert(pattern.test(text), text);
  return text;
}

test("the README's command lines run, one after the other", {
  skip: missingNamespaces() ?? mptcpSupport().fallback?.detail ?? null,
}, async () => {
  using place = commandLinePlace();
  const waiting: Promise<string>[] = [];
  for (const line of commands) {
    const child = place.start(line);
    if (line.includes(" listen ")) {
      await printed(child, /Listening on/);
      child.stdin!.end();
      waiting.push(printed(child, null));
    } else if (line.includes(" monitor")) {
      const ended = once(child, "close");
      let told = false;
      const telling = printed(child, /listener-created/).finally(() => told = true);
      while (!told) {
        // That somebody listens is an event.
        listenMptcp({ netns: place.netns }).close();
        await delay(20);
      }
      await telling;
      process.kill(child.pid!, "SIGINT");
      await ended;
    } else {
      child.stdin!.end();
      const text = await printed(child, null);
      assertEquals(child.exitCode, 0, `${line}: ${text}`);
      if (line.includes(" connect ")) assertStringIncludes(text, "MPTCP");
    }
  }
  assertEquals(waiting.length, 1);
  assertStringIncludes(await waiting[0]!, "Closed after");
  assertEquals(readFileSync(join(place.folder, "copy"), "utf8"), "the file's content\n");
  assertStringIncludes(
    run("ip", ["-n", place.netns, "mptcp", "endpoint"]),
    "192.0.2.2 id 1 signal",
  );
});

test("the README's ways to the command line are there", () => {
  const { tasks, exports } = JSON.parse(readFileSync(`${ROOT}deno.json`, "utf8"));
  const { bin } = JSON.parse(readFileSync(`${ROOT}package.json`, "utf8"));
  assertEquals(["mptcp" in tasks, "./cli" in exports, Object.keys(bin)], [true, true, ["mptcp"]]);
});
