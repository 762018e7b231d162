import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { AF_INET, AF_INET6 } from "../ffi/linux/abi.ts";
import { parseIp } from "../ffi/linux/sockaddr.ts";
import { MptcpError, parseAddress } from "../mod.ts";
import { addressOptions, checkHostname, checkPort, literalTarget } from "../src/net/address.ts";
import type { ParsedAddress } from "../src/types.ts";
import { test } from "./harness.ts";

const PREFER = { mptcp: "prefer", family: undefined } as const;
const REQUIRE = { mptcp: "require", family: undefined } as const;
const OFF = { mptcp: "off", family: undefined } as const;

const ADDRESSES: readonly (readonly [text: string, address: ParsedAddress])[] = [
  ["mptcp6@[::1]:8000-8010", {
    mptcp: "require",
    family: 6,
    hostname: "::1",
    port: 8000,
    lastPort: 8010,
  }],
  ["tcp4@127.0.0.1:80", { mptcp: "off", family: 4, hostname: "127.0.0.1", port: 80, lastPort: 80 }],
  ["mptcp@example.com:443", { ...REQUIRE, hostname: "example.com", port: 443, lastPort: 443 }],
  ["tcp@example.com", { ...OFF, hostname: "example.com" }],
  ["mptcp4@localhost", { mptcp: "require", family: 4, hostname: "localhost" }],
  ["tcp6@localhost", { mptcp: "off", family: 6, hostname: "localhost" }],
  ["example.com", { ...PREFER, hostname: "example.com" }],
  ["my-host_1.example.", { ...PREFER, hostname: "my-host_1.example." }],
  ["bücher.example:1", { ...PREFER, hostname: "bücher.example", port: 1, lastPort: 1 }],
  ["हिन्दी.example:1", { ...PREFER, hostname: "हिन्दी.example", port: 1, lastPort: 1 }],
  ["mptcp", { ...PREFER, hostname: "mptcp" }],
  ["mptcp6:80", { ...PREFER, hostname: "mptcp6", port: 80, lastPort: 80 }],
  ["127.0.0.1", { ...PREFER, hostname: "127.0.0.1" }],
  ["127.0.0.1:0", { ...PREFER, hostname: "127.0.0.1", port: 0, lastPort: 0 }],
  ["::1", { ...PREFER, hostname: "::1" }],
  ["[::1]", { ...PREFER, hostname: "::1" }],
  ["[::1]:00080", { ...PREFER, hostname: "::1", port: 80, lastPort: 80 }],
  // No brackets, no port: this is the address ::1:80.
  ["::1:80", { ...PREFER, hostname: "::1:80" }],
  ["fe80::1%eth0", { ...PREFER, hostname: "fe80::1%eth0" }],
  ["[fe80::1%eth0]:80", { ...PREFER, hostname: "fe80::1%eth0", port: 80, lastPort: 80 }],
  ["mptcp6@[::ffff:1.2.3.4]:1", {
    mptcp: "require",
    family: 6,
    hostname: "::ffff:1.2.3.4",
    port: 1,
    lastPort: 1,
  }],
  [":8080", { ...PREFER, hostname: "", port: 8080, lastPort: 8080 }],
  ["8080", { ...PREFER, hostname: "", port: 8080, lastPort: 8080 }],
  ["mptcp6@8080", { mptcp: "require", family: 6, hostname: "", port: 8080, lastPort: 8080 }],
  ["8000-8010", { ...PREFER, hostname: "", port: 8000, lastPort: 8010 }],
  ["80.example", { ...PREFER, hostname: "80.example" }],
  ["mptcp@:1-65535", { ...REQUIRE, hostname: "", port: 1, lastPort: 65535 }],
  ["*:80", { ...PREFER, hostname: "0.0.0.0", port: 80, lastPort: 80 }],
  ["mptcp4@*", { mptcp: "require", family: 4, hostname: "0.0.0.0" }],
  ["mptcp6@*", { mptcp: "require", family: 6, hostname: "::" }],
];

