import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { spawnSync } from "node:child_process";
import { chownSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";
import { labNamespaces } from "../bench/lab/namespaces.ts";
import { labUnavailable, userNamespaceUnavailable } from "../bench/lab/rights.ts";
import { mptcpSupport } from "../mod.ts";
import { test } from "./harness.ts";
import { LineProcess, missingProgram, ROOT, run, runtimeCommand } from "./processes.ts";
import { delay } from "./sockets.ts";

const COMMAND = [...runtimeCommand(), "bench/demo.ts"];
const NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

const noMptcp = mptcpSupport().supported ? null : mptcpSupport().fallback!.detail;
const noLab = labUnavailable([]);
const noUserNamespace = userNamespaceUnavailable();

/** Runs the demonstration by a command that is put before it, and gives what it prints. */
function demo(...prefix: string[]): string {
  const [program, ...args] = [...prefix, ...COMMAND];
  const settings = { cwd: ROOT, encoding: "utf8", timeout: 8000 } as const;
  const { status, pid, stdout, stderr } = spawnSync(program!, args, settings);
  assertEquals([status, stderr], [0, ""]);
  assertEquals(labNamespaces(pid), []);
  assert(stdout.split("\n").length <= 22, stdout);
  assert(!stdout.includes("\x1b"), "it has colours, but no terminal");
  return stdout;
}

/** What the client that asks for MPTCP, and its server, say of each subflow. */
function mptcpSubflows(output: string): string[][] {
  const [, part] = output.split(/^A client that asks for .*$/m);
  return ["->", "<-"].map((arrow) => {
    return part!.split("\n").filter((line) => line.includes(arrow));
  });
}

function assertTwoPaths(output: string): void {
  assertStringIncludes(output, "joined by two paths");
  for (const rows of mptcpSubflows(output)) {
    assertEquals(rows.length, 2, output);
    assertStringIncludes(rows[0]!, "mptcp ");
    for (const [i, row] of rows.entries()) assertStringIncludes(row, ` 10.77.${i + 1}.`);
  }
}

/** Why the demonstration cannot be run as the user nobody; `null` if it can. */
function missingNobody(): string | null {
  if (process.getuid!() !== 0) return "only root can become nobody";
  const [setpriv, ...args] = [...NOBODY, "test", "-r", `${ROOT}bench/demo.ts`, "-a", "-x"];
  const { status } = spawnSync(setpriv!, [...args, process.execPath]);
  return status === 0 ? null : "nobody may not read this checkout, or not run the runtime";
}

test("the demonstration shows two subflows at both ends, and TCP", {
  skip: noMptcp ?? labUnavailable(["tc", "nft"]),
}, () => {
  const output = demo();
  assertTwoPaths(output);
  const [, both, one] = output.split(/^(?:A|The same) transfer .*$/m);
  assert(/path 1 {2}█.* Mbit\/s\n {2}path 2 {2}█.* Mbit\/s/.test(both!), output);
  assert(/path 1 {2}█.* Mbit\/s\n {2}path 2 {2,}0 bit\/s/.test(one!), output);
  assert(/It went on\. Longest gap without data: \d+ ms\.\n$/.test(output), output);
  assertStringIncludes(output, 'Switched off by mptcp: "off"');
  assertStringIncludes(output, "The client did not request MPTCP");
});

test("the demonstration shows two subflows to a user without rights", {
  skip: noMptcp ?? noUserNamespace,
  place: missingNobody(),
}, () => {
  const home = mkdtempSync(`${tmpdir()}/mptcp-demo-`);
  try {
    chownSync(home, 65534, 65534);
    assertTwoPaths(demo(...NOBODY, "env", `HOME=${home}`, "PATH=/usr/bin:/bin"));
  } finally {
    rmSync(home, { recursive: true });
  }
});

test("the demonstration goes over loopback where namespaces are forbidden, and says why", {
  skip: noMptcp ?? noUserNamespace,
}, () => {
  const powerless =
    'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all "$@"';
  const output = demo("unshare", "-Ur", "sh", "-c", powerless, "sh");
  assertStringIncludes(output, "There is one path only: this process may not make network");
  for (const rows of mptcpSubflows(output)) {
    assertEquals(rows.length, 1);
    assertStringIncludes(rows[0]!, "mptcp ");
  }
});

for (const user of ["root", "anybody"]) {
  const unshare = user === "root" ? "-n" : "-Urnm";

  test(`the demonstration shows ${user} the fallback where MPTCP is switched off, and its reason`, {
    skip: noMptcp ?? (user === "root" ? noLab : noUserNamespace),
  }, () => {
    const off = 'echo 0 > /proc/sys/net/mptcp/enabled && exec "$@"';
    const output = demo("unshare", unshare, "sh", "-c", off, "sh");
    assertStringIncludes(output, "The kernel refused an MPTCP socket (ENOPROTOOPT)");
    for (const rows of mptcpSubflows(output)) {
      assertEquals(rows.length, 1);
      assertStringIncludes(rows[0]!, " tcp ");
    }
  });
}

test("the demonstration shows that MPTCP is switched off by the environment", () => {
  assertStringIncludes(demo("env", "NO_MPTCP=1"), "environment variable NO_MPTCP");
});

test("the demonstration has colours on a terminal, unless NO_COLOR is set", {
  skip: missingProgram("script"),
}, () => {
  const line = COMMAND.map((arg) => `'${arg.replaceAll("'", "'\\''")}'`).join(" ");
  const onTerminal = (setting: string[]) =>
    run("env", [...setting, "script", "-qec", line, "/dev/null"]);
  assertStringIncludes(onTerminal(["-u", "NO_COLOR"]), "\x1b[1mA client");
  assert(!onTerminal(["NO_COLOR=1"]).includes("\x1b["));
});

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test(`the demonstration leaves nothing behind when ${signal} ends it`, {
    skip: noLab,
  }, async () => {
    await using running = new LineProcess(COMMAND);
    // The first name is that of a probe, which goes at once.
    while (!labNamespaces(running.pid).some((name) => name.endsWith("-server"))) await delay(1);
    await running.kill(signal);
    assertEquals(labNamespaces(running.pid), []);
  });
}
