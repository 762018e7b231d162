import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { spawnSync } from "node:child_process";
import { chmodSync } from "node:fs";
import process from "node:process";
import { drop, type Rule } from "../bench/lab/firewall.ts";
import { listenMptcp } from "../mod.ts";
import type { CauseName } from "../src/cli/doctor/causes.ts";
import { diagnose } from "../src/cli/doctor/diagnose.ts";
import { mptcp } from "./cli.ts";
import { openPractice } from "./doctor.ts";
import { runtime, test } from "./harness.ts";
import { CLIENT, noPaths, SERVER, type Setup } from "./path_lab.ts";
import { temporaryFolder } from "./temporary.ts";
import { createNetns, missingProgram, ROOT, run } from "./processes.ts";

const skip = noPaths ?? missingProgram("nft");

const into = (statement: string): Rule => ({ chain: "in", statement });
const [SYN, SYNACK, LATER] = [
  "tcp flags & (syn | ack) == syn",
  "tcp flags & (syn | ack) == (syn | ack)",
  "tcp flags & syn == 0",
];
const STRIP = "reset tcp option mptcp";
const SUBTYPE = { capable: 0, join: 1, data: 2, addAddr: 3 } as const;
const has = (subtype: keyof typeof SUBTYPE) => `tcp option mptcp subtype ${SUBTYPE[subtype]}`;

/** The server announces its second address, as it has to for most second paths here. */
function announce({ serverPaths }: Setup): void {
  serverPaths.addEndpoint({ address: SERVER.v4[1], signal: true });
}

const CAUSES: readonly (readonly [
  name: string,
  cause: CauseName,
  build: (setup: Setup) => unknown,
])[] = [
  [
    "MPTCP that is switched off here",
    "off",
    ({ lab }) => lab.client.setSysctls({ "net.mptcp.enabled": 0 }),
  ],
  [
    "a server without MPTCP",
    "no-peer",
    ({ lab }) => lab.server.setSysctls({ "net.mptcp.enabled": 0 }),
  ],
  [
    "an option that is removed from the SYN",
    "syn-stripped",
    ({ lab }) => lab.server.addRules(into(`${SYN} ${STRIP}`)),
  ],
  [
    "an option that is removed from the SYN/ACK",
    "synack-stripped",
    ({ lab }) => lab.client.addRules(into(`${SYNACK} ${STRIP}`)),
  ],
  [
    "an option that is removed after the handshake",
    "data-stripped",
    ({ lab }) =>
      Promise.all([lab.client, lab.server].map((host) => host.addRules(into(`${LATER} ${STRIP}`)))),
  ],
  [
    "a SYN with the option that is reset",
    "option-reset",
    ({ lab }) => lab.server.addRules(into(`${SYN} ${has("capable")} reject with tcp reset`)),
  ],
  [
    "data with the option that is reset",
    "option-reset",
    ({ lab }) =>
      lab.server.addRules(into(`${LATER} ${has("data")} tcp flags psh reject with tcp reset`)),
  ],
  [
    "joins that the server refuses",
    "join-refused",
    (setup) => {
      setup.serverPaths.setLimits({ subflows: 0 });
      announce(setup);
    },
  ],
  [
    "joins that are dropped",
    "join-dropped",
    (setup) => {
      announce(setup);
      return setup.lab.server.addRules(into(`${has("join")} drop`));
    },
  ],
  [
    "a second path that lets nothing through",
    "path-blocked",
    (setup) => {
      announce(setup);
      return setup.lab.server.addRules(...drop(2));
    },
  ],
  [
    "an announcement that is lost",
    "announcement-lost",
    (setup) => {
      announce(setup);
      return setup.lab.client.addRules(into(`${has("addAddr")} drop`));
    },
  ],
  [
    "an announcement that is ignored here",
    "announcement-ignored",
    (setup) => {
      announce(setup);
      setup.clientPaths.setLimits({ addAddrAccepted: 0 });
    },
  ],
  [
    "a limit of no subflow here",
    "limits",
    ({ clientPaths }) => {
      clientPaths.setLimits({ subflows: 0 });
      clientPaths.addEndpoint({ address: CLIENT.v4[1], subflow: true });
    },
  ],
  [
    "a second interface without an endpoint",
    "no-endpoints",
    ({ clientPaths }) => clientPaths.setLimits({ addAddrAccepted: 0 }),
  ],
  [
    "a second path without a route",
    "no-route",
    ({ lab, clientPaths }) => {
      clientPaths.addEndpoint({ address: CLIENT.v4[1], subflow: true });
      return lab.client.run(["ip", "rule", "add", "from", CLIENT.v4[1], "unreachable"]);
    },
  ],
];

