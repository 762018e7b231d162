import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  MPTCP_PM_ADDR_ATTR_FLAGS,
  MPTCP_PM_ADDR_FLAG_LAMINAR,
  MPTCP_PM_CMD_ADD_ADDR,
} from "../ffi/linux/abi_netlink.ts";
import { libc } from "../ffi/runtime.ts";
import { MptcpError, mptcpSupport } from "../mod.ts";
import { type Endpoint, type EndpointOptions, MptcpPathManager } from "../src/path_manager/mod.ts";
import { stubLibc } from "./faults.ts";
import { openFds, settledFds, test } from "./harness.ts";
import { createNetns, missingNamespaces, type Netns, run } from "./processes.ts";

// The names and numbers of the first tests are those of tools/testing/selftests/net/mptcp/pm_netlink.sh.

const skip = missingNamespaces() ??
  (mptcpSupport().limits === null ? "the kernel has no path manager" : null);

/** The path manager of a namespace of its own. */
interface Setup extends Disposable {
  readonly paths: MptcpPathManager;
  readonly netns: string;
}

function setUp(label: string): Setup {
  const netns: Netns = createNetns(label);
  const paths = new MptcpPathManager({ netns: netns.name });
  return {
    paths,
    netns: netns.name,
    [Symbol.dispose]() {
      paths.close();
      netns[Symbol.dispose]();
    },
  };
}

/** An endpoint by what `pm_nl_ctl dump` prints of it: "1 signal,backup 10.0.1.1". */
function line({ id, address, device, port, ...flags }: Endpoint): string {
  const names = Object.entries(flags).filter(([, set]) => set).map(([name]) => name).join(",");
  const dev = device === undefined ? "" : ` dev ${device}`;
  return `${id} ${names}${dev} ${address}${port === undefined ? "" : ` port ${port}`}`;
}

function dump(paths: MptcpPathManager): string[] {
  return paths.endpoints().map(line);
}

/** The code and the kernel's words of a refusal. */
function refusal(action: () => unknown): [code: string, text: string | undefined] {
  const { code, message } = assertThrows(action, MptcpError);
  return [code, /The kernel says: (.*?)(?:\. [A-Z]|$)/.exec(message)?.[1]];
}

test("a new namespace has no endpoints, and the limits 0 and 2", { skip }, () => {
  using setup = setUp("defaults");
  assertEquals(setup.paths.endpoints(), []);
  assertEquals(setup.paths.limits(), { subflows: 2, addAddrAccepted: 0 });
});

test("endpoints are added, listed, removed, refused twice and get the next id", { skip }, () => {
  using setup = setUp("add");
  const { paths } = setup;
  paths.addEndpoint({ address: "10.0.1.1" });
  paths.addEndpoint({ address: "10.0.1.2", subflow: true, device: "lo" });
  const third = paths.addEndpoint({ address: "10.0.1.3", signal: true, backup: true });
  assertEquals(third, {
    id: 3,
    address: "10.0.1.3",
    port: undefined,
    device: undefined,
    signal: true,
    subflow: false,
    backup: true,
    fullmesh: false,
    laminar: false,
    implicit: false,
  });
  assertEquals(dump(paths), [
    "1  10.0.1.1",
    "2 subflow dev lo 10.0.1.2",
    "3 signal,backup 10.0.1.3",
  ]);
  paths.removeEndpoint(2);
  assertEquals(dump(paths), ["1  10.0.1.1", "3 signal,backup 10.0.1.3"]);
  assertEquals(refusal(() => paths.addEndpoint({ address: "10.0.1.3" }))[0], "EEXIST");
  assertEquals(line(paths.addEndpoint({ address: "10.0.1.4", signal: true })), "4 signal 10.0.1.4");
});

test("the ninth endpoint is refused, and every id from 1 to 255 can be had", { skip }, () => {
  using setup = setUp("ids");
  const { paths } = setup;
  for (let i = 1; i <= 8; i++) paths.addEndpoint({ address: `10.0.1.${i}`, signal: true });
  const error = assertThrows(() => paths.addEndpoint({ address: "10.0.1.9" }), MptcpError);
  assertEquals(error.code, "ERANGE");
  assert(error.message.includes("maximum number of endpoints is reached"), error.message);
  paths.removeEndpoint("10.0.1.8");
  for (let id = 8; id <= 255; id++) {
    assertEquals(paths.addEndpoint({ address: "10.0.0.9", id }).id, id);
    paths.removeEndpoint(id);
  }
  assertEquals(dump(paths), [1, 2, 3, 4, 5, 6, 7].map((i) => `${i} signal 10.0.1.${i}`));
  paths.flushEndpoints();
  assertEquals(dump(paths), []);
});