/** What is wrong, at which character, and what is said of it. */
const WRONG: readonly (readonly [text: string, at: number, problem: string])[] = [
  ["", 1, "there is no host and no port"],
  ["mptcp@", 7, "there is no host and no port"],
  ["tcp6@", 6, "there is no host and no port"],
  [":", 2, "there is no port"],
  ["host:", 6, "there is no port"],
  ["[::1]:", 7, "there is no port"],
  ["host:80-", 9, "there is no port"],
  ["host:-80", 6, "there is no port"],
  ["host:http", 6, '"http" is not a port'],
  ["host:80 ", 6, '"80 " is not a port'],
  ["host:+80", 6, '"+80" is not a port'],
  ["host:٣", 6, '"٣" is not a port'],
  ["host:1-2-3", 8, '"2-3" is not a port'],
  ["host:65536", 6, "port 65536 is above 65535"],
  ["mptcp@host:1-65536", 14, "port 65536 is above 65535"],
  [`host:${"9".repeat(400)}`, 6, "is above 65535"],
  ["70000", 1, "port 70000 is above 65535"],
  ["tcp@81-80", 8, "the last port is below the first"],
  ["host:81-80", 9, "the last port is below the first"],
  ["[::1", 1, 'the "[" is not closed'],
  ["mptcp6@[", 8, 'the "[" is not closed'],
  ["[::1]80", 6, 'expected ":" after the "]"'],
  ["mptcp@[::1]x", 12, 'expected ":" after the "]"'],
  ["[]:80", 1, '"[]" is not an IPv6 address'],
  ["[1.2.3.4]:80", 1, '"[1.2.3.4]" is not an IPv6 address'],
  ["tcp@[*]:80", 5, '"[*]" is not an IPv6 address'],
  ["[fe80::1%]:80", 1, '"[fe80::1%]" is not an IPv6 address'],
  ["mptcp4@[::1]:80", 8, '"[::1]" is not an IPv4 address'],
  ["mptcp4@::1", 8, '"::1" is not an IPv4 address'],
  ["tcp6@1.2.3.4", 6, '"1.2.3.4" is not an IPv6 address'],
  ["2001:db8::1::2", 1, 'an IPv6 address before a port needs "[" and "]"'],
  ["mptcp@a:b:80", 7, 'an IPv6 address before a port needs "[" and "]"'],
  ["fe80::1%eth0:80", 1, 'an IPv6 address before a port needs "[" and "]"'],
  ["MPTCP@host:80", 6, "no host name has this character"],
  ["mptcp5@host:80", 7, "no host name has this character"],
  ["mptcp@tcp@host:80", 10, "no host name has this character"],
  ["user@host", 5, "no host name has this character"],
  ["http//host", 5, "no host name has this character"],
  ["a b:80", 2, "no host name has this character"],
  [" host:80", 1, "no host name has this character"],
  ["host\0:80", 5, "no host name has this character"],
  ["host]:80", 5, "no host name has this character"],
  ["**", 1, "no host name has this character"],
  ["tcp@ho\u{1f600}st", 7, "no host name has this character"],
  ["ho\ud800st", 3, "no host name has this character"],
];

/** UTF-16 of any kind, lone surrogates too. */
const anyText = fc.array(fc.nat(0xffff)).map((units) => String.fromCharCode(...units));
const number = fc.nat(65535);
const ports = fc.tuple(number, number).map((two) => two.sort((a, b) => a - b) as [number, number]);
const label = fc.string({ unit: fc.constantFrom(..."abcxyz019-_é"), minLength: 1, maxLength: 20 });
const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join("."))
  .filter((text) => parseIp(text) === null && !/^[\d-]+$/.test(text));
