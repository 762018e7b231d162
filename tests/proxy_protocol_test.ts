import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectMptcp, listenMptcp, MptcpError } from "../mod.ts";
import { formatIp, isIpv4Mapped } from "../ffi/linux/sockaddr.ts";
import {
  formatProxyHeader,
  type HeaderAddresses,
  parseProxyHeader,
  type ProxyHeader,
} from "../src/proxy/header.ts";
import type { NetAddr } from "../src/types.ts";
import { test } from "./harness.ts";
import { LineProcess, missingProgram } from "./processes.ts";
import { TestBackend, TestProxy } from "./proxy.ts";
import { bytesOf, concat, delay, readToEnd } from "./sockets.ts";

const MAX = 4096;
const SIGNATURE = Uint8Array.of(13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10);

/** A header of version 2 from its parts; the length is that of `rest` unless it is given. */
function binary(command: number, family: number, rest: Uint8Array, length = rest.byteLength) {
  return concat([
    SIGNATURE,
    Uint8Array.of(command, family, length >> 8, length & 0xff),
    rest,
  ]);
}

function end(hostname: string, port: number): NetAddr {
  return { transport: "tcp", hostname, port };
}

const ports = fc.integer({ min: 0, max: 65535 });
const ends = (size: 4 | 16) =>
  fc.tuple(fc.uint8Array({ minLength: size, maxLength: size }), ports)
    .filter(([bytes]) => !isIpv4Mapped(bytes))
    .map(([bytes, port]) => end(formatIp(bytes), port));
const pairs: fc.Arbitrary<HeaderAddresses> = fc.oneof(
  ...([4, 16] as const).map((size) => fc.record({ source: ends(size), destination: ends(size) })),
);

test("what is written is read again, byte by byte and with what follows it", () => {
  const versions = fc.constantFrom("v1" as const, "v2" as const);
  fc.assert(fc.property(versions, pairs, fc.uint8Array(), (version, addresses, rest) => {
    const header = formatProxyHeader(version, addresses);
    for (let length = 1; length < header.byteLength; length++) {
      assertEquals(parseProxyHeader(header.subarray(0, length), MAX), null);
    }
    const expected = { length: header.byteLength, addresses };
    assertEquals(parseProxyHeader(concat([header, rest]), MAX), expected);
  }));
});

/** What becomes of bytes, in a form that can be compared. */
function outcome(bytes: Uint8Array, maxLength: number): ProxyHeader | "more" | "refused" {
  try {
    return parseProxyHeader(bytes, maxLength) ?? "more";
  } catch (error) {
    assert(error instanceof MptcpError && error.code === "ERR_PROXY_HEADER", String(error));
    return "refused";
  }
}

/** Bytes near a header: a part of one, with some bytes changed, and others behind it. */
const nearHeaders = fc.tuple(
  fc.constantFrom("v1" as const, "v2" as const),
  pairs,
  fc.array(fc.tuple(fc.nat(60), fc.nat(255)), { maxLength: 3 }),
  fc.uint8Array({ maxLength: 200 }),
).map(([version, addresses, changes, rest]) => {
  const bytes = concat([formatProxyHeader(version, addresses), rest]);
  for (const [at, value] of changes) if (at < bytes.byteLength) bytes[at] = value;
  return bytes;
});

test("any bytes are a header, none, or the beginning of one, and no more bytes change that", () => {
  const all = fc.oneof(nearHeaders, fc.uint8Array({ minLength: 1 }));
  fc.assert(
    fc.property(all, fc.integer({ min: 107, max: 300 }), (bytes, maxLength) => {
      let before: ProxyHeader | "more" | "refused" = "more";
      for (let length = 1; length <= bytes.byteLength; length++) {
        const now = outcome(bytes.subarray(0, length), maxLength);
        if (before !== "more") assertEquals(now, before);
        if (now === "more") assert(length < maxLength);
        else if (now !== "refused") assert(now.length <= length && now.length <= maxLength);
        before = now;
      }
    }),
    { numRuns: 300 },
  );
});