test("limits above 8 are refused with the kernel's words and change nothing", { skip }, () => {
  using setup = setUp("limits");
  const { paths } = setup;
  const words = "limit greater than maximum (8)";
  for (const limits of [{ subflows: 1, addAddrAccepted: 9 }, { subflows: 9, addAddrAccepted: 1 }]) {
    assertEquals(refusal(() => paths.setLimits(limits)), ["EINVAL", words]);
    assertEquals(paths.limits(), { subflows: 2, addAddrAccepted: 0 });
  }
  assertEquals(paths.setLimits({ subflows: 8, addAddrAccepted: 8 }), {
    subflows: 8,
    addAddrAccepted: 8,
  });
  assertEquals(paths.setLimits({ subflows: 3 }), { subflows: 3, addAddrAccepted: 8 });
  assertEquals(paths.setLimits({ addAddrAccepted: 0 }), { subflows: 3, addAddrAccepted: 0 });
  assertEquals(paths.setLimits({}), { subflows: 3, addAddrAccepted: 0 });
});

test("ids go on from the highest, and wrap around to the free ones", { skip }, () => {
  using setup = setUp("wrap");
  const { paths } = setup;
  const add = (prefix: string, ids: (number | undefined)[]) => {
    paths.flushEndpoints();
    for (const [i, id] of ids.entries()) {
      paths.addEndpoint({ address: `${prefix}.${i + 1}`, ...(id !== undefined && { id }) });
    }
    return paths.endpoints().map(({ id, address }) => `${id} ${address}`);
  };
  const any = undefined;
  assertEquals(add("10.0.1", [any, any, 100, any, 254, any, any, any]), [
    "1 10.0.1.1",
    "2 10.0.1.2",
    "3 10.0.1.7",
    "4 10.0.1.8",
    "100 10.0.1.3",
    "101 10.0.1.4",
    "254 10.0.1.5",
    "255 10.0.1.6",
  ]);
  assertEquals(add("10.0.0", [any, 254, any, any, 253, any, any, any]), [
    "1 10.0.0.1",
    "2 10.0.0.4",
    "3 10.0.0.6",
    "4 10.0.0.7",
    "5 10.0.0.8",
    "253 10.0.0.5",
    "254 10.0.0.2",
    "255 10.0.0.3",
  ]);
});

test("backup and fullmesh are set and taken back, by id and by address", { skip }, () => {
  using setup = setUp("flags");
  const { paths } = setup;
  paths.addEndpoint({ address: "10.0.1.1", subflow: true });
  assertEquals(
    line(paths.changeEndpoint("10.0.1.1", { backup: true })),
    "1 subflow,backup 10.0.1.1",
  );
  assertEquals(line(paths.changeEndpoint("10.0.1.1", { backup: false })), "1 subflow 10.0.1.1");
  assertEquals(line(paths.changeEndpoint(1, { fullmesh: true })), "1 subflow,fullmesh 10.0.1.1");
  // The one that is left out stays.
  assertEquals(
    line(paths.changeEndpoint(1, { backup: true })),
    "1 subflow,backup,fullmesh 10.0.1.1",
  );
  assertEquals(line(paths.changeEndpoint(1, { fullmesh: false })), "1 subflow,backup 10.0.1.1");
  assertEquals(line(paths.changeEndpoint(1, {})), "1 subflow,backup 10.0.1.1");
  assertEquals(dump(paths), ["1 subflow,backup 10.0.1.1"]);
});

test("flags and ports that exclude each other are refused in the kernel's words", { skip }, () => {
  using setup = setUp("exclude");
  const { paths } = setup;
  const add = (options: Omit<EndpointOptions, "address">, address = "10.0.1.1") =>
    refusal(() => paths.addEndpoint({ address, ...options }));
  assertEquals(add({ signal: true, fullmesh: true }), [
    "EINVAL",
    "flags mustn't have both signal and fullmesh",
  ]);
  assertEquals(add({ subflow: true, port: 9000 }), [
    "EINVAL",
    "flags must have signal and not subflow when using port",
  ]);
  assertEquals(add({ signal: true, port: 9000 })[0], "EADDRNOTAVAIL");
  paths.addEndpoint({ address: "10.0.1.1", signal: true });
  assertEquals(refusal(() => paths.changeEndpoint(1, { fullmesh: true })), [
    "EINVAL",
    "invalid addr flags",
  ]);
  assertEquals(refusal(() => paths.removeEndpoint(2)), ["EINVAL", "address not found"]);
  assertEquals(refusal(() => paths.addEndpoint({ address: "10.0.1.2", id: 1 }))[0], "EBUSY");
  assertEquals(dump(paths), ["1 signal 10.0.1.1"]);
});