const host = fc.oneof(
  name.map((hostname) => ({ hostname, families: [4, 6, undefined] as const })),
  fc.ipV4().map((hostname) => ({ hostname, families: [4, undefined] as const })),
  fc.tuple(fc.ipV6(), fc.constantFrom("", "%2", "%eth0.1")).map(([ip, zone]) => ({
    hostname: ip + zone,
    families: [6, undefined] as const,
  })),
);
/** Addresses, and a text of each. */
const address = fc.record({
  mptcp: fc.constantFrom("prefer", "require", "off"),
  host,
  which: fc.nat(2),
  ports: fc.option(ports, { nil: undefined }),
  brackets: fc.boolean(),
}).map(({ mptcp, host: { hostname, families }, which, ports, brackets }) => {
  const family = mptcp === "prefer" ? undefined : families[which % families.length];
  const prefix =
    { prefer: "", require: `mptcp${family ?? ""}@`, off: `tcp${family ?? ""}@` }[mptcp];
  const isIpv6 = hostname.includes(":");
  const bracketed = isIpv6 && (brackets || ports !== undefined) ? `[${hostname}]` : hostname;
  const [port, lastPort] = ports ?? [];
  const range = port === undefined ? "" : port === lastPort ? `:${port}` : `:${port}-${lastPort}`;
  const parsed = { mptcp, family, hostname, ...(ports && { port, lastPort }) };
  return { text: prefix + bracketed + range, parsed, prefix };
});

test("an address in text is taken apart", () => {
  for (const [text, expected] of ADDRESSES) assertEquals(parseAddress(text), expected, text);
});

test("what is wrong with an address is said, and at which character", () => {
  for (const [text, at, problem] of WRONG) {
    const { message } = assertThrows(() => parseAddress(text), SyntaxError);
    assert(message.startsWith(`Invalid address "${text}": `), message);
    assert(message.endsWith(`${problem}, at character ${at}`), message);
  }
});

test("every address is read as it was written", () => {
  fc.assert(
    fc.property(address, ({ text, parsed }) => {
      assertEquals(parseAddress(text), parsed as ParsedAddress, text);
    }),
    { numRuns: 3000 },
  );
});

test("parseAddress takes every text: it gives an address or a SyntaxError with a position", () => {
  const characters = fc.constantFrom(..."mptcp46@[]:::-.*%0189af \0é");
  const damaged = fc.tuple(address, fc.nat(60), characters, fc.nat(2)).map(
    ([{ text }, at, character, cut]) => text.slice(0, at) + character + text.slice(at + cut),
  );
  const texts = fc.oneof(anyText, fc.string({ unit: characters }), damaged);
  fc.assert(
    fc.property(texts, (text) => {
      try {
        const { hostname, port, lastPort } = parseAddress(text);
        assertEquals(checkHostname(hostname || "*"), hostname || "*");
        if (port === undefined) return assertEquals(lastPort, undefined);
        assert(checkPort(port) <= checkPort(lastPort));
      } catch (error) {
        assert(error instanceof SyntaxError, String(error));
        const at = Number(/, at character (\d+)$/.exec(error.message)?.[1]);
        assert(at >= 1 && at <= text.length + 1, error.message);
      }
    }),
    { numRuns: 3000 },
  );
});

test("a character that no name has is found where it is", () => {
  const strange = fc.constantFrom(..."@ /\\?#!$&'()+,;=<>^`{|}~\"%*\0\n");
  fc.assert(fc.property(name, fc.nat(), strange, fc.constantFrom("", "tcp@"), (...args) => {
    const [name, anywhere, character, prefix] = args;
    const at = anywhere % (name.length + 1);
    const text = `${prefix}${name.slice(0, at)}${character}${name.slice(at)}:80`;
    // "tcp@" in front of the rest would be a prefix.
    if (/^(mptcp|tcp)[46]?@/.test(text.slice(prefix.length))) return;
    const { message } = assertThrows(() => parseAddress(text), SyntaxError);
    assert(message.endsWith(`at character ${prefix.length + at + 1}`), message);
  }));
});

test("an address that is no text is a TypeError", () => {
  fc.assert(fc.property(fc.anything().filter((value) => typeof value !== "string"), (value) => {
    assertThrows(() => parseAddress(value as string), TypeError, "expected a string");
  }));
});

