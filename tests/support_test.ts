import { assert, assertEquals } from "@std/assert";
import { existsSync } from "node:fs";
import { release } from "node:os";
import { ERRNO } from "../ffi/linux/errno.ts";
import { LIBC_PATHS } from "../ffi/linux/libc.ts";
import { libc } from "../ffi/runtime.ts";
import { mptcpSupport, type MptcpSysctls } from "../mod.ts";
import { mptcpCounters, MptcpPathManager } from "../src/path_manager/mod.ts";
import { parseCounters } from "../src/kernel/counters.ts";
import { stubLibc } from "./faults.ts";
import { assertOpenFds, settledFds, test } from "./harness.ts";
import { createNetns, missingNamespaces, missingProgram, run, runProgram } from "./processes.ts";
import { connectedPair } from "./sockets.ts";

const noNamespaces = missingNamespaces();
const noMptcp = mptcpSupport().fallback?.detail ?? null;
const noPathManager = mptcpSupport().limits === null ? "the kernel has no path manager" : null;

/** Our name and that of the kernel, of each sysctl, with values that are not the default. */
const SYSCTLS: Record<keyof MptcpSysctls, [name: string, value: number | string]> = {
  enabled: ["enabled", 0],
  pathManager: ["path_manager", "userspace"],
  availablePathManagers: ["available_path_managers", "kernel userspace"],
  scheduler: ["scheduler", "default"],
  availableSchedulers: ["available_schedulers", "default"],
  checksumEnabled: ["checksum_enabled", 1],
  blackholeTimeout: ["blackhole_timeout", 17],
  synRetransBeforeTcpFallback: ["syn_retrans_before_tcp_fallback", 3],
  staleLossCnt: ["stale_loss_cnt", 5],
  addAddrTimeout: ["add_addr_timeout", 18],
  closeTimeout: ["close_timeout", 19],
  allowJoinInitialAddrPort: ["allow_join_initial_addr_port", 0],
};

test("the sysctls are those of sysctl(8), in each namespace", { skip: noNamespaces }, () => {
  using netns = createNetns("sysctls");
  const sysctl = (...args: string[]) => run("ip", ["netns", "exec", netns.name, "sysctl", ...args]);
  const known = sysctl("-a").split("\n").filter((line) => line.startsWith("net.mptcp."))
    .map((line) => line.split(/[. ]/)[2]!);
  for (const name of Object.keys(SYSCTLS) as (keyof MptcpSysctls)[]) {
    const [theirs, value] = SYSCTLS[name];
    if (!known.includes(theirs)) continue;
    const before = mptcpSupport().sysctls[name];
    if (!theirs.startsWith("available")) sysctl("-qw", `net.mptcp.${theirs}=${value}`);
    const text = sysctl("-n", `net.mptcp.${theirs}`).trim();
    const expected = theirs.startsWith("available")
      ? text.split(" ")
      : typeof before === "boolean"
      ? text === "1"
      : typeof value === "number"
      ? Number(text)
      : text;
    const { sysctls } = mptcpSupport({ netns: netns.name });
    assertEquals(sysctls[name], expected as typeof before, name);
    assertEquals(mptcpSupport().sysctls[name], before, `${name} of the other namespace`);
  }
});

test("a sysctl that the kernel lacks is undefined, and the path manager follows from pm_type", {
  skip: noPathManager,
}, () => {
  const { open } = libc();
  using _ = stubLibc({
    open: (path, flags) => path.endsWith("/path_manager") ? -ERRNO.ENOENT : open(path, flags),
  });
  assertEquals(mptcpSupport().sysctls.pathManager, "kernel");
  using _none = stubLibc({ open: () => -ERRNO.ENOENT });
  assertEquals(Object.values(mptcpSupport().sysctls).filter((value) => value !== undefined), []);
  assertEquals(mptcpSupport().kernel, null);
});

test("the kernel, the limits and the endpoints are what others say they are", {
  skip: noNamespaces ?? noPathManager,
}, () => {
  using netns = createNetns("facts");
  using paths = new MptcpPathManager({ netns: netns.name });
  paths.setLimits({ subflows: 3, addAddrAccepted: 5 });
  paths.addEndpoint({ address: "10.1.1.1", subflow: true });
  const support = mptcpSupport({ netns: netns.name });
  assertEquals(support.kernel, release());
  assertEquals([support.limits, support.endpoints], [paths.limits(), paths.endpoints()]);
  assertEquals(support.capabilities, { netAdmin: true, sysAdmin: true });
});