test("a port is kept as it was given, and the kernel listens there", { skip }, () => {
  using setup = setUp("port");
  const { paths, netns } = setup;
  const endpoint = paths.addEndpoint({ address: "127.0.0.1", signal: true, port: 0x1234 });
  assertEquals([endpoint.port, dump(paths)], [0x1234, ["1 signal 127.0.0.1 port 4660"]]);
  assert(run("ip", ["netns", "exec", netns, "ss", "-tlnH"]).includes("127.0.0.1:4660"));
  // One address with several ports is several endpoints, which only their ids tell apart.
  paths.addEndpoint({ address: "127.0.0.1", signal: true, port: 4661 });
  const error = assertThrows(() => paths.removeEndpoint("127.0.0.1"), MptcpError, "1, 2");
  assertEquals(error.code, "EINVAL");
  assertEquals(paths.endpoints().length, 2);
  paths.removeEndpoint(1);
  paths.removeEndpoint("127.0.0.1");
  assertEquals(paths.endpoints(), []);
});

test("removing by address removes that endpoint, and an unknown address nothing", { skip }, () => {
  using setup = setUp("remove");
  const { paths } = setup;
  paths.addEndpoint({ address: "10.0.1.1", subflow: true });
  paths.addEndpoint({ address: "fd00::1", subflow: true });
  const error = assertThrows(() => paths.removeEndpoint("10.0.1.2"), MptcpError, "10.0.1.2");
  assertEquals([error.code, error.name], ["ENOENT", "NotFound"]);
  assertEquals(paths.endpoints().length, 2);
  paths.removeEndpoint("fd00:0::1");
  assertEquals(dump(paths), ["1 subflow 10.0.1.1"]);
  paths.removeEndpoint("::ffff:10.0.1.1");
  assertEquals(dump(paths), []);
});

test("a flag that an older kernel would leave out is an error, and leaves no endpoint", {
  skip,
}, () => {
  using setup = setUp("dropped");
  const { paths } = setup;
  const { send } = libc();
  // Takes the flag out of the request: what a kernel does that does not know it.
  using _ = stubLibc({
    send(fd, buf, length, flags) {
      if (buf[16] === MPTCP_PM_CMD_ADD_ADDR) forget(buf, MPTCP_PM_ADDR_FLAG_LAMINAR);
      return send(fd, buf, length, flags);
    },
  });
  const add = (flag: "laminar" | "subflow") =>
    paths.addEndpoint({ address: "10.0.1.1", subflow: true, [flag]: true });
  const error = assertThrows(() => add("laminar"), MptcpError, "laminar (Linux 6.18)");
  assertEquals([error.code, paths.endpoints()], ["EOPNOTSUPP", []]);
  assertEquals(line(add("subflow")), "1 subflow 10.0.1.1");
});

/** Clears a bit of the attribute of flags in a request to add an endpoint. */
function forget(request: Uint8Array, flag: number): void {
  const view = new DataView(request.buffer, request.byteOffset);
  // Behind two headers and that of the nested attribute.
  for (let at = 16 + 4 + 4; at < request.length; at += (view.getUint16(at, true) + 3) & ~3) {
    if (view.getUint16(at + 2, true) !== MPTCP_PM_ADDR_ATTR_FLAGS) continue;
    view.setUint32(at + 4, view.getUint32(at + 4, true) & ~flag, true);
  }
}

interface Shown {
  address: string;
  id: number;
  port?: number;
  dev?: string;
}

/** Endpoints as `ip mptcp endpoint show` has them. */
function shownByIp(netns: string): unknown[] {
  const shown = JSON.parse(run("ip", ["-n", netns, "-j", "mptcp", "endpoint"])) as Shown[];
  return shown.map(({ dev, ...rest }) => ({ ...rest, ...(dev !== undefined && { device: dev }) }));
}

/** The same of ours: flags only where set, and not those that iproute2 6.1 does not know. */
function asIpShows(endpoints: Endpoint[]): unknown[] {
  return endpoints.map(({ laminar: _, ...endpoint }) =>
    Object.fromEntries(Object.entries(endpoint).filter(([, value]) => value !== false && value))
  );
}

test("what we add ip shows, field by field", { skip }, () => {
  using setup = setUp("ours");
  const { paths, netns } = setup;
  paths.addEndpoint({ address: "10.0.1.1", id: 7, signal: true, backup: true, device: "lo" });
  paths.addEndpoint({ address: "127.0.0.1", signal: true, port: 9000 });
  paths.addEndpoint({ address: "fd00::1", subflow: true, fullmesh: true });
  paths.setLimits({ subflows: 3, addAddrAccepted: 5 });
  assertEquals(shownByIp(netns), asIpShows(paths.endpoints()));
  assertEquals(shownByIp(netns).length, 3);
  const limits = run("ip", ["-n", netns, "mptcp", "limits"]);
  assertEquals(limits.trim().split(/\s+/), ["add_addr_accepted", "5", "subflows", "3"]);
});