test("the examples of the specification are read", () => {
  const text = bytesOf("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\nrest");
  const broadcast = end("255.255.255.255", 65535);
  assertEquals(parseProxyHeader(text, MAX), {
    length: text.byteLength - 4,
    addresses: { source: broadcast, destination: broadcast },
  });
  const longest = `PROXY UNKNOWN ${"ffff:".repeat(7)}ffff ${"ffff:".repeat(7)}ffff 65535 65535\r\n`;
  assertEquals(parseProxyHeader(bytesOf(longest), MAX), { length: 107, addresses: null });
  assertEquals(parseProxyHeader(bytesOf("PROXY UNKNOWN\r\n"), MAX)?.addresses, null);
});

test("a connection of the other proxy itself, and what is no TCP, has no client", () => {
  const address = new Uint8Array(216).fill(1);
  for (
    const [command, family, rest] of [
      [0x20, 0x00, new Uint8Array(0)],
      [0x20, 0x11, address.subarray(0, 12)],
      [0x20, 0x11, new Uint8Array(0)],
      [0x21, 0x00, new Uint8Array(0)],
      [0x21, 0x12, address.subarray(0, 12)],
      [0x21, 0x22, address.subarray(0, 36)],
      [0x21, 0x31, address],
    ] as const
  ) {
    const header = binary(command, family, rest);
    const expected = { length: header.byteLength, addresses: null };
    assertEquals(parseProxyHeader(header, MAX), expected);
  }
});

test("what follows the addresses of version 2 is left out", () => {
  const rest = concat([Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 0, 80, 1, 187), new Uint8Array(50)]);
  const header = binary(0x21, 0x11, rest);
  assertEquals(parseProxyHeader(header, MAX), {
    length: 78,
    addresses: { source: end("1.2.3.4", 80), destination: end("5.6.7.8", 443) },
  });
});

test("mapped addresses are read as IPv4, and a pair of both families is written as IPv6", () => {
  const addresses = { source: end("1.2.3.4", 5), destination: end("fe80::1%2", 6) };
  const written = new TextDecoder().decode(formatProxyHeader("v1", addresses));
  assertEquals(written, "PROXY TCP6 ::ffff:102:304 fe80::1 5 6\r\n");
  const expected = { source: end("1.2.3.4", 5), destination: end("fe80::1", 6) };
  assertEquals(parseProxyHeader(bytesOf(written), MAX)?.addresses, expected);
  const binary = formatProxyHeader("v2", addresses);
  assertEquals(parseProxyHeader(binary, MAX)?.addresses, expected);
});

for (
  const [bytes, message] of [
    ["GET / HTTP/1.1\r\n", "does not begin with one"],
    ["PROXY\tTCP4 ", "does not begin with one"],
    ["PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", "ends without a CR"],
    ["PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n", "expected"],
    ["PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", "expected"],
    ["PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", "expected"],
    ["PROXY UNKNOWNS 1\r\n", "expected"],
    ["PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n", "is not an address of TCP4"],
    ["PROXY TCP4 ::1 ::1 1 2\r\n", "is not an address of TCP4"],
    ["PROXY TCP6 1.2.3.4 ::1 1 2\r\n", "is not an address of TCP6"],
    ["PROXY TCP6 [::1] ::1 1 2\r\n", "is not an address of TCP6"],
    ["PROXY TCP6 fe80::1%1 ::1 1 2\r\n", "is not an address of TCP6"],
    ["PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", "is not a port"],
    ["PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", "is not a port"],
    [`PROXY UNKNOWN ${"x".repeat(200)}`, "no end of line in its first 107 bytes"],
  ] as const
) {
  test(`${JSON.stringify(bytes.slice(0, 40))} is refused: ${message}`, () => {
    assertThrows(() => parseProxyHeader(bytesOf(bytes), MAX), MptcpError, message);
  });
}