/** The hints of a namespace. */
function hints(netns: string): string {
  return mptcpSupport({ netns }).hints.join("\n");
}

test("hints say what keeps connections from a second path, as long as it does", {
  skip: noNamespaces ?? noPathManager ?? noMptcp,
}, () => {
  using netns = createNetns("hints");
  const ip = (...args: string[]) => run("ip", ["-n", netns.name, ...args]);
  using paths = new MptcpPathManager({ netns: netns.name });
  assert(hints(netns.name).includes("no address with a route"));
  assert(hints(netns.name).includes("no endpoints"));
  assert(hints(netns.name).includes("addAddrAccepted is 0"));

  ip("link", "add", "mp0", "type", "veth", "peer", "name", "mp1");
  for (const [i, device] of ["mp0", "mp1"].entries()) {
    assertEquals(hints(netns.name).includes("Only one interface (mp0)"), i === 1);
    ip("link", "set", device, "up");
    ip("address", "add", `10.1.${i}.1/24`, "dev", device);
  }
  assertEquals(/Only one|no address with a route/.test(hints(netns.name)), false);

  paths.addEndpoint({ address: "10.1.1.1", subflow: true });
  paths.setLimits({ addAddrAccepted: 2 });
  assertEquals(hints(netns.name), "");
  paths.addEndpoint({ address: "10.1.9.1", subflow: true, id: 9 });
  assert(hints(netns.name).includes("Endpoint 9 is 10.1.9.1"));
  paths.removeEndpoint(9);
  paths.setLimits({ subflows: 0 });
  assert(hints(netns.name).includes("subflow limit is 0"));
  paths.setLimits({ subflows: 2 });
  assertEquals(hints(netns.name), "");

  const { availablePathManagers } = mptcpSupport().sysctls;
  const setting = availablePathManagers ? "path_manager=userspace" : "pm_type=1";
  run("ip", ["netns", "exec", netns.name, "sysctl", "-qw", `net.mptcp.${setting}`]);
  assert(hints(netns.name).includes('path manager is "userspace"'));
});

test(
  "asking leaves nothing open, where there is nothing to ask too",
  { skip: noMptcp },
  async () => {
    const before = await settledFds();
    const { socket } = libc();
    for (const errno of [ERRNO.EPROTONOSUPPORT, ERRNO.EAFNOSUPPORT, ERRNO.EPERM, ERRNO.EACCES]) {
      using _ = stubLibc({
        socket: (domain, type, protocol) => domain === 16 ? -errno : socket(domain, type, protocol),
      });
      const support = mptcpSupport();
      assertEquals([support.supported, support.limits, support.endpoints], [true, null, null]);
      assertEquals(support.addresses, []);
      assert(support.hints.join().includes("no path manager"));
    }
    await assertOpenFds(before);
  },
);

test("the counters are those of /proc/net/netstat, in each namespace", {
  skip: noNamespaces ?? noMptcp,
}, async () => {
  using netns = createNetns("counters");
  const before = mptcpCounters({ netns: netns.name });
  assertEquals([before.MPCapableSYNTX, before.MPCurrEstab], [0, 0]);
  {
    using _ = await connectedPair({ netns: netns.name }, { netns: netns.name });
    const { MPCapableSYNTX, MPCapableSYNRX, MPCapableFallbackSYNACK, MPCurrEstab } = mptcpCounters({
      netns: netns.name,
    });
    assertEquals([MPCapableSYNTX, MPCapableSYNRX, MPCapableFallbackSYNACK], [1, 1, 0]);
    assertEquals(MPCurrEstab, 2);
  }
  {
    const off = { netns: netns.name, mptcp: "off" } as const;
    using _ = await connectedPair(off, { netns: netns.name });
    assertEquals(mptcpCounters({ netns: netns.name }).MPCapableFallbackSYNACK, 1);
  }
  const text = run("ip", ["netns", "exec", netns.name, "cat", "/proc/net/netstat"]);
  assertEquals(mptcpCounters({ netns: netns.name }), parseCounters(text)!);
});

test("a file of counters that is none is no counters", () => {
  assertEquals(parseCounters(""), null);
  assertEquals(parseCounters("MPTcpExt: A B\n"), null);
  assertEquals(parseCounters("TcpExt: A\nTcpExt: 1\nMPTcpExt: A B\nMPTcpExt: 1 2\n"), {
    A: 1,
    B: 2,
  });
});