test("what ip adds we list, field by field", { skip }, () => {
  using setup = setUp("theirs");
  const { paths, netns } = setup;
  const ip = (...args: string[]) => run("ip", ["-n", netns, "mptcp", ...args]);
  ip("endpoint", "add", "10.0.1.1", "id", "7", "dev", "lo", "signal", "backup");
  ip("endpoint", "add", "127.0.0.1", "port", "9000", "signal");
  ip("endpoint", "add", "fd00::1", "subflow", "fullmesh");
  ip("endpoint", "add", "fd00::2", "subflow", "fullmesh", "backup");
  ip("limits", "set", "subflow", "6", "add_addr_accepted", "7");
  assertEquals(asIpShows(paths.endpoints()), shownByIp(netns));
  assertEquals(paths.endpoints().length, 4);
  assertEquals(paths.limits(), { subflows: 6, addAddrAccepted: 7 });
  ip("endpoint", "change", "id", "7", "nobackup");
  assertEquals(paths.endpoints()[0]!.backup, false);
  ip("endpoint", "flush");
  assertEquals(paths.endpoints(), []);
});

test("an endpoint whose interface is gone has the interface's number", { skip }, () => {
  using setup = setUp("gone");
  const { paths, netns } = setup;
  run("ip", ["-n", netns, "link", "add", "mp0", "type", "veth", "peer", "name", "mp1"]);
  assertEquals(paths.addEndpoint({ address: "10.0.1.1", device: "mp0" }).device, "mp0");
  run("ip", ["-n", netns, "link", "delete", "mp0"]);
  assertEquals(/^\d+$/.test(paths.endpoints()[0]!.device!), true);
  const error = assertThrows(
    () => paths.addEndpoint({ address: "10.0.1.2", device: "mp0" }),
    MptcpError,
    '"mp0"',
  );
  assertEquals(error.code, "ENODEV");
});

test(
  "what cannot be an endpoint or a limit is refused before the kernel is asked",
  { skip },
  () => {
    using paths = new MptcpPathManager();
    const before = paths.endpoints();
    const bad: [unknown, typeof TypeError | typeof RangeError][] = [
      [undefined, TypeError],
      [{}, TypeError],
      [{ address: "localhost" }, TypeError],
      [{ address: "fe80::1%1" }, TypeError],
      [{ address: "10.0.1.1", id: 0 }, RangeError],
      [{ address: "10.0.1.1", id: 256 }, RangeError],
      [{ address: "10.0.1.1", id: 1.5 }, TypeError],
      [{ address: "10.0.1.1", port: 0 }, RangeError],
      [{ address: "10.0.1.1", port: 65536 }, RangeError],
      [{ address: "10.0.1.1", signal: 1 }, TypeError],
      [{ address: "10.0.1.1", device: "" }, TypeError],
    ];
    using _ = stubLibc({
      send: () => {
        throw new Error("The kernel was asked");
      },
    });
    for (const [options, type] of bad) {
      assertThrows(() => paths.addEndpoint(options as EndpointOptions), type, "Invalid");
    }
    for (const which of [0, 256, 1.5, "", "x", "fe80::1%2"]) {
      const type = typeof which === "number" && Number.isInteger(which) ? RangeError : TypeError;
      assertThrows(() => paths.removeEndpoint(which), type, "Invalid");
      assertThrows(() => paths.changeEndpoint(which, {}), type, "Invalid");
    }
    for (const subflows of [-1, 2 ** 32, 1.5]) {
      const type = Number.isInteger(subflows) ? RangeError : TypeError;
      assertThrows(() => paths.setLimits({ subflows }), type, "Invalid subflows");
    }
    _[Symbol.dispose]();
    assertEquals(paths.endpoints(), before);
  },
);

test("a closed path manager says so, and closing twice is nothing", { skip }, async () => {
  const before = await settledFds();
  const paths = new MptcpPathManager();
  assertEquals(openFds(), before + 1);
  paths.close();
  paths.close();
  assertEquals(openFds(), before);
  assertEquals(assertThrows(() => paths.limits(), MptcpError).name, "BadResource");
});

test(
  "a namespace that does not exist is an error without a descriptor left",
  { skip },
  async () => {
    const before = await settledFds();
    const open = () => new MptcpPathManager({ netns: "mp-none" });
    assertEquals(assertThrows(open, MptcpError, '"mp-none"').code, "ENOENT");
    assertThrows(() => new MptcpPathManager({ netns: 5 as unknown as string }), TypeError);
    assertEquals(openFds(), before);
  },
);
