import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { connectMptcp, listenMptcp, MptcpError, mptcpSupport } from "../mod.ts";
import { mptcpCommand } from "./cli.ts";
import { anchorsOf, linksOf, outputsOf, PAGES, pageText, snippetsOf } from "./documents.ts";
import { test } from "./harness.ts";
import {
  createNetns,
  LineProcess,
  missingNamespaces,
  missingProgram,
  ROOT,
  run,
  runProgram,
  runtimeCommand,
  STDIN,
} from "./processes.ts";
import { bytesOf, delay, readUpTo } from "./sockets.ts";

const README = pageText("README.md");
const named = new Map(snippetsOf(README).map(({ file, text }) => [file, text]));
const printed = outputsOf(README);
const noMptcp = mptcpSupport().fallback?.detail ?? null;

/** Pages whose programs need servers of their own, and have a test of their own. */
const TESTED_ELSEWHERE: Readonly<Record<string, string>> = {
  "docs/recipes.md": "recipes_test.ts",
};

/** Runs one of the README's programs, on the runtime under test. */
async function outputOf(file: string, permissions: string[]): Promise<string> {
  const { stdout, stderr, status } = await runProgram(named.get(file)!, { permissions });
  assertEquals([stderr, status], ["", 0]);
  return stdout;
}

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

test("each file of the README says what it prints, but the HTTP server", () => {
  assertEquals(
    [...named.keys()],
    ["server.ts", "client.ts", "http.ts", "fetch.ts", "redis.ts"],
  );
  assertEquals([...printed.keys()], ["client.ts", "server.ts", "fetch.ts", "redis.ts"]);
});

test("the README's echo server and client print what it shows", { skip: noMptcp }, async () => {
  const permissions = ["--allow-ffi"];
  const command = [...runtimeCommand(permissions), ...STDIN];
  await using listening = new LineProcess(command, named.get("server.ts")!);
  await untilListening(8000);
  assertEquals(await listening.nextLine() + "\n", printed.get("server.ts"));
  assertEquals(await outputOf("client.ts", permissions), printed.get("client.ts"));
  assertEquals(await listening.nextLine() + "\n", printed.get("server.ts"));
});

for (const permissions of [["--allow-ffi"], ["--allow-ffi", "--allow-net"]]) {
  test(`the README's HTTP server answers with ${permissions.join(" ")}`, {
    skip: noMptcp,
  }, async () => {
    const command = [...runtimeCommand(permissions), ...STDIN];
    await using _listening = new LineProcess(command, named.get("http.ts")!);
    await untilListening(8080, "GET / HTTP/1.0\r\n\r\n");
    const answer = await fetch("http://127.0.0.1:8080/");
    assertEquals(await answer.text(), "You are using tcp.\n");
    const net = ["--allow-ffi", "--allow-net"];
    assertEquals((await outputOf("fetch.ts", net)).trimEnd() + "\n", printed.get("fetch.ts"));
  });
}

test("the README's Redis client prints what it shows", {
  skip: missingProgram("redis-server"),
}, async () => {
  const options = ["--port", "6379", "--save", "", "--bind", "127.0.0.1"];
  await using _redis = new LineProcess(["redis-server", ...options]);
  await untilListening(6379, "PING\r\n");
  assertEquals(await outputOf("redis.ts", ["-A"]), printed.get("redis.ts"));
});

for (const path of PAGES.filter((path) => path !== "README.md" && !(path in TESTED_ELSEWHERE))) {
  for (const [i, { text }] of snippetsOf(pageText(path)).entries()) {
    test(`program ${i + 1} of ${path} runs to its end`, async () => {
      const needsNet = /from "@multipath\/mptcp\/http"/.test(text);
      const permissions = ["--allow-ffi", ...(needsNet ? ["--allow-net"] : [])];
      const { stdout, stderr, status } = await runProgram(text, { permissions });
      assertEquals([stderr, status], ["", 0]);
      assert(stdout.length > 0);
    });
  }
}

test("pages whose programs are tested elsewhere have that test", () => {
  for (const [page, file] of Object.entries(TESTED_ELSEWHERE)) {
    if (PAGES.includes(page)) assert(existsSync(`${ROOT}tests/${file}`), file);
  }
});

test("every link in the documents leads somewhere", () => {
  const others = ["CONTRIBUTING.md", "SECURITY.md", "examples/proxy/README.md"];
  const broken = [...PAGES, ...others].flatMap((path) =>
    linksOf(pageText(path)).filter((link) => !resolves(path, link)).map((link) =>
      `${path}: ${link}`
    )
  );
  assertEquals(broken, []);
});

/** Whether a link leads out, or to a file and heading of the repository. */
function resolves(page: string, link: string): boolean {
  if (/^https?:/.test(link)) return true;
  const [file, anchor] = link.split("#") as [string, string?];
  const path = file === "" ? page : join(dirname(page), file);
  if (!existsSync(`${ROOT}${path}`)) return false;
  return anchor === undefined || anchorsOf(pageText(path)).has(anchor);
}

test("every page in docs/ begins with a title and says for whom it is, and the README leads to it", () => {
  const reachable = new Set<string>();
  const follow = (path: string) => {
    if (reachable.has(path)) return;
    reachable.add(path);
    for (const link of linksOf(pageText(path))) {
      const target = join(dirname(path), link.split("#")[0]!);
      if (PAGES.includes(target)) follow(target);
    }
  };
  follow("README.md");
  for (const path of PAGES.filter((path) => path !== "README.md")) {
    const [title, , first] = pageText(path).split("\n");
    assert(
      title!.startsWith("# ") && /^(This page is for|For) (people|programs) /.test(first!),
      path,
    );
  }
  assertEquals(PAGES.filter((path) => !reachable.has(path)), []);
});

test("the README has the two commands for a clone, and they are tasks", () => {
  const { tasks } = JSON.parse(readFileSync(`${ROOT}deno.json`, "utf8"));
  const [demo, all] = [...README.matchAll(/^npx -y deno@\S+ task (\w+)/gm)].map(([, name]) => name);
  assertEquals([demo, all], ["demo", "test"]);
  for (const name of [demo!, all!]) assert(name in tasks, name);
  assert(README.indexOf("npx") < README.indexOf("## A server"));
});

const [, shellBlock] = /^```sh\n(.*?)^```$/ms.exec(pageText("docs/cli.md"))!;
const commands = shellBlock!.trim().split("\n").map((line) => line.replace(/ *#.*/, ""));

/** A folder with the program as `mptcp`, where the command lines of docs/cli.md run, and a namespace. */
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
async function textOf(child: ChildProcess, pattern: RegExp | null): Promise<string> {
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

test("the command lines of docs/cli.md run, one after the other", {
  skip: missingNamespaces() ?? noMptcp,
}, async () => {
  using place = commandLinePlace();
  const waiting: Promise<string>[] = [];
  for (const line of commands) {
    const child = place.start(line);
    if (line.includes(" listen ")) {
      await textOf(child, /Listening on/);
      child.stdin!.end();
      waiting.push(textOf(child, null));
    } else if (line.includes(" monitor")) {
      const ended = once(child, "close");
      let told = false;
      const telling = textOf(child, /listener-created/).finally(() => told = true);
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
      const text = await textOf(child, null);
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

test("the ways to the command line are there", () => {
  const { tasks, exports } = JSON.parse(readFileSync(`${ROOT}deno.json`, "utf8"));
  const { bin } = JSON.parse(readFileSync(`${ROOT}package.json`, "utf8"));
  assertEquals(["mptcp" in tasks, "./cli" in exports, Object.keys(bin)], [true, true, ["mptcp"]]);
});
