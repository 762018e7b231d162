import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Buffer } from "node:buffer";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createLab, type Lab, labUnavailable } from "../bench/lab/lab.ts";
import { drop } from "../bench/lab/firewall.ts";
import { PathWatch } from "../src/cli/get/path_watch.ts";
import type { Subflow } from "../src/types.ts";
import { mptcp, mptcpCommand, noTerminal, TerminalSession } from "./cli.ts";
import { CliProcess } from "./cli_process.ts";
import { test } from "./harness.ts";
import { noPaths } from "./path_lab.ts";
import { missingProgram } from "./processes.ts";
import { delay } from "./sockets.ts";
import { temporaryFolder } from "./temporary.ts";

/** A subflow of path `i` that has received so many bytes. */
function subflow(i: number, bytes: number): Subflow {
  const addr = (host: number) => ({
    transport: "tcp" as const,
    hostname: `10.0.${i}.${host}`,
    port: 1000,
  });
  return { localAddr: addr(1), remoteAddr: addr(2), tcp: { bytesReceived: bytes } };
}

test("a path that falls silent, goes or comes back is told of once, a transfer's end is not", () => {
  const watch = new PathWatch();
  const at = (time: number, ...flows: Subflow[]) => watch.update(flows, time);
  const [first, second] = ["10.0.1.1 > 10.0.1.2", "10.0.2.1 > 10.0.2.2"];
  assertEquals(at(0, subflow(1, 100), subflow(2, 100)), []);
  assertEquals(at(1000, subflow(1, 200), subflow(2, 100)), []);
  assertEquals(at(2000, subflow(1, 300), subflow(2, 100)), [
    `path ${second} has carried nothing for 1.5 s, continuing over ${first}`,
  ]);
  assertEquals(at(2500, subflow(1, 400), subflow(2, 100)), []);
  assertEquals(at(3000, subflow(1, 500), subflow(2, 200)), [`path ${second} is back`]);
  assertEquals(at(3500, subflow(2, 300)), [`path ${first} lost, continuing over ${second}`]);
  assertEquals(at(4000), []);
  assertEquals(at(7000), ["all paths are lost, waiting for a new one"]);
  assertEquals(at(9000), []);
});

const noServers = noPaths ?? labUnavailable(["tc"]) ?? missingProgram("mptcpize");
const SIZE = 16_000_000;
/** In Mbit/s. */
const RATE = 40;
const PATTERN = Uint8Array.from({ length: 1009 }, (_, i) => i * i);
const CONTENT = Buffer.alloc(SIZE, PATTERN);

/** Starts a server of others on the lab's server, with a file on it. */
async function startOther(lab: Lab, name: "python3" | "nginx", folder: string): Promise<string> {
  const configuration = `daemon off; master_process off; pid ${folder}/pid; error_log stderr;
    events {} http { access_log off; server { listen 8080; root ${folder}; } }`;
  writeFileSync(`${folder}/nginx.conf`, configuration);
  writeFileSync(`${folder}/file`, CONTENT);
  const commands = {
    python3: ["python3", "-m", "http.server", "8080", "--directory", folder],
    nginx: ["nginx", "-c", `${folder}/nginx.conf`],
  };
  lab.server.spawn(["mptcpize", "run", ...commands[name]], { stdio: "ignore" });
  const late = Date.now() + 10_000;
  while ((await lab.server.run(["ss", "-Htln", "sport = :8080"])) === "") {
    assert(Date.now() < late, `${name} does not listen`);
    await delay(50);
  }
  return `http://${lab.server.address()}:8080/file`;
}

function createShapedLab(): Promise<Lab> {
  const sysctls = { "net.ipv4.tcp_congestion_control": "reno" };
  return createLab({ paths: [{ rate: RATE }, { rate: RATE }], sysctls });
}

for (const name of ["python3", "nginx"] as const) {
  test(`get fetches from ${name} over two paths at the sum of their rates`, {
    skip: noServers ?? missingProgram(name),
  }, async () => {
    using folder = temporaryFolder();
    await using lab = await createShapedLab();
    const url = await startOther(lab, name, folder.path);
    const prefix = ["ip", "netns", "exec", lab.client.name];
    const { status, stdout } = await mptcp(["get", "--json", "-o", folder.at("out"), url], {
      prefix,
    });
    assertEquals(status, 0);
    const { protocol, bytes, bytesPerSecond, subflows } = JSON.parse(stdout);
    assertEquals([protocol, bytes, subflows.length], ["mptcp", SIZE, 2]);
    // Of 80 Mbit/s Ethernet, IP and TCP take 5 %, slow start and the machine what else is missing.
    assert(bytesPerSecond * 8 > 1.5 * RATE * 1e6, stdout);
    assert(CONTENT.equals(readFileSync(folder.at("out"))));
  });
}

test("get goes on when a path is cut, and says so", {
  skip: noServers ?? missingProgram("nft"),
}, async () => {
  using folder = temporaryFolder();
  await using lab = await createShapedLab();
  const url = await startOther(lab, "python3", folder.path);
  const prefix = ["ip", "netns", "exec", lab.client.name];
  await using process = new CliProcess(["get", "-o", folder.at("out"), url], { prefix });
  const part = folder.at("out.part");
  const late = Date.now() + 10_000;
  while (!existsSync(part) || statSync(part).size < SIZE / 5) {
    assert(Date.now() < late);
    await delay(10);
  }
  await lab.server.addRules(...drop(2));
  assertEquals([await process.status(), process.stdout], [0, ""]);
  assertStringIncludes(
    process.stderr,
    "path 10.77.2.1 > 10.77.2.2 has carried nothing for 1.5 s, continuing over 10.77.1.1 > 10.77.1.2\n",
  );
  assert(CONTENT.equals(readFileSync(folder.at("out"))));
});

test("on a terminal get has the rate of every path, below the bar", {
  skip: noServers ?? noTerminal,
}, async () => {
  using folder = temporaryFolder();
  await using lab = await createShapedLab();
  const url = await startOther(lab, "python3", folder.path);
  const prefix = ["ip", "netns", "exec", lab.client.name];
  using session = new TerminalSession(
    mptcpCommand(["get", "-o", folder.at("out"), url], { prefix }),
  );
  const rates = [1, 2].map((i) =>
    `  10\\.77\\.${i}\\.1 > 10\\.77\\.${i}\\.2 +[\\d.]+ Mbit/s .*\\n`
  );
  await session.until(new RegExp(`out .*▕█.*▏ +\\d+% .* Mbit/s  0:0\\d left\\n${rates.join("")}`));
  const screen = await session.until(/status 0/);
  assertMatch(screen, /100% {2}15\.3 MiB of 15\.3 MiB/);
  assertEquals([...screen.matchAll(/out /g)].length, 1);
});
