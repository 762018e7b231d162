import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { readdirSync, readFileSync } from "node:fs";
import { connectMptcp, MptcpError, mptcpSupport } from "../mod.ts";
import type { ConnectMptcpOptions, MptcpConn, NetAddr } from "../src/types.ts";
import { noCertificate } from "./certificate.ts";
import { test } from "./harness.ts";
import { LineProcess, missingProgram, ROOT, run, runtimeCommand } from "./processes.ts";
import { bytesOf, delay, LOOPBACKS, readToEnd, readUpTo, untilStill, writeAll } from "./sockets.ts";
import { temporaryFolder } from "./temporary.ts";

const noMptcp = mptcpSupport().supported ? null : mptcpSupport().fallback!.detail;
const REQUEST = "GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
const VERDICT = { prefer: "You are using MPTCP.", off: "You are not using MPTCP." };

/** What is asked of `connectMptcp`, and why it cannot be had here. */
const MODES = [{ mptcp: "prefer", skip: noMptcp }, { mptcp: "off", skip: null }] as const;

/** The permissions that an example asks for, beside the one that all need. */
const PERMISSIONS: Readonly<Record<string, string[]>> = {
  websocket: ["--allow-net"],
  paths: ["--allow-net"],
  https: ["--allow-net", "--allow-read"],
  fetch: ["--allow-net", "--allow-read"],
  files: ["--allow-net", "--allow-read"],
};

/** An example as a command, with the permissions that it needs and no more. */
function example(name: string, ...args: string[]): string[] {
  const permissions = ["--allow-ffi", ...PERMISSIONS[name] ?? []];
  return [...runtimeCommand(permissions), `examples/${name}.ts`, ...args];
}

/** Starts an example server on a free port. */
async function start(
  name: string,
  ...prefix: string[]
): Promise<{ process: LineProcess; port: number }> {
  return await startCommand([...prefix, ...example(name, "0")]);
}

/** Starts a server that says which port it got. */
async function startCommand(command: string[]): Promise<{ process: LineProcess; port: number }> {
  const process = new LineProcess(command);
  return { process, port: Number(/^Port (\d+): /.exec(await process.nextLine())![1]) };
}

/** The lines of the example server's answer. */
async function ask(conn: MptcpConn, request = REQUEST): Promise<string[]> {
  await writeAll(conn, bytesOf(request));
  const answer = new TextDecoder().decode(await readToEnd(conn));
  assert(answer.startsWith("HTTP/1.1 200 OK\r\n"), answer);
  return answer.slice(answer.indexOf("\r\n\r\n") + 4).split("\n");
}

function text({ hostname, port }: NetAddr): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

for (const name of readdirSync(`${ROOT}examples`).filter((name) => name.endsWith(".ts"))) {
  test(`examples/${name} is short and imports what a user can`, () => {
    const lines = readFileSync(`${ROOT}examples/${name}`, "utf8").trimEnd().split("\n");
    assert(lines.length <= 40, `${lines.length} lines`);
    const imports = lines.flatMap((line) => / from "(.*)"/.exec(line)?.[1] ?? []);
    assertEquals(imports.filter((name) => name.startsWith(".")), []);
    assert(imports.some((name) => name.startsWith("@multipath/mptcp")), imports.join());
  });
}

for (const hostname of LOOPBACKS) {
  for (const { mptcp, skip } of MODES) {
    test(`the example server tells a client over ${hostname} with mptcp "${mptcp}" what it uses`, {
      skip,
    }, async () => {
      const { process, port } = await start("server");
      await using _server = process;
      using conn = await connectMptcp({ hostname, port, mptcp });
      const [verdict, ...lines] = await ask(conn);
      assertEquals(verdict, VERDICT[mptcp]);
      if (mptcp === "off") assertStringIncludes(lines.shift()!, "did not request MPTCP");
      assertEquals(lines, [`${text(conn.remoteAddr)} <- ${text(conn.localAddr)}`, ""]);
    });
  }
}

const PYTHON = `
import http.client, socket, sys
port, protocol = int(sys.argv[1]), int(sys.argv[2])
client = http.client.HTTPConnection("127.0.0.1", port)
client.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
client.sock.connect(("127.0.0.1", port))
client.request("POST", "/any/path", body=b"x" * 1000, headers={"connection": "close"})
print(client.getresponse().read().decode())`;

