import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { isIP } from "node:net";
import { AF_INET, AF_INET6, sockaddr_storage } from "../ffi/linux/abi.ts";
import {
  decodeSockaddr,
  encodeSockaddr,
  formatIp,
  isIpv4Mapped,
  parseIp,
  toIpv4Mapped,
} from "../ffi/linux/sockaddr.ts";
import { test } from "./harness.ts";

/** Texts of addresses, and the form that RFC 5952 gives them. */
const CANONICAL: readonly (readonly [text: string, canonical: string])[] = [
  ["0.0.0.0", "0.0.0.0"],
  ["192.0.2.255", "192.0.2.255"],
  ["::", "::"],
  ["::1", "::1"],
  ["1::", "1::"],
  ["0:0:0:0:0:0:0:0", "::"],
  ["2001:0db8::0001", "2001:db8::1"],
  ["2001:DB8::ABCD", "2001:db8::abcd"],
  ["2001:db8:0:0:0:0:2:1", "2001:db8::2:1"],
  // One group of zeros is not shortened, and "::" may stand for one.
  ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
  ["2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
  ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
  ["::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"],
  // The longest run, and the first of two that are as long.
  ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
  ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
  ["1:0:0:2:0:0:0:0", "1:0:0:2::"],
  ["::ffff:192.0.2.1", "::ffff:c000:201"],
  ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
  ["1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"],
  ["[2001:db8::1]", "2001:db8::1"],
];

const NO_ADDRESSES = [
  ["", "localhost", "example.com", "*", " ", "0", "1.2.3", "1.2.3.4.5", "256.0.0.1", "1.2.3.-4"],
  ["01.2.3.4", "1.2.3.04", "0x7f.0.0.1", "1.2.3.4 ", " 1.2.3.4", "1.2.3.4\n", "1..3.4", "1.2.3."],
  ["١.2.3.4", "1.2.3.4%eth0", "[1.2.3.4]", "1.2.3.4:80", "1e1.2.3.4", "1.2.3.4/8"],
  [":", ":::", "1:", ":1", "1:2", "1::2::3", "::1::", "12345::", "::g", "1:2:3:4:5:6:7"],
  ["1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "1:2:3:4::5:6:7:8", "::-1"],
  ["1.2.3.4::", "::1.2.3.4:5", "::1.2.3", "::1.2.3.256", "::01.2.3.4", "1:2:3:4:5:6:7:1.2.3.4"],
  ["[", "]", "[]", "[::1", "::1]", "[[::1]]", "[::1]:80", "[::1] ", "::1/128", " ::1", "::1\n"],
].flat();

const NO_ZONES = ["", " ", "a b", "eth0:80", "a/b", "a]", "[a", "a%b", "%25eth0", "a\0", "a\n"];

const ipv4 = fc.uint8Array({ minLength: 4, maxLength: 4 });
/** Many groups of zeros, and mapped addresses. */
const ipv6 = fc.oneof(
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
  ipv4.map(toIpv4Mapped),
  fc.array(fc.constantFrom(0, 1, 0xffff), { minLength: 8, maxLength: 8 }).map((groups) =>
    new Uint8Array(groups.flatMap((group) => [group >> 8, group & 0xff]))
  ),
);
const port = fc.nat(65535);
const scopeId = fc.oneof(fc.constant(0), fc.nat(0xffffffff));
const characters = fc.constantFrom(..."0123456789abcdefABCDEFg:::...%[]/- \0\n٣");
/** UTF-16 of any kind, lone surrogates too. */
const anyText = fc.array(fc.nat(0xffff)).map((units) => String.fromCharCode(...units));
const almostAddress = fc.oneof(
  anyText,
  fc.string({ unit: characters }),
  fc.string({ unit: fc.constantFrom("0", "1", "f", ":", "::", "."), maxLength: 20 }),
  fc.tuple(fc.oneof(fc.ipV4(), fc.ipV4Extended(), fc.ipV6()), fc.nat(40), characters).map(
    ([text, at, character]) => text.slice(0, at) + character + text.slice(at + 1),
  ),
  fc.ipV4(),
  fc.ipV6(),
);

test("addresses are read in every form and written in that of RFC 5952", () => {
  for (const [text, canonical] of CANONICAL) {
    const ip = parseIp(text);
    assert(ip !== null, text);
    assertEquals(formatIp(ip.bytes), canonical, text);
    assertEquals(ip.family, ip.bytes.length === 4 ? AF_INET : AF_INET6, text);
    assertEquals(ip.zone, "", text);
  }
});

test("what is no address is none", () => {
  for (const text of NO_ADDRESSES) assertEquals(parseIp(text), null, JSON.stringify(text));
});

test("a zone is what can name an interface", () => {
  for (const zone of ["eth0", "2", "lo", "br-1a2b", "eth0.100", "wlp3s0@if2", "été"]) {
    assertEquals(parseIp(`fe80::1%${zone}`)?.zone, zone);
    assertEquals(parseIp(`[fe80::1%${zone}]`)?.zone, zone);
  }
  for (const zone of NO_ZONES) {
    assertEquals(parseIp(`fe80::1%${zone}`), null, JSON.stringify(zone));
    assertEquals(parseIp(`[fe80::1%${zone}]`), null, JSON.stringify(zone));
  }
});

test("parseIp takes every text, and says what node:net says", () => {
  fc.assert(
    fc.property(almostAddress, (text) => {
      const ip = parseIp(text);
      // Zones and brackets are this module's own.
      if (/[%[\]]/.test(text)) return;
      const version = ip === null ? 0 : ip.family === AF_INET ? 4 : 6;
      assertEquals(version, isIP(text), JSON.stringify(text));
    }),
    { numRuns: 3000 },
  );
});

test("an address is the same address after it was written and read", () => {
  fc.assert(fc.property(fc.oneof(ipv4, ipv6), (bytes) => {
    const text = formatIp(bytes);
    assertEquals(parseIp(text)?.bytes, bytes);
    if (bytes.length === 16) assertEquals(parseIp(`[${text}%eth0]`)?.bytes, bytes);
  }));
});

test("IPv6 addresses are written as URL writes them", () => {
  // The URL of Bun 1.4 refuses 1:2:3:4::1.2.3.4 and its like.
  const undotted = fc.ipV6().filter((text) => !text.includes("."));
  fc.assert(fc.property(fc.oneof(undotted, ipv6.map(formatIp)), (text) => {
    const { hostname } = new URL(`http://[${text}]/`);
    assertEquals(`[${formatIp(parseIp(text)!.bytes)}]`, hostname);
  }));
});

test("a sockaddr has the bytes of the C struct", () => {
  assertEquals(
    encodeSockaddr(new Uint8Array([192, 0, 2, 1]), 0x1f90),
    new Uint8Array([2, 0, 0x1f, 0x90, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
  );
  const linkLocal = parseIp("fe80::102")!.bytes;
  assertEquals(
    encodeSockaddr(linkLocal, 0x1f90, 0x01020304),
    new Uint8Array([10, 0, 0x1f, 0x90, 0, 0, 0, 0, ...linkLocal, 4, 3, 2, 1]),
  );
});

test("a sockaddr of either family says what was put into it", () => {
  fc.assert(fc.property(ipv4, port, (bytes, port) => {
    const decoded = decodeSockaddr(encodeSockaddr(bytes, port));
    assertEquals(decoded, { hostname: bytes.join("."), port, family: AF_INET });
  }));
  fc.assert(fc.property(ipv6, port, scopeId, (bytes, port, scopeId) => {
    const { hostname, ...rest } = decodeSockaddr(encodeSockaddr(bytes, port, scopeId));
    assertEquals(rest, { port, family: AF_INET6 });
    const ip = parseIp(hostname)!;
    assertEquals(ip.family === AF_INET ? toIpv4Mapped(ip.bytes) : ip.bytes, bytes);
    if (ip.family === AF_INET6) assertEquals(Number(ip.zone), scopeId);
  }));
});

test("a sockaddr is read where it lies in a larger buffer", () => {
  fc.assert(fc.property(fc.oneof(ipv4, ipv6), port, fc.nat(64), (bytes, port, offset) => {
    const sockaddr = encodeSockaddr(bytes, port);
    const storage = new Uint8Array(offset + sockaddr_storage.size).fill(0xa5);
    storage.set(sockaddr, offset);
    assertEquals(decodeSockaddr(storage.subarray(offset)), decodeSockaddr(sockaddr));
  }));
});

test("a sockaddr of another family throws a TypeError", () => {
  fc.assert(fc.property(
    fc.nat(0xffff).filter((family) => family !== AF_INET && family !== AF_INET6),
    (family) => {
      const buf = new Uint8Array(sockaddr_storage.size);
      new DataView(buf.buffer).setUint16(0, family, true);
      assertThrows(() => decodeSockaddr(buf), TypeError, String(family));
    },
  ));
});

test("an IPv4-mapped address is shown as the IPv4 address that it is", () => {
  fc.assert(fc.property(ipv4, port, (bytes, port) => {
    const mapped = toIpv4Mapped(bytes);
    assert(isIpv4Mapped(mapped));
    const decoded = decodeSockaddr(encodeSockaddr(mapped, port));
    assertEquals(decoded, { hostname: bytes.join("."), port, family: AF_INET6 });
  }));
  const near = ["::1.2.3.4", "::fffe:1.2.3.4", "::feff:1.2.3.4", "::1:ffff:1.2.3.4"];
  for (const text of [...near, "1::ffff:1.2.3.4", "64:ff9b::1.2.3.4", "::"]) {
    assert(!isIpv4Mapped(parseIp(text)!.bytes), text);
  }
  assert(!isIpv4Mapped(parseIp("1.2.3.4")!.bytes));
});