for (
  const [command, family, length, message] of [
    [0x11, 0x11, 12, "unknown version 1"],
    [0x22, 0x11, 12, "unknown command 2"],
    [0x21, 0x41, 12, "unknown family 0x41"],
    [0x21, 0x13, 12, "unknown family 0x13"],
    [0x21, 0x11, 11, "11 bytes instead of 12"],
    [0x21, 0x21, 35, "35 bytes instead of 36"],
    [0x20, 0x00, 5000, "5016 bytes exceed the limit of 4096"],
  ] as const
) {
  test(`version 2 with ${[command, family, length]} is refused: ${message}`, () => {
    const header = binary(command, family, new Uint8Array(0), length);
    assertThrows(() => parseProxyHeader(header, MAX), MptcpError, message);
  });
}

/** A backend that gives back all that came, once its client has ended. */
function recorder(): TestBackend {
  return new TestBackend(async (conn) => {
    const bytes = await readToEnd(conn);
    await conn.write(bytes);
  });
}

/** What a backend gets when a client sends this through a proxy. */
async function passOn(
  proxy: TestProxy,
  ...parts: readonly Uint8Array[]
): Promise<{ bytes: Uint8Array; client: NetAddr }> {
  using client = await proxy.connect();
  for (const part of parts) {
    await client.write(part);
    await delay(5);
  }
  await client.closeWrite();
  return { bytes: await readToEnd(client), client: client.localAddr };
}

for (const version of ["v1", "v2"] as const) {
  test(`a backend is told of its client by ${version}`, async () => {
    await using backend = recorder();
    await using proxy = new TestProxy({ back: backend.address, sendProxy: version });
    const { bytes, client } = await passOn(proxy, bytesOf("hello"));
    const { length, addresses } = parseProxyHeader(bytes, MAX)!;
    assertEquals(addresses, { source: client, destination: end("127.0.0.1", proxy.port) });
    assertEquals(bytes.subarray(length), bytesOf("hello"));
    const { bytesIn, end: ending } = await proxy.report();
    assertEquals([bytesIn, ending], [5, "closed"]);
  });

  test(`the client of another proxy is learned by ${version}, in pieces, and told on`, async () => {
    await using backend = recorder();
    await using proxy = new TestProxy({
      back: backend.address,
      acceptProxy: true,
      sendProxy: "v2",
    });
    const addresses = { source: end("192.0.2.1", 1234), destination: end("192.0.2.2", 443) };
    const header = formatProxyHeader(version, addresses);
    const all = concat([header, bytesOf("hello")]);
    for (const cut of [1, 13, header.byteLength - 1, header.byteLength, all.byteLength - 1]) {
      const { bytes } = await passOn(proxy, all.subarray(0, cut), all.subarray(cut));
      const passed = parseProxyHeader(bytes, MAX)!;
      assertEquals(passed.addresses, addresses);
      assertEquals(bytes.subarray(passed.length), bytesOf("hello"));
      const { client, front, bytesIn } = (await proxy.report(proxy.reports.length))!;
      assertEquals(client, addresses.source);
      assertEquals(front.remoteAddr.hostname, "127.0.0.1");
      assertEquals(bytesIn, 5);
    }
  });
}

for (
  const [what, bytes, message] of [
    ["is none", "GET / HTTP/1.1\r\n\r\n", "does not begin with one"],
    ["is malformed", "PROXY TCP4 a b c d\r\n", "is not an address"],
    ["is too long", `PROXY ${"x".repeat(200)}`, "no end of line"],
    ["does not come", "", "not complete after 200 ms"],
    ["does not end", "PROXY TCP4 ", "not complete after 200 ms"],
  ] as const
) {
  test(`a client whose header ${what} is reset, and no backend hears of it`, async () => {
    await using backend = recorder();
    await using proxy = new TestProxy({ back: backend.address, acceptProxy: { timeout: 200 } });
    using client = await proxy.connect();
    await client.write(bytesOf(bytes));
    const error = await assertRejects(() => readToEnd(client), MptcpError);
    assertEquals(error.code, "ECONNRESET");
    const report = await proxy.report();
    assertEquals([report.end, report.back, backend.taken], ["bad-header", null, 0]);
    const { message: text } = report.error as Error;
    assert(text.includes(message), text);
  });
}