for (const { mptcp, skip } of MODES) {
  test(`the example server answers Python's HTTP client with mptcp "${mptcp}"`, {
    skip: skip ?? missingProgram("python3"),
  }, async () => {
    const { process, port } = await start("server");
    await using _server = process;
    const protocol = mptcp === "off" ? 6 : 262;
    const answer = run("python3", ["-c", PYTHON, String(port), String(protocol)]);
    assertEquals(answer.split("\n")[0], VERDICT[mptcp]);
  });

  test(`the example server lives through bad clients with mptcp "${mptcp}"`, {
    skip,
  }, async () => {
    const { process, port } = await start("server");
    await using _server = process;
    const connect = (options: Partial<ConnectMptcpOptions> = {}) =>
      connectMptcp({ port, mptcp, ...options });

    using silent = await connect();
    for (const beginning of ["", "GET / HTTP/1.1\r\nhost: "]) {
      using resetting = await connect({ socketOptions: { linger: 0 } });
      await resetting.write(bytesOf(beginning));
    }
    {
      using impatient = await connect();
      await impatient.write(bytesOf(REQUEST));
    }
    {
      using halfway = await connect();
      await halfway.write(bytesOf("GET / HTTP/1.1\r\n"));
      await halfway.closeWrite();
      assertEquals(await halfway.read(new Uint8Array(1)), null);
    }
    {
      using endless = await connect();
      await writeAll(endless, new Uint8Array(20_000).fill(120));
      // Refused, reset or ended: which of them depends on what the server has read by then.
      await readToEnd(endless).catch(() => null);
    }
    {
      using uploading = await connect();
      const head = "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 1000000\r\n\r\n";
      await writeAll(uploading, bytesOf(`${head}${"x".repeat(1_000_000)}`));
      const answer = new TextDecoder().decode(await readUpTo(uploading, 15));
      assertEquals(answer, "HTTP/1.1 200 OK");
    }
    using slow = await connect();
    for (const byte of bytesOf(REQUEST.slice(0, -1))) await slow.write(Uint8Array.of(byte));
    assertEquals((await ask(slow, "\n"))[0], VERDICT[mptcp]);
    assertEquals((await ask(silent))[0], VERDICT[mptcp]);
  });
}

/** Waits until a process has opened nothing for a second. */
async function untilStarted(pid: number): Promise<void> {
  const count = () => readdirSync(`/proc/${pid}/fd`).length;
  await untilStill(count, 1000);
}

/** What an example server answers; asks again while nobody listens. */
async function askPatiently(port: number): Promise<string[]> {
  for (;;) {
    try {
      using conn = await connectMptcp({ port });
      return await ask(conn);
    } catch (error) {
      if (!(error instanceof MptcpError)) throw error;
      await delay(50);
    }
  }
}

for (const extra of [[], ["--allow-net"]]) {
  const flags = ["--allow-ffi", ...extra].join(" ");
  test(`the example server with ${flags} lives through more clients than it has descriptors`, {
    skip: missingProgram("prlimit"),
  }, async () => {
    const { process, port } = await startCommand([
      "prlimit",
      "--nofile=64:64",
      ...runtimeCommand(["--allow-ffi", ...extra]),
      "examples/server.ts",
      "0",
    ]);
    await using _server = process;
    // Runtimes break down when there is no descriptor left for what they still start, Deno after 500 ms.
    await untilStarted(process.pid);
    {
      using stack = new DisposableStack();
      const connect = async () => void stack.use(await connectMptcp({ port }));
      // The server of Deno breaks down, and nobody listens until it is up again.
      for (let i = 0; i < 100; i++) await connect().catch(() => {});
      // Until the server has accepted all that it can.
      await delay(300);
    }
    assert((await askPatiently(port))[0]!.startsWith("You are "));
  });
}

for (const { mptcp, skip } of MODES) {
  const prefix = mptcp === "off" ? ["NO_MPTCP=1"] : [];

  test(`the example client prints the answer of a server with mptcp "${mptcp}", and what it uses`, {
    skip,
  }, async () => {
    const { process, port } = await start("server");
    await using _server = process;
    const output = run("env", [...prefix, ...example("client", "127.0.0.1", String(port))]);
    const [answer, own] = output.slice(output.indexOf("\r\n\r\n") + 4).split("\n\n");
    const lines = answer!.split("\n");
    assertEquals(lines[0], VERDICT[mptcp]);
    const [there, here] = lines.at(-1)!.split(" <- ");
    const reason = "Switched off for this process by the environment variable NO_MPTCP\n";
    assertEquals(
      own,
      mptcp === "off"
        ? `This connection is tcp.\n${reason}${here} -> ${there}\n`
        : `This connection is mptcp.\n${here} -> ${there}\n`,
    );
  });

  test(`the example echo server gives the example client its line with mptcp "${mptcp}"`, {
    skip,
  }, async () => {
    const { process, port } = await start("echo");
    await using _server = process;
    const output = run("env", [...prefix, ...example("client", "::1", String(port), "hello")]);
    const protocol = mptcp === "off" ? "tcp" : "mptcp";
    assertStringIncludes(output, `hello\n\nThis connection is ${protocol}.\n`);
    assertStringIncludes(await process.nextLine(), `: ${protocol}`);
    assertStringIncludes(await process.nextLine(), ": done");
  });

  test(`the example echo server gives back all bytes with mptcp "${mptcp}", and stands a reset`, {
    skip,
  }, async () => {
    const { process, port } = await start("echo");
    await using _server = process;
    using conn = await connectMptcp({ port, mptcp });
    {
      using resetting = await connectMptcp({ port, mptcp, socketOptions: { linger: 0 } });
      await resetting.write(bytesOf("?"));
      await readUpTo(resetting, 1);
    }
    const bytes = new Uint8Array(1_000_000).map((_, i) => i * 31 + (i >> 8));
    const [echoed] = await Promise.all([
      readToEnd(conn),
      writeAll(conn, bytes).then(() => conn.closeWrite()),
    ]);
    assertEquals(echoed.byteLength, bytes.byteLength);
    assert(echoed.every((byte, i) => byte === bytes[i]), "wrong bytes");
  });
}