/** What an unprivileged process is told, by the names of what it asks. */
const UNPRIVILEGED = `
import { connectMptcp, listenMptcp, mptcpSupport } from "./mod.ts";
import { mptcpCounters, MptcpPathManager } from "./src/path_manager/mod.ts";
const told = {};
const ask = async (name, action) => {
  try { told[name] = [true, await action()]; } catch (e) { told[name] = [false, e.code, e.message]; }
};
using paths = new MptcpPathManager();
await ask("endpoints", () => paths.endpoints());
await ask("limits", () => paths.limits());
await ask("counters", () => mptcpCounters().MPCurrEstab);
await ask("support", () => { const { supported, capabilities, hints } = mptcpSupport(); return { supported, capabilities, hints }; });
await ask("connections", () => paths.connections().length);
await ask("subflows", async () => {
  using listener = listenMptcp({ hostname: "127.0.0.1", mptcp: "off" });
  using conn = await connectMptcp({ port: listener.addr.port });
  return [conn.subflows().length, conn.fallback.reason];
});
await ask("addEndpoint", () => paths.addEndpoint({ address: "10.1.1.1" }));
await ask("removeEndpoint", () => paths.removeEndpoint(1));
await ask("flushEndpoints", () => paths.flushEndpoints());
await ask("setLimits", () => paths.setLimits({ subflows: 2 }));
await ask("events", () => paths.events());
await ask("announce", () => paths.announce(5, { address: "10.1.1.1", id: 1 }));
await ask("withdraw", () => paths.withdraw(5, 1));
await ask("createSubflow", () => paths.createSubflow(5, { localAddress: "10.1.1.1", localId: 1, remoteAddress: "10.1.1.2", remotePort: 1 }));
const ends = { localAddr: { hostname: "10.1.1.1", port: 1 }, remoteAddr: { hostname: "10.1.1.2", port: 2 } };
await ask("destroySubflow", () => paths.destroySubflow(5, ends));
await ask("setBackup", () => paths.setBackup(5, ends, true));
console.log(JSON.stringify(told));
`;

test("without privileges all can be read, and nothing changed, which the errors say", {
  skip: noNamespaces ?? noMptcp ?? missingProgram("setpriv"),
}, async () => {
  const { stdout, stderr } = await runProgram(UNPRIVILEGED, {
    prefix: ["setpriv", "--inh-caps=-all", "--bounding-set=-all"],
    permissions: ["--allow-ffi"],
  });
  assertEquals(stderr, "");
  const told = JSON.parse(stdout) as Record<string, [ok: boolean, ...rest: unknown[]]>;
  const reads = ["endpoints", "limits", "counters", "support", "connections", "subflows"];
  for (const name of reads) assertEquals(told[name]![0], true, JSON.stringify(told[name]));
  assertEquals(told.subflows![1], [1, "peer"]);
  const support = told.support![1] as { hints: string[]; capabilities: unknown };
  assertEquals(support.capabilities, { netAdmin: false, sysAdmin: false });
  const writes = Object.entries(told).filter(([name]) => !reads.includes(name));
  assertEquals(writes.length, 10);
  for (const [name, [ok, code, message]] of writes) {
    assertEquals([ok, code], [false, "EPERM"], name);
    assert(String(message).includes("needs CAP_NET_ADMIN"), String(message));
  }
});

test("support, counters and the path manager are had under --allow-ffi for libc alone", {
  skip: noMptcp ?? noPathManager,
  only: { runtime: "deno", reason: "Bun has no permissions" },
}, async () => {
  const program = `
import { mptcpSupport } from "./mod.ts";
import { mptcpCounters, MptcpPathManager } from "./src/path_manager/mod.ts";
using paths = new MptcpPathManager();
console.log(mptcpSupport().kernel, paths.limits().subflows, typeof mptcpCounters().MPCapableSYNTX);
`;
  const { stdout, stderr } = await runProgram(program, {
    permissions: ["--no-prompt", `--allow-ffi=${LIBC_PATHS.find(existsSync)}`],
  });
  const { kernel, limits } = mptcpSupport();
  assertEquals([stdout, stderr], [`${kernel} ${limits!.subflows} number\n`, ""]);
});
