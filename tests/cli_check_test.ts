import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { listenMptcp, mptcpSupport } from "../mod.ts";
import { mptcp, mptcpCommand, noTerminal, TerminalSession } from "./cli.ts";
import { test } from "./harness.ts";
import { noPaths, SERVER, setUp } from "./path_lab.ts";
import { createNetns, missingNamespaces, missingProgram, pythonPeer, ROOT } from "./processes.ts";

const noMptcp = mptcpSupport().fallback?.detail ?? null;
const skip = missingNamespaces() ?? noMptcp;

test("check says what this machine has, with status 0 where it has MPTCP", { skip }, async () => {
  using netns = createNetns("check");
  const { status, stdout, stderr } = await mptcp(["check", "--netns", netns.name]);
  assertEquals([status, stderr], [0, ""]);
  assertStringIncludes(stdout, "MPTCP         yes, over IPv4 and IPv6\n");
  assertStringIncludes(
    stdout,
    "Limits        2 subflows in addition to the first, 0 announced addresses",
  );
  assert(/^127\.0\.0\.1 +lo +this link +-$/m.test(stdout), stdout);
  assertStringIncludes(stdout, "- There are no endpoints");
});

test("check --json is what mptcpSupport says", { skip }, async () => {
  using netns = createNetns("json");
  const { status, stdout } = await mptcp(["check", "--json", "--netns", netns.name]);
  assertEquals(status, 0);
  assertEquals(stdout.trim(), JSON.stringify(mptcpSupport({ netns: netns.name })));
});

test("check names the endpoint of an address, and one without an address", { skip }, async () => {
  await using setup = await setUp();
  setup.serverPaths.addEndpoint({ address: SERVER.v4[1], signal: true });
  setup.serverPaths.addEndpoint({ address: "192.0.2.7", subflow: true, backup: true });
  const { stdout } = await mptcp(["check", "--netns", setup.lab.server.name]);
  assert(/^10\.77\.2\.2 +\S+ +other networks +1: signal$/m.test(stdout), stdout);
  assert(/^192\.0\.2\.7 +- +nothing +2: subflow backup$/m.test(stdout), stdout);
  assertStringIncludes(stdout, "Endpoint 2 is 192.0.2.7, which is not an address of this host");
});

/** Ways to have no MPTCP, and what check says of each. */
const REFUSALS = [
  {
    name: "a sysctl",
    said: "`sysctl -w net.mptcp.enabled=1` switches it on",
    sysctls: { "net.mptcp.enabled": 0 },
  },
  { name: "NO_MPTCP", said: "by the environment variable NO_MPTCP", env: { NO_MPTCP: "1" } },
  {
    name: "a seccomp filter",
    said: "a seccomp filter or a security module does not allow this process MPTCP",
    prefix: ["python3", `${ROOT}tests/refuse_mptcp.py`],
  },
] as const;

for (const { name, said, ...refusal } of REFUSALS) {
  test(`check has status 3 where ${name} switches MPTCP off, and says so`, {
    skip: skip ?? missingProgram("python3"),
  }, async () => {
    using netns = createNetns("off", "sysctls" in refusal ? refusal.sysctls : {});
    const inside = ["ip", "netns", "exec", netns.name];
    const { status, stdout } = await mptcp(["check"], {
      prefix: [...inside, ..."prefix" in refusal ? refusal.prefix : []],
      env: "env" in refusal ? refusal.env : {},
    });
    assertEquals(status, 3);
    assert(/^MPTCP +no$/m.test(stdout), stdout);
    assertStringIncludes(stdout, said);
  });
}

test("check of a server over two paths tells both subflows", { skip: noPaths }, async () => {
  await using setup = await setUp();
  setup.serverPaths.addEndpoint({ address: SERVER.v4[1], signal: true });
  using listener = listenMptcp({ hostname: "::", netns: setup.lab.server.name });
  const address = `${SERVER.v4[0]}:${listener.addr.port}`;
  const words = ["check", address, "--netns", setup.lab.client.name];
  const { status, stdout } = await mptcp(words);
  assertEquals(status, 0);
  assert(/^MPTCP +yes$/m.test(stdout), stdout);
  assert(/^Subflows +2 after 1 s$/m.test(stdout), stdout);
  assert(/^10\.77\.2\.1:\d+ +10\.77\.2\.2:\d+ +ESTABLISHED /m.test(stdout), stdout);

  const json = await mptcp([...words, "--json", "--wait", "0.5"]);
  const { protocol, fallback, subflows, waitedMilliseconds } = JSON.parse(json.stdout);
  assertEquals([protocol, fallback, waitedMilliseconds], ["mptcp", null, 500]);
  const remotes = subflows.map((subflow: { remoteAddr: { hostname: string } }) =>
    subflow.remoteAddr.hostname
  );
  assertEquals(remotes, [...SERVER.v4]);
});