test("an address as options has what the text has, and no range of ports", () => {
  assertEquals(addressOptions("mptcp6@[::1]:80"), {
    mptcp: "require",
    family: 6,
    hostname: "::1",
    port: 80,
  });
  assertEquals(addressOptions(":0"), { ...PREFER, port: 0 });
  assertEquals(addressOptions("tcp@host"), { ...OFF, hostname: "host" });
  assertEquals(addressOptions("my-host:80-80"), { ...PREFER, hostname: "my-host", port: 80 });
  const { message } = assertThrows(() => addressOptions("my-host:80-81"), SyntaxError);
  assertEquals(
    message,
    'Invalid address "my-host:80-81": one socket takes one port, not a range, at character 11',
  );
});

test("a port is an integer from 0 to 65535, or its digits", () => {
  for (const port of [0, 1, 80, 65535]) {
    assertEquals(checkPort(port), port);
    assertEquals(checkPort(String(port)), port);
  }
  assertEquals(checkPort("00080"), 80);
  for (const port of [-1, 65536, 1e21, "65536"]) {
    assertThrows(() => checkPort(port), RangeError, "Invalid port (out of range)");
  }
  const hostile = {
    toString() {
      throw new Error("toString was called");
    },
  };
  const wrong = [
    hostile,
    1.5,
    NaN,
    Infinity,
    80n,
    "",
    " 80",
    "80 ",
    "+80",
    "-1",
    "0x50",
    "1e2",
    "٣",
    null,
  ];
  for (const port of [...wrong, undefined, true, [], [80], {}, Symbol("80"), () => 80]) {
    assertThrows(() => checkPort(port), TypeError, "Invalid port");
  }
});

test("checkPort takes every value: it gives a port, a TypeError or a RangeError", () => {
  fc.assert(fc.property(fc.anything(), (value) => {
    try {
      assert(checkPort(value) >= 0 && checkPort(value) <= 65535);
    } catch (error) {
      assert(error instanceof TypeError || error instanceof RangeError, String(error));
      assert(error.message.startsWith("Invalid port"), error.message);
    }
  }));
});

test("a hostname is a text, not empty and without a zero byte", () => {
  for (const hostname of ["a", "::1", "été", " ", "*"]) {
    assertEquals(checkHostname(hostname), hostname);
  }
  for (const hostname of [undefined, null, 1, {}, ["a"]]) {
    assertThrows(() => checkHostname(hostname), TypeError, "Invalid hostname: expected a string");
  }
  assertThrows(() => checkHostname("", "netns"), TypeError, "Invalid netns: it is empty");
  assertThrows(
    () => checkHostname("a\0"),
    TypeError,
    'Invalid hostname: "a\\u0000" has a zero byte',
  );
});

test("an IP address is a target as it is, and a name is none", () => {
  const target = (hostname: string) => {
    const found = literalTarget(hostname, 80);
    return found &&
      [found.family, found.hostname, found.address.join("."), found.scopeId, found.port];
  };
  assertEquals(target("127.0.0.1"), [AF_INET, "127.0.0.1", "127.0.0.1", 0, 80]);
  const loopback = "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1";
  assertEquals(target("::1"), [AF_INET6, "::1", loopback, 0, 80]);
  assertEquals(target("[0:0::1]"), [AF_INET6, "::1", loopback, 0, 80]);
  const linkLocal = "254.128.0.0.0.0.0.0.0.0.0.0.0.0.0.1";
  assertEquals(target("fe80::1%7"), [AF_INET6, "fe80::1%7", linkLocal, 7, 80]);
  assertEquals(target("fe80::1%lo"), [AF_INET6, "fe80::1%1", linkLocal, 1, 80]);
  const mapped = "0.0.0.0.0.0.0.0.0.0.255.255.1.2.3.4";
  assertEquals(target("::ffff:1.2.3.4"), [AF_INET6, "1.2.3.4", mapped, 0, 80]);
  for (const hostname of ["localhost", "*", "1.2.3", "::1::"]) assertEquals(target(hostname), null);
});

test("a zone that names no interface is an error that says so", () => {
  const error = assertThrows(() => literalTarget("fe80::1%nowhere0", 80), MptcpError);
  assertEquals([error.code, error.syscall, error.address], [
    "ENODEV",
    "if_nametoindex",
    "fe80::1%nowhere0",
  ]);
  assert(error.message.endsWith('"nowhere0" is not a network interface here'));
});
