import { assert, assertEquals } from "@std/assert";
import { existsSync } from "node:fs";
import { LIBC_PATHS } from "../ffi/linux/libc.ts";
import { test } from "./harness.ts";
import { runProgram } from "./processes.ts";

const only = { runtime: "deno", reason: "Bun has no permissions" } as const;

/** Connects to itself by name and address, and prints what it was and the errors' names. */
const PROGRAM = `
import { connectMptcp, listenMptcp } from "./mod.ts";
const attempt = async (action) => { try { return await action(); } catch (e) { return e.name + ": " + e.message; } };
const listened = await attempt(() => listenMptcp({ hostname: "127.0.0.1" }));
if (typeof listened === "string") console.log(listened);
else {
  const hostname = "localhost";
  const conn = await attempt(() => connectMptcp({ hostname, port: listened.addr.port }));
  console.log(typeof conn === "string" ? conn : conn.protocol === listened.protocol);
  conn.close?.();
  listened.close();
}`;

async function outcome(...permissions: string[]): Promise<string> {
  const { stdout, stderr, status } = await runProgram(PROGRAM, {
    permissions: ["--no-prompt", ...permissions],
  });
  assertEquals([stderr, status], ["", 0]);
  return stdout.trim();
}

test("--allow-ffi is enough", { only }, async () => {
  assertEquals(await outcome("--allow-ffi"), "true");
});

test("--allow-ffi=<path of libc> is enough", { only }, async () => {
  const path = LIBC_PATHS.find(existsSync)!;
  assertEquals(await outcome(`--allow-ffi=${path}`), "true");
});

test("without --allow-ffi the error says what to allow", { only }, async () => {
  const said = await outcome();
  assert(said.startsWith("NotCapable: ") && said.includes("--allow-ffi"), said);
});

test("--deny-net is honoured", { only }, async () => {
  const said = await outcome("--allow-ffi", "--deny-net");
  assert(said.startsWith('NotCapable: Requires net access to "127.0.0.1:0"'), said);
});

test("--deny-net for a name or an address is honoured when connecting", { only }, async () => {
  for (const host of ["localhost", "127.0.0.1"]) {
    const said = await outcome(
      "--allow-ffi",
      "--allow-net",
      `--deny-net=${host}:1-65535`.split(":")[0]!,
    );
    assert(said.includes(`which --deny-net denies`), said);
  }
});

test("--deny-net for another host denies nothing", { only }, async () => {
  assertEquals(await outcome("--allow-ffi", "--deny-net=192.0.2.1"), "true");
});

test("--deny-net for one host is asked about every form of a host", { only }, async () => {
  const hosts = [
    "[::1]",
    "::1%lo",
    "[::1%lo]",
    "[::2]",
    "[::2%lo]",
    "no such host",
    "été",
    "*",
    ".",
  ];
  const program = `
  import { isNetDenied } from "./ffi/runtime.ts";
  console.log(${JSON.stringify(hosts)}.filter((host) => isNetDenied(host, 80)).join());`;
  const denied = async (flag: string) => {
    const { stdout, stderr } = await runProgram(program, { permissions: ["--no-prompt", flag] });
    assertEquals(stderr, "");
    return stdout.trim();
  };
  assertEquals(await denied("--deny-net=[::1]"), "[::1],::1%lo,[::1%lo]");
  assertEquals(await denied("--deny-net"), hosts.join());
  assertEquals(await denied("--allow-net"), "");
});

test("importing the module opens nothing and asks for nothing", { only }, async () => {
  const { stdout, stderr } = await runProgram(
    `import { listenMptcp, parseAddress } from "./mod.ts";
     console.log(typeof listenMptcp, parseAddress(":80").port);`,
    { permissions: ["--no-prompt"] },
  );
  assertEquals([stdout, stderr], ["function 80\n", ""]);
});