test("a client that leaves before its header is complete is no connection to a backend", async () => {
  await using backend = recorder();
  await using proxy = new TestProxy({ back: backend.address, acceptProxy: true });
  using client = await proxy.connect();
  await client.write(bytesOf("PROXY"));
  await client.closeWrite();
  const report = await proxy.report();
  assertEquals([report.end, backend.taken], ["bad-header", 0]);
  assert((report.error as Error).message.endsWith("the connection ended after 5 bytes"));
});

const noHaproxy = missingProgram("haproxy");

/** HAProxy with a front and a back of these options, between two ports. */
class Haproxy implements AsyncDisposable {
  readonly port: number;
  readonly #folder = mkdtempSync(join(tmpdir(), "mptcp-haproxy-"));
  readonly #process: LineProcess;

  private constructor(bind: string, back: number, server: string) {
    {
      using listener = listenMptcp({ hostname: "127.0.0.1", mptcp: "off" });
      this.port = listener.addr.port;
    }
    const path = join(this.#folder, "haproxy.cfg");
    writeFileSync(
      path,
      `
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen test
  bind 127.0.0.1:${this.port} ${bind}
  server one 127.0.0.1:${back} ${server}
`,
    );
    this.#process = new LineProcess(["haproxy", "-db", "-q", "-f", path]);
  }

  static async start(bind: string, back: number, server: string): Promise<Haproxy> {
    const haproxy = new Haproxy(bind, back, server);
    for (let tries = 0; tries < 200; tries++) {
      try {
        using _conn = await connectMptcp({ port: haproxy.port, mptcp: "off" });
        return haproxy;
      } catch {
        await delay(25);
      }
    }
    await haproxy[Symbol.asyncDispose]();
    throw new Error("HAProxy does not listen");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
    rmSync(this.#folder, { recursive: true });
  }
}

for (const version of ["v1", "v2"] as const) {
  test(`HAProxy learns the client from the header that the proxy sends, ${version}`, {
    skip: noHaproxy,
  }, async () => {
    await using backend = recorder();
    await using haproxy = await Haproxy.start("accept-proxy", backend.port, "send-proxy");
    await using proxy = new TestProxy({
      back: `tcp@127.0.0.1:${haproxy.port}`,
      sendProxy: version,
    });
    const { bytes, client } = await passOn(proxy, bytesOf("hello"));
    const told = `PROXY TCP4 127.0.0.1 127.0.0.1 ${client.port} ${proxy.port}\r\nhello`;
    assertEquals(new TextDecoder().decode(bytes), told);
  });

  test(`the proxy learns the client from the header that HAProxy sends, ${version}`, {
    skip: noHaproxy,
  }, async () => {
    await using backend = recorder();
    await using proxy = new TestProxy({ back: backend.address, acceptProxy: true });
    const server = version === "v1" ? "send-proxy" : "send-proxy-v2 proxy-v2-options unique-id";
    await using haproxy = await Haproxy.start("", proxy.port, server);
    using client = await connectMptcp({ port: haproxy.port, mptcp: "off" });
    await client.write(bytesOf("hello"));
    await client.closeWrite();
    assertEquals(await readToEnd(client), bytesOf("hello"));
    // The first was the look whether HAProxy listens.
    const reports = [await proxy.report(1), await proxy.report(2)];
    const report = reports.find(({ bytesIn }) => bytesIn === 5)!;
    assertEquals(report.client, client.localAddr);
    assert(report.front.remoteAddr.port !== client.localAddr.port);
  });

  test(`HAProxy's own health checks are taken, ${version}`, { skip: noHaproxy }, async () => {
    await using backend = recorder();
    await using proxy = new TestProxy({ back: backend.address, acceptProxy: true });
    const server = `${
      version === "v1" ? "send-proxy" : "send-proxy-v2"
    } check check-send-proxy inter 50`;
    await using _haproxy = await Haproxy.start("", proxy.port, server);
    const reports = await Promise.all([1, 2, 3, 4].map((count) => proxy.report(count)));
    assertEquals(reports.filter(({ end }) => end === "bad-header"), []);
    // One was the look whether HAProxy listens, which has a client.
    const own = reports.filter(({ client, front }) => client.port === front.remoteAddr.port);
    assert(own.length >= 3, `${own.length}`);
  });
}