for (const { mptcp, skip } of MODES) {
  const protocol = mptcp === "off" ? "tcp" : "mptcp";
  const env = mptcp === "off" ? ["env", "NO_MPTCP=1"] : [];

  test(`the WebSocket example tells the room who came, with mptcp "${mptcp}"`, {
    skip,
  }, async () => {
    const { process, port } = await start("websocket", ...env);
    await using _server = process;
    const lines: string[] = [];
    const heard = Promise.withResolvers<void>();
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
    socket.onopen = () => socket.send("hello");
    socket.onmessage = ({ data }) => void (lines.push(data) === 2 && heard.resolve());
    socket.onerror = () => heard.reject(new Error("The WebSocket failed"));
    await heard.promise;
    const closed = new Promise((resolve) => socket.onclose = resolve);
    socket.close();
    await closed;
    const name = lines[1]!.replace(": hello", "");
    // The runtime's own client speaks TCP.
    assertEquals(lines, [`${name} joined over tcp, with 1 subflow(s)`, `${name}: hello`]);
  });

  test(`the HTTPS example and the fetch example talk to each other with mptcp "${mptcp}"`, {
    skip: skip ?? noCertificate,
  }, async () => {
    using folder = temporaryFolder();
    // The command that the example names.
    const source = readFileSync(`${ROOT}examples/https.ts`, "utf8");
    const openssl = /^\/\/ {3}(openssl [^]*?[^\\])$/m.exec(source)![1]!.replace(/\\\n\/\//, "");
    run("sh", ["-c", `cd '${folder.path}' && ${openssl} 2>&1`]);
    const [certPath, keyPath] = [folder.at("cert.pem"), folder.at("key.pem")];
    const { process, port } = await startCommand(example("https", certPath, keyPath, "0"));
    await using _server = process;
    const url = `https://localhost:${port}/some/where`;
    const command = [...env, ...example("fetch", url, certPath)];
    // Standard error has the protocol.
    const output = run("sh", ["-c", '"$@" 2>&1', "sh", ...command]);
    const [answer, truth] = output.split("\n");
    assertEquals(answer, `127.0.0.1 got /some/where over ${protocol.toUpperCase()}, encrypted.`);
    assert(truth!.startsWith(`localhost port ${port}: ${protocol}, `), truth);
  });

  test(`the file example serves its folder, and says by what, with mptcp "${mptcp}"`, {
    skip,
  }, async () => {
    const { process, port } = await startCommand(example("files", "examples", "0"));
    await using _server = process;
    const url = `http://127.0.0.1:${port}`;
    const source = readFileSync(`${ROOT}examples/files.ts`, "utf8");
    const output = run("sh", ["-c", '"$@"', "sh", ...env, ...example("fetch", `${url}/files.ts`)]);
    assertEquals(output, source);
    assertEquals(await process.nextLine(), `127.0.0.1 ${protocol} GET /files.ts 200`);
    assertEquals(
      (await fetch(`${url}/../README.md`).then((r) => (r.body?.cancel(), r))).status,
      404,
    );
    assertEquals(await process.nextLine(), "127.0.0.1 tcp GET /README.md 404");
  });
}

test("the example of paths sends a visitor their own paths, time and again", {
  skip: mptcpSupport().fallback?.detail ?? null,
}, async () => {
  const { process, port } = await start("paths");
  await using _server = process;
  const page = await fetch(`http://127.0.0.1:${port}/`);
  assertStringIncludes(await page.text(), "EventSource");
  using conn = await connectMptcp({ port });
  await writeAll(conn, bytesOf("GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n"));
  let text = "";
  const buf = new Uint8Array(4096);
  while (text.split("data:").length < 3) {
    const count = await conn.read(buf);
    text += new TextDecoder().decode(buf.subarray(0, count ?? 0));
    assert(count !== null, text);
  }
  const [, first] = /data:(.*)/.exec(text)!;
  const [verdict, path] = JSON.parse(first!) as string[];
  assertEquals(verdict, "You are using mptcp.");
  assert(/^path from 127\.0\.0\.1, round trip \d+\.\d ms$/.test(path!), path);
});
