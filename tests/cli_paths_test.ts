import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { mptcp } from "./cli.ts";
import { CliProcess } from "./cli_process.ts";
import { test } from "./harness.ts";
import { addDefault, until } from "./managed_lab.ts";
import { CLIENT, noPaths, setUp } from "./path_lab.ts";
import { missingProgram } from "./processes.ts";

/** Without any capability, and with the one that is needed. */
const NOTHING = ["setpriv", "--bounding-set", "-all"];
const NET_ADMIN = ["setpriv", "--bounding-set", "-all,+net_admin"];

test(
  "paths shows what there is, what is missing and the command that mends it",
  { skip: noPaths },
  async () => {
    await using setup = await setUp();
    const { lab } = setup;
    await addDefault(lab, 1);
    const prefix = ["ip", "netns", "exec", lab.client.name];
    const options = ["--include", "path*", "--role", "path2=metered"];
    const plain = await mptcp(["paths", ...options], { prefix });
    assertEquals([plain.status, plain.stderr], [0, ""]);
    assertStringIncludes(plain.stdout, "INTERFACE");
    assert(/path2 +10\.77\.2\.1 +- +metered +- +incomplete/.test(plain.stdout), plain.stdout);
    assertStringIncludes(plain.stdout, "There is no route from 10.77.2.1 via path2.");
    assertStringIncludes(plain.stdout, "ip route add default via GATEWAY dev path2 metric 1000");
    const { stdout } = await mptcp(["paths", "--json", "--netns", lab.client.name, ...options]);
    const { paths, limits } = JSON.parse(stdout);
    assertEquals(paths[0].address, CLIENT.v4[0]);
    assertEquals(limits, { subflows: 4, addAddrAccepted: 4 });
    assertEquals(setup.clientPaths.endpoints(), []);
  },
);

test("paths up keeps endpoints until it is stopped, and removes its own", {
  skip: noPaths ?? missingProgram("setpriv"),
}, async () => {
  await using setup = await setUp();
  const { lab, clientPaths } = setup;
  await addDefault(lab, 1);
  const prefix = ["ip", "netns", "exec", lab.client.name];
  await using up = new CliProcess(["paths", "up", "--include", "path*", "--json"], { prefix });
  await up.until("stdout", /"path":"10\.77\.1\.1".*"action":"add"/);
  await addDefault(lab, 2);
  await up.until("stdout", /"path":"10\.77\.2\.1".*"action":"add"/);
  const second = () => clientPaths.endpoints().find(({ address }) => address === CLIENT.v4[1]);
  assertEquals([second()?.subflow, second()?.backup, second()?.device], [true, true, "path2"]);
  for (const line of up.stdout.trim().split("\n")) JSON.parse(line);
  assertEquals(await up.kill("SIGTERM"), 0);
  assertEquals(clientPaths.endpoints(), []);
  assertEquals(clientPaths.limits(), { subflows: 4, addAddrAccepted: 4 });
});

test("paths up --web and --metrics show the decisions", { skip: noPaths }, async () => {
  await using setup = await setUp();
  await addDefault(setup.lab, 1);
  await addDefault(setup.lab, 2);
  const servers = ["--web", "127.0.0.1:0", "--metrics", "127.0.0.1:0"];
  const place = ["--netns", setup.lab.client.name, "--include", "path*"];
  await using up = new CliProcess(["paths", "up", ...servers, ...place]);
  const [, page] = await up.until("stderr", /live page on (\S+)/);
  const [, metrics] = await up.until("stderr", /metrics on (\S+)/);
  const text = await (await fetch(metrics!)).text();
  const series = 'mptcp_path_decisions_total{policy="network",action="add",interface="path2"} ';
  assert(Number(text.split(series)[1]?.split("\n")[0]) >= 1, text);
  const reader = (await fetch(new URL("events", page))).body!.getReader();
  let events = "";
  while (!/event: ?state\ndata: ?.*\n\n/.test(events)) {
    events += new TextDecoder().decode((await reader.read()).value);
  }
  await reader.cancel();
  assertStringIncludes(events, "path2 10.77.2.1 add: it has an address and a route");
  assertEquals(await up.kill("SIGTERM"), 0);
  assertEquals(setup.clientPaths.endpoints(), []);
});

test(
  "paths up --dry-run says what it would do and changes nothing",
  { skip: noPaths },
  async () => {
    await using setup = await setUp();
    const netns = setup.lab.client.name;
    const { status, stdout, stderr } = await mptcp([
      ...["paths", "up", "--dry-run", "--include", "path*", "--netns", netns],
    ]);
    assertEquals([status, stderr], [0, ""]);
    assert(
      /path2 10\.77\.2\.1 add: it has an address and a route; used as backup/.test(stdout),
      stdout,
    );
    assertEquals(setup.clientPaths.endpoints(), []);
  },
);

test("paths up without CAP_NET_ADMIN says so once, and paths needs none", {
  skip: noPaths ?? missingProgram("setpriv"),
}, async () => {
  await using setup = await setUp();
  const prefix = ["ip", "netns", "exec", setup.lab.client.name, ...NOTHING];
  const up = await mptcp(["paths", "up", "--include", "path*"], { prefix });
  assertEquals(up.status, 1);
  assertEquals(up.stderr.match(/CAP_NET_ADMIN/g)?.length, 1, up.stderr);
  const shown = await mptcp(["paths", "--include", "path*"], { prefix });
  assertEquals([shown.status, shown.stderr], [0, ""]);
  assertStringIncludes(shown.stdout, CLIENT.v4[1]);
});

test("what makes no sense is told with status 2", { skip: noPaths }, async () => {
  for (
    const [args, message] of [
      [["paths", "--role", "eth0=fast"], "--role takes PATTERN=primary"],
      [["paths", "--include", "10.0.0.0/99"], "10.0.0.0/99"],
      [["paths", "up", "--policy", "fast"], "adaptive"],
      [["paths", "up", "--probe", "nowhere"], "nowhere"],
      [["paths", "up", "--dry-run", "--web", "127.0.0.1"], "--dry-run ends at once"],
    ] as const
  ) {
    const { status, stderr } = await mptcp(args);
    assertEquals(status, 2, stderr);
    assertStringIncludes(stderr, message);
  }
});

test("CAP_NET_ADMIN is all that paths up needs", {
  skip: noPaths ?? missingProgram("setpriv"),
}, async () => {
  await using setup = await setUp();
  const { lab, clientPaths } = setup;
  const prefix = ["ip", "netns", "exec", lab.client.name, ...NET_ADMIN];
  await using up = new CliProcess(["paths", "up", "--include", "path*"], { prefix });
  await up.until("stdout", /10\.77\.2\.1 add/);
  await until("two endpoints", () => clientPaths.endpoints().length >= 2);
  assertEquals(await up.kill("SIGINT"), 0);
  assertEquals(clientPaths.endpoints(), []);
});