for (const [name, cause, build] of CAUSES) {
  // What it finds is found by the packets of another machine: once is enough for every change.
  test(`the doctor finds ${name}`, { skip, long: runtime === "bun" }, async () => {
    await using practice = await openPractice(build);
    const { diagnosis, evidence } = await practice.examine();
    assertEquals(diagnosis?.cause ?? null, cause, JSON.stringify(evidence, null, 1));
    assert(diagnosis!.evidence.length > 0 && diagnosis!.advice.length > 0);
  });
}

test("the doctor finds SYNs that are dropped, and the time without MPTCP that follows", {
  skip,
}, async () => {
  await using practice = await openPractice();
  const { lab } = practice.setup;
  await lab.server.addRules(into(`${SYN} ${has("capable")} drop`));
  const dropped = await practice.examine();
  assertEquals(dropped.diagnosis?.cause, "syn-dropped", JSON.stringify(dropped.evidence));
  await lab.server.clearRules();
  const after = await practice.examine();
  assertEquals(after.diagnosis?.cause, "blackhole", JSON.stringify(after.evidence));
});

test("the doctor finds subflows that arrive at another server", { skip }, async () => {
  using other = createNetns("other");
  await using practice = await openPractice(async (setup) => {
    announce(setup);
    const { server } = setup.lab;
    // The address that is announced is that of another host, with the same service.
    await server.run(["ip", "link", "set", "path2", "netns", other.name]);
    const line = ["addr", "add", `${SERVER.v4[1]}/24`, "dev", "path2"];
    run("ip", ["-n", other.name, ...line]);
    run("ip", ["-n", other.name, "link", "set", "path2", "up"]);
  });
  using listener = listenMptcp({
    hostname: "0.0.0.0",
    port: practice.port,
    netns: other.name,
    mptcp: "require",
  });
  const accepting = (async () => {
    for await (const conn of listener) conn.close();
  })();
  const { diagnosis, evidence } = await practice.examine();
  listener.close();
  await accepting;
  assertEquals(diagnosis?.cause, "elsewhere", JSON.stringify(evidence, null, 1));
});

const noPython = missingProgram("python3");

test("the doctor finds a filter that forbids MPTCP sockets, and a kernel without them", {
  skip: skip ?? noPython,
}, async () => {
  await using practice = await openPractice();
  const { lab } = practice.setup;
  const prefix = ["python3", "tests/refuse_mptcp.py"];
  const place = `${SERVER.v4[0]}:${practice.port}`;
  const args = ["doctor", "--json", "--netns", lab.client.name, place];
  const { status, stdout } = await mptcp(args, { prefix });
  assertEquals([status, JSON.parse(stdout).cause], [3, "forbidden"]);
  // Of a kernel without MPTCP only the answer can be had here.
  const { evidence } = await practice.examine();
  const fallback = { reason: "kernel", code: "EPROTONOSUPPORT", detail: "no MPTCP" } as const;
  const support = { ...evidence.support, supported: false, fallback };
  assertEquals(diagnose({ ...evidence, support })?.cause, "no-kernel");
});

test("without a doctor at the other end the doctor says what it can", {
  skip,
}, async () => {
  await using practice = await openPractice(announce);
  const { lab, clientPaths } = practice.setup;
  // Says something only when asked, as servers of HTTP do.
  using listener = listenMptcp({ hostname: "0.0.0.0", netns: lab.server.name });
  const serving = (async () => {
    for await (const conn of listener) {
      conn.read(new Uint8Array(1000)).then(async (count) => {
        if (count !== null) await conn.write(new TextEncoder().encode("HTTP/1.1 200 OK\r\n\r\n"));
        await conn.read(new Uint8Array(1));
        conn.close();
      }).catch(() => conn.close());
    }
  })();
  const place = `${SERVER.v4[0]}:${listener.addr.port}`;
  const args = ["doctor", "--json", "--netns", lab.client.name, place];
  const causes = [];
  for (let i = 0; i < 2; i++) {
    const { status, stdout } = await mptcp(args);
    causes.push([status, JSON.parse(stdout).cause]);
    clientPaths.setLimits({ addAddrAccepted: 0 });
  }
  assertEquals(causes, [[0, null], [3, "announcement-ignored"]]);
  listener.close();
  await serving;
});