for (
  const { protocol, host } of [{ protocol: 6, host: "127.0.0.1" }, { protocol: 262, host: "::1" }]
) {
  const expected = protocol === 262 ? 0 : 3;
  test(`check of a server with sockets of protocol ${protocol} has status ${expected}`, {
    skip: missingProgram("python3") ?? noMptcp,
  }, async () => {
    await using peer = pythonPeer("serve", host, protocol);
    const { port } = await peer.next<{ port: number }>();
    const address = `${host.includes(":") ? `[${host}]` : host}:${port}`;
    const { status, stdout } = await mptcp(["check", `mptcp@${address}`, "--wait", "0"]);
    assertEquals(status, expected);
    const why = "The server does not support MPTCP, or something on the path removed the option";
    assertEquals(stdout.includes(why), protocol === 6);
    assert(/^MPTCP +(yes|no, TCP)$/m.exec(stdout)![1] === (protocol === 6 ? "no, TCP" : "yes"));
  });
}

test("check of a server with MPTCP switched off says by what", async () => {
  using listener = listenMptcp({ hostname: "127.0.0.1" });
  const address = `tcp@127.0.0.1:${listener.addr.port}`;
  const { status, stdout } = await mptcp(["check", "--json", address]);
  assertEquals(status, 3);
  const detail = "Switched off by tcp@ in the address";
  assertEquals(JSON.parse(stdout).fallback, { reason: "off", detail });
});

for (
  const [words, status, message] of [
    [["127.0.0.1:1"], 1, "connect 127.0.0.1:1: Connection refused"],
    [["no.such.host.invalid:80"], 1, "getaddrinfo no.such.host.invalid: failed to lookup"],
    [["127.0.0.1"], 2, '"127.0.0.1" has no port: add it after the host, as in "127.0.0.1:8080"'],
    [["[::1:80"], 2, 'Invalid address "[::1:80": the "[" is not closed, at character 1'],
    [["127.0.0.1:80-81"], 2, '"127.0.0.1:80-81" names several ports: connect to one of them'],
    [["127.0.0.1:1", "--timeout", "soon"], 2, "--timeout takes a number at least 0"],
    [["--netns", "mp-test-none"], 1, 'network namespace "mp-test-none": open: No such file'],
  ] as const
) {
  test(`"check ${words.join(" ")}" fails with status ${status}`, async () => {
    const finished = await mptcp(["check", ...words]);
    assertEquals([finished.status, finished.stdout], [status, ""]);
    assertStringIncludes(finished.stderr, `mptcp check: ${message}`);
    assert(!/^\s+at /m.test(finished.stderr), finished.stderr);
  });
}

test("check gives up on a server that does not answer", { skip }, async () => {
  await using setup = await setUp();
  const { client, server } = setup.lab;
  await server.setLink(1, "down");
  const words = ["check", `${SERVER.v4[0]}:80`, "--timeout", "0.3", "--netns", client.name];
  const { status, stderr } = await mptcp([...words, "--json"]);
  assertEquals(status, 1);
  assertEquals(JSON.parse(stderr).error, {
    message: `connect ${SERVER.v4[0]}:80: no answer within 0.3 s`,
    code: "ETIMEDOUT",
    address: SERVER.v4[0],
    port: 80,
  });
});

test("Ctrl-C ends check while it waits, with status 130", { skip: noTerminal }, async () => {
  using listener = listenMptcp({ hostname: "127.0.0.1" });
  const accepted = listener.accept();
  const words = ["check", `127.0.0.1:${listener.addr.port}`, "--wait", "100"];
  using session = new TerminalSession(mptcpCommand(words));
  using _conn = await accepted;
  session.press("C-c");
  const screen = await session.until(/status 130/);
  assert(!screen.includes("error"), screen);
});
