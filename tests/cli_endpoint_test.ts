import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { mptcpSupport } from "../mod.ts";
import { MptcpPathManager } from "../src/path_manager/mod.ts";
import { mptcp } from "./cli.ts";
import { test } from "./harness.ts";
import { createNetns, missingNamespaces, missingProgram, type Netns, run } from "./processes.ts";

const noPathManager = mptcpSupport().endpoints === null ? "the kernel has no path manager" : null;
const skip = missingNamespaces() ?? noPathManager;

/** Runs the program in a namespace and gives what it printed; fails unless it succeeds. */
async function inside(netns: Netns, ...words: string[]): Promise<string> {
  const { status, stdout, stderr } = await mptcp([...words, "--netns", netns.name]);
  assertEquals([stderr, status], ["", 0]);
  return stdout;
}

test("endpoints are added, listed, changed and removed, as ip mptcp shows", { skip }, async () => {
  using netns = createNetns("endpoints");
  using paths = new MptcpPathManager({ netns: netns.name });
  const shownByIp = () => run("ip", ["-n", netns.name, "mptcp", "endpoint", "show"]).trim();
  await inside(netns, "endpoint", "add", "10.0.0.1", "--signal");
  const words = ["fd00::1", "--subflow", "--fullmesh", "--id", "7", "--dev", "lo"];
  const added = JSON.parse(await inside(netns, "endpoint", "add", ...words, "--json"));
  assertEquals(JSON.stringify(added), JSON.stringify(paths.endpoints().slice(1)));
  const lines = (await inside(netns, "endpoint", "list")).split("\n");
  assertEquals(lines, [
    "ID  ADDRESS   PORT  DEVICE  FLAGS",
    " 1  10.0.0.1  -     -       signal",
    " 7  fd00::1   -     lo      subflow fullmesh",
    "",
  ]);
  assertEquals(shownByIp().split("\n").length, 2);

  const changed = await inside(netns, "endpoint", "change", "fd00::1", "--backup", "--no-fullmesh");
  assert(/^ 7 .* subflow backup$/m.test(changed), changed);
  assert(/fd00::1 id 7 subflow backup dev lo/.test(shownByIp()), shownByIp());

  assertEquals(await inside(netns, "endpoint", "remove", "7"), "");
  const flushed = JSON.parse(await inside(netns, "endpoint", "flush", "--json"));
  assertEquals(flushed.map(({ address }: { address: string }) => address), ["10.0.0.1"]);
  assertEquals([paths.endpoints(), shownByIp()], [[], ""]);
});

test("limits are shown and set", { skip }, async () => {
  using netns = createNetns("limits");
  const both = "subflows           2\nadd-addr-accepted  0\n";
  assertEquals(await inside(netns, "limits"), both);
  assertEquals(
    await inside(netns, "limits", "set", "--add-addr-accepted", "3"),
    both.replace("0", "3"),
  );
  const limits = { subflows: 4, addAddrAccepted: 3 };
  assertEquals(
    JSON.parse(await inside(netns, "limits", "set", "--subflows", "4", "--json")),
    limits,
  );
  assertEquals(JSON.parse(await inside(netns, "limits", "--json")), limits);
  assertEquals(
    run("ip", ["-n", netns.name, "mptcp", "limits"]).trim(),
    "add_addr_accepted 3 subflows 4",
  );
});

/** Without any capability. Still root, who can read this checkout and the runtime. */
const UNPRIVILEGED = ["setpriv", "--bounding-set", "-all"];

for (
  const words of [
    ["endpoint", "add", "10.0.0.1", "--signal"],
    ["endpoint", "flush"],
    ["limits", "set", "--subflows", "2"],
    ["monitor", "--lines"],
  ]
) {
  test(`${words.join(" ")} without CAP_NET_ADMIN says that it needs that`, {
    skip: skip ?? missingProgram("setpriv"),
  }, async () => {
    using netns = createNetns("unprivileged");
    const prefix = ["ip", "netns", "exec", netns.name, ...UNPRIVILEGED];
    const plain = await mptcp(words, { prefix });
    assertEquals([plain.status, plain.stdout], [1, ""]);
    assertStringIncludes(plain.stderr, "Operation not permitted");
    assertStringIncludes(plain.stderr, "CAP_NET_ADMIN");
  });
}

test("listing needs no privilege, and a refusal is JSON with --json", {
  skip: skip ?? missingProgram("setpriv"),
}, async () => {
  using netns = createNetns("listing");
  const prefix = ["ip", "netns", "exec", netns.name, ...UNPRIVILEGED];
  const listed = await mptcp(["endpoint", "list", "--json"], { prefix });
  assertEquals([listed.status, listed.stderr, listed.stdout], [0, "", "[]\n"]);
  const refused = await mptcp(["endpoint", "flush", "--json"], { prefix });
  assertEquals([refused.status, JSON.parse(refused.stderr).error.code], [1, "EPERM"]);
});

for (
  const [words, status, message] of [
    [["endpoint"], 2, "mptcp endpoint: expected a command"],
    [["endpoint", "ad"], 2, 'unknown command "ad"; did you mean "add"?'],
    [["endpoint", "add", "nowhere"], 2, 'Invalid address: expected an IP address, got "nowhere"'],
    [["endpoint", "add", "10.0.0.1", "--id", "256"], 2, "--id takes a number from 1 to 255"],
    [["endpoint", "add", "10.0.0.1", "--dev", "none0"], 1, 'No interface "none0"'],
    [["endpoint", "add", "10.0.0.1", "--signal", "--fullmesh"], 1, "Invalid argument"],
    [["endpoint", "remove", "9"], 1, "remove endpoint 9: "],
    [["endpoint", "remove", "10.9.9.9"], 1, "no such endpoint"],
    [["endpoint", "change", "1"], 2, "expected a flag to change"],
    [["endpoint", "change", "1", "--backup", "--no-backup"], 2, "exclude each other"],
    [["limits", "set"], 2, "expected --subflows, --add-addr-accepted, or both"],
    [
      ["limits", "set", "--subflows", "4294967296"],
      2,
      "--subflows takes a number from 0 to 4294967295",
    ],
    [["limits", "get"], 2, 'unexpected argument "get"'],
  ] as const
) {
  test(`"${words.join(" ")}" fails with status ${status}`, { skip }, async () => {
    using netns = createNetns("bad");
    const finished = await mptcp(words.length > 1 ? [...words, "--netns", netns.name] : words);
    assertEquals([finished.status, finished.stdout], [status, ""]);
    assertStringIncludes(finished.stderr, message);
    assert(!/^\s+at /m.test(finished.stderr), finished.stderr);
  });
}
