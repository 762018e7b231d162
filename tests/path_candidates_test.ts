import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Network } from "../src/kernel/network.ts";
import {
  type Candidate,
  findCandidates,
  selectionOf,
} from "../src/path_manager/manage/candidates.ts";
import { matcherOf } from "../src/path_manager/manage/patterns.ts";
import { test } from "./harness.ts";

const LINK = { kind: undefined, up: true, loopback: false };
const ADDRESS = { prefix: 24, global: true, usable: true, secondary: false } as const;
const DEFAULT = { destination: null, prefix: 0, table: 254 } as const;

/** A laptop: Wi-Fi, a modem, a VPN, a container bridge, and a cable without a network behind it. */
const LAPTOP: Network = {
  links: [
    { ...LINK, index: 1, name: "lo", loopback: true },
    { ...LINK, index: 2, name: "eth0" },
    { ...LINK, index: 3, name: "wlan0" },
    { ...LINK, index: 4, name: "wwan0" },
    { ...LINK, index: 5, name: "tun0", kind: "tun" },
    { ...LINK, index: 6, name: "docker0", kind: "bridge" },
    { ...LINK, index: 7, name: "eth1", up: false },
  ],
  addresses: [
    { ...ADDRESS, link: 2, family: 4, address: "192.168.9.2" },
    { ...ADDRESS, link: 3, family: 4, address: "192.168.1.5" },
    { ...ADDRESS, link: 3, family: 4, address: "192.168.1.6", secondary: true },
    { ...ADDRESS, link: 3, family: 6, address: "2001:db8:1::5", prefix: 64 },
    { ...ADDRESS, link: 3, family: 6, address: "fe80::1", global: false },
    { ...ADDRESS, link: 4, family: 4, address: "10.20.30.40" },
    { ...ADDRESS, link: 5, family: 4, address: "10.8.0.2" },
    { ...ADDRESS, link: 6, family: 4, address: "172.17.0.1" },
  ],
  routes: [
    {
      link: 2,
      family: 4,
      destination: "192.168.9.0",
      prefix: 24,
      gateway: undefined,
      metric: 0,
      table: 254,
    },
    { ...DEFAULT, link: 3, family: 4, gateway: "192.168.1.1", metric: 600 },
    { ...DEFAULT, link: 3, family: 6, gateway: "fe80::ff", metric: 600 },
    { ...DEFAULT, link: 4, family: 4, gateway: "10.20.30.1", metric: 700 },
    { ...DEFAULT, link: 5, family: 4, gateway: "10.8.0.1", metric: 50 },
  ],
};

function find(options: Parameters<typeof selectionOf>[0] = {}, network = LAPTOP): Candidate[] {
  return findCandidates(network, selectionOf(options));
}

function usable(candidates: readonly Candidate[]): (string | undefined)[] {
  return candidates
    .filter(({ address, excluded, missing }) =>
      address !== undefined && excluded === undefined && missing.length === 0
    )
    .map(({ address }) => address);
}

test("addresses with a way out are paths, the one of the best default route first", () => {
  assertEquals(usable(find()), ["192.168.1.5", "2001:db8:1::5", "10.20.30.40"]);
  const [first] = find();
  assert(first!.preferred);
  assertEquals(first!.gateway, "192.168.1.1");
});

test("an interface whose network leads nowhere is no path, and the command that mends it is told", () => {
  const cable = find().find(({ device }) => device === "eth0")!;
  assertEquals(cable.missing.length, 1);
  assert(cable.missing[0]!.text.includes("there is no route from 192.168.9.2"));
  assertEquals(cable.missing[0]!.commands, [
    "ip route add default via GATEWAY dev eth0 metric 1000",
  ]);
});

test("containers and tunnels are left out unless they are named", () => {
  const reasons = new Map(find().map(({ device, excluded }) => [device, excluded]));
  assert(reasons.get("tun0")!.includes("by name"));
  assert(reasons.get("docker0")!.includes("by name"));
  assertEquals(usable(find({ include: ["tun*", "wlan0"] })), [
    "10.8.0.2",
    "192.168.1.5",
    "2001:db8:1::5",
  ]);
});

test("exclude overrules include, by name, address or network", () => {
  assertEquals(usable(find({ exclude: ["wwan?"] })), ["192.168.1.5", "2001:db8:1::5"]);
  assertEquals(usable(find({ exclude: ["2001:db8::/32", "10.20.30.40"] })), ["192.168.1.5"]);
  assertEquals(usable(find({ include: ["wlan0", "wwan0"], exclude: ["wlan0"] })), ["10.20.30.40"]);
});

test("a second address of an interface is a path only if it is named", () => {
  assertEquals(usable(find({ include: ["192.168.1.6"] })), ["192.168.1.6"]);
});

test("a link that is down says so", () => {
  const down = find().find(({ device }) => device === "eth1")!;
  assertEquals(down.missing[0]!.commands, ["ip link set eth1 up"]);
});

test("an address that is tentative or deprecated is not used", () => {
  const network = {
    ...LAPTOP,
    addresses: LAPTOP.addresses.map((address) =>
      address.family === 6 ? { ...address, usable: false } : address
    ),
  };
  assertEquals(usable(find({}, network)), ["192.168.1.5", "10.20.30.40"]);
});

test("roles go by pattern, and a primary path is preferred", () => {
  const candidates = find({ roles: { "wwan*": "primary", "wlan0": "metered" } });
  assertEquals(candidates[0]!.address, "10.20.30.40");
  assertEquals(candidates.find(({ device }) => device === "wlan0")!.role, "metered");
  assert(candidates.filter(({ preferred }) => preferred).length === 1);
});

test("where no route leads out, links that are joined directly are paths", () => {
  const network = {
    ...LAPTOP,
    routes: [
      {
        link: 2,
        family: 4,
        destination: "192.168.9.0",
        prefix: 24,
        gateway: undefined,
        metric: 0,
        table: 254,
      },
      {
        link: 3,
        family: 4,
        destination: "192.168.1.0",
        prefix: 24,
        gateway: undefined,
        metric: 0,
        table: 254,
      },
    ] as const,
  };
  assertEquals(usable(find({}, network)), ["192.168.9.2", "192.168.1.5"]);
});

test("a pattern that makes no sense is refused", () => {
  for (const pattern of ["", "a b", "10.0.0.0/33", "eth0/8", "::/129"]) {
    assertThrows(() => matcherOf(pattern), TypeError);
  }
  assertThrows(() => selectionOf({ roles: { eth0: "fast" as never } }), TypeError, "fast");
  assert(matcherOf("en*")({ device: "enp3s0", address: undefined }));
  assert(!matcherOf("e.p3s0")({ device: "enp3s0", address: undefined }));
  assert(matcherOf("10.0.0.0/8")({ device: "x", address: "10.200.0.1" }));
  assert(!matcherOf("10.0.0.0/9")({ device: "x", address: "10.200.0.1" }));
});