/** Commands that take all capabilities away: those of root, and root itself where that is possible. */
function withoutCapabilities(): string[][] {
  const powerless = ["setpriv", "--bounding-set", "-all"];
  const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
  const readable = ["test", "-r", `${ROOT}src/cli/mod.ts`, "-a", "-x", process.execPath];
  const { status } = spawnSync(nobody[0]!, [...nobody.slice(1), ...readable]);
  return status === 0 ? [powerless, nobody] : [powerless];
}

test("without capabilities the doctor says once what it could not see, and is as right", {
  skip: skip ?? missingProgram("setpriv"),
}, async () => {
  await using practice = await openPractice(announce);
  const { lab } = practice.setup;
  const place = `${SERVER.v4[0]}:${practice.port}`;
  using home = temporaryFolder();
  chmodSync(home.path, 0o777);
  const env = { HOME: home.path, DENO_DIR: home.path };
  const [powerless, nobody] = withoutCapabilities();
  const examine = async (user: string[], ...options: string[]) => {
    const prefix = ["ip", "netns", "exec", lab.client.name, ...user];
    const args = ["doctor", "--wait", "0.7", ...options, place];
    return await mptcp(args, { prefix, ...(user === nobody && { env }) });
  };
  const healthy = await examine(nobody ?? powerless!);
  assertEquals([healthy.status, healthy.stderr], [0, ""], healthy.stdout);
  assertEquals(healthy.stdout.match(/CAP_NET_ADMIN/g)?.length, 1, healthy.stdout);
  assertStringIncludes(healthy.stdout, "2 subflows");
  assertStringIncludes(healthy.stdout, "the addresses announced by the server");
  await lab.server.addRules(into(`${has("join")} drop`));
  const { cause, unseen } = JSON.parse((await examine(powerless!, "--json")).stdout);
  assertEquals([cause, unseen.length, unseen[0].capability], ["join-dropped", 1, "CAP_NET_ADMIN"]);
});

test("--pcap writes the packets, with their MPTCP options, as tshark reads them", {
  skip: skip ?? missingProgram("tshark"),
}, async () => {
  using folder = temporaryFolder();
  await using practice = await openPractice(announce);
  const { lab } = practice.setup;
  const place = `${SERVER.v4[0]}:${practice.port}`;
  const file = folder.at("packets.pcap");
  const args = ["doctor", "--netns", lab.client.name, "--pcap", file, place];
  assertEquals((await mptcp(args)).status, 0);
  const fields = ["-T", "fields", "-e", "tcp.options.mptcp.subtype", "-e", "ip.dst"];
  const lines = run("tshark", ["-r", file, ...fields]).split("\n");
  for (const [subtype, address] of [["0", SERVER.v4[0]], ["1", SERVER.v4[1]]]) {
    const found = lines.some((line) => line.split("\t")[0] === subtype && line.endsWith(address!));
    assert(found, `${subtype} ${address}: ${lines.join("\n")}`);
  }
  const nowhere = await mptcp(["doctor", "--pcap", folder.at("no/file"), place]);
  assertEquals(nowhere.status, 1);
});

for (const paths of [1, 2] as const) {
  test(`the doctor finds nothing wrong with ${paths === 1 ? "one path" : "two paths"}`, {
    skip,
  }, async () => {
    await using practice = await openPractice((setup) => {
      if (paths === 2) return announce(setup);
      return setup.lab.client.setLink(2, "down");
    });
    for (let i = 0; i < 5; i++) {
      const { diagnosis, evidence } = await practice.examine();
      assertEquals(diagnosis, null, JSON.stringify(evidence, null, 1));
      assertEquals(evidence.connection?.established, paths);
      assertEquals(evidence.connection?.protocol, "mptcp");
    }
  });
}

test("mptcp doctor prints the cause, its evidence and what to do, with status 3", {
  skip,
}, async () => {
  await using practice = await openPractice(announce);
  const { lab, clientPaths } = practice.setup;
  const args = ["doctor", "--netns", lab.client.name, `${SERVER.v4[0]}:${practice.port}`];
  const well = await mptcp([...args, "--json"]);
  const { cause, protocol, subflows } = JSON.parse(well.stdout);
  assertEquals([well.status, cause, protocol, subflows], [0, null, "mptcp", 2]);
  clientPaths.setLimits({ addAddrAccepted: 0 });
  const ill = await mptcp(args);
  assertEquals(ill.status, 3);
  for (const text of ["ignores the addresses", "ADD_ADDR received", "add-addr-accepted 4"]) {
    assertStringIncludes(ill.stdout, text);
  }
  assertEquals((await mptcp(["doctor"])).status, 2);
});
