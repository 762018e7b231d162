import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { writeFileSync } from "node:fs";
import { createLab, labUnavailable } from "../bench/lab/lab.ts";
import { listenMptcp } from "../mod.ts";
import { mptcp } from "./cli.ts";
import { CliProcess } from "./cli_process.ts";
import { test } from "./harness.ts";
import { addDefault, until } from "./managed_lab.ts";
import { CLIENT, noPaths, SERVER, setUp } from "./path_lab.ts";
import { missingProgram } from "./processes.ts";
import { bytesOf } from "./sockets.ts";
import { temporaryFolder } from "./temporary.ts";

const PATHS = ["--paths", "path*"];

test("connect --policy keeps the paths while it runs, says so with -v, and removes its own", {
  skip: noPaths,
}, async () => {
  await using setup = await setUp();
  const { lab, clientPaths } = setup;
  await addDefault(lab, 1);
  await addDefault(lab, 2);
  using listener = listenMptcp({ hostname: "0.0.0.0", netns: lab.server.name });
  const address = `${SERVER.v4[0]}:${listener.addr.port}`;
  const prefix = ["ip", "netns", "exec", lab.client.name];
  await using client = new CliProcess(
    ["connect", "-v", "-d", "--policy", "active-backup", ...PATHS, address],
    { prefix },
  );
  using conn = await listener.accept();
  assertEquals(conn.protocol, "mptcp");
  await conn.write(bytesOf("hello"));
  await client.until("stdout", /hello/);
  await until("a second subflow", () => conn.subflows().length === 2, () => conn.subflows());
  const second = () => clientPaths.endpoints().find(({ address }) => address === CLIENT.v4[1]);
  assertEquals([second()?.subflow, second()?.backup], [true, true]);
  assertStringIncludes(client.stderr, "path2 10.77.2.1 add: it has an address and a route");
  conn.close();
  assertEquals(await client.status(), 0);
  assertEquals(clientPaths.endpoints(), []);
  assertEquals(clientPaths.limits(), { subflows: 4, addAddrAccepted: 4 });
});

test("serve --policy announces the addresses of the server until it is stopped", {
  skip: noPaths,
}, async () => {
  await using setup = await setUp();
  const { lab, serverPaths } = setup;
  using folder = temporaryFolder();
  const prefix = ["ip", "netns", "exec", lab.server.name];
  for (const path of [1, 2]) {
    const line = ["default", "via", CLIENT.v4[path - 1]!, "dev", `path${path}`];
    await lab.server.run(["ip", "route", "add", ...line, "metric", `${100 * path}`]);
  }
  const args = ["serve", "--policy", "none", ...PATHS, "--listen", ":0", folder.path];
  await using server = new CliProcess(args, { prefix });
  await server.until("stderr", /Serving .* over MPTCP/);
  const announced = serverPaths.endpoints();
  assert(announced.length > 0 && announced.every(({ signal }) => signal), String(announced.length));
  assertEquals(await server.kill("SIGTERM"), 143);
  assertEquals(serverPaths.endpoints(), []);
});

test("without CAP_NET_ADMIN --policy of every command is an error that names it once", {
  skip: noPaths ?? missingProgram("setpriv"),
}, async () => {
  const commands = [
    ["get", "http://127.0.0.1:1/"],
    ["serve", "--listen", "127.0.0.1:0"],
    ["proxy", "127.0.0.1:0", "127.0.0.1:1"],
    ["connect", "127.0.0.1:1"],
    ["bench", "client", "127.0.0.1"],
  ];
  await Promise.all(commands.map(async (command) => {
    const { status, stderr } = await mptcp([...command, "--policy", "adaptive"], {
      prefix: ["setpriv", "--bounding-set", "-all"],
    });
    assertEquals([status, stderr.match(/CAP_NET_ADMIN/g)?.length], [1, 1], stderr);
  }));
});

test("--paths without --policy, and a policy that there is not, are mistakes of the user", async () => {
  for (
    const [args, message] of [
      [["--paths", "eth*"], "--paths can only be used with --policy"],
      [["--policy", "fast"], "adaptive"],
    ] as const
  ) {
    const { status, stderr } = await mptcp(["get", ...args, "http://127.0.0.1:1/"]);
    assertEquals(status, 2, stderr);
    assertStringIncludes(stderr, message);
  }
});

/** Mbit/s of a file of 40 MB from the server of a lab whose second path is fifty times slower. */
async function download(...options: string[]): Promise<number> {
  await using lab = await createLab({
    paths: [{ rate: 100 }, { rate: 2 }],
    sysctls: { "net.ipv4.tcp_congestion_control": "cubic" },
    signal: null,
  });
  await addDefault(lab, 1);
  await addDefault(lab, 2);
  using folder = temporaryFolder();
  writeFileSync(`${folder.path}/file`, new Uint8Array(40_000_000));
  const inside = (name: string) => ({ prefix: ["ip", "netns", "exec", name] });
  const serving = ["serve", "-q", "--listen", "0.0.0.0:8080", folder.path];
  await using server = new CliProcess(serving, inside(lab.server.name));
  await server.until("stderr", /Serving/);
  const fetching = ["get", "--json", "-o", "/dev/null", ...options];
  const { status, stdout, stderr } = await mptcp(
    [...fetching, `http://${lab.server.address()}:8080/file`],
    inside(lab.client.name),
  );
  assertEquals(status, 0, stderr);
  const { bytes, seconds } = JSON.parse(stdout);
  assertEquals(bytes, 40_000_000);
  return 8 * bytes / seconds / 1e6;
}

test("get --policy adaptive with a slow second path is close to the fast path alone", {
  skip: noPaths ?? labUnavailable(["tc"]),
  long: true,
}, async () => {
  const alone = await download("--no-mptcp");
  const managed = await download("--policy", "adaptive", ...PATHS);
  // Alone, MPTCP has a fifth of it.
  assert(managed > 0.6 * alone, `${managed} Mbit/s, and ${alone} over the fast path alone`);
});
