import { Server as GrpcServer, ServerCredentials } from "@grpc/grpc-js";
import { assert, assertEquals } from "@std/assert";
import type { Buffer } from "node:buffer";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import * as http from "node:http";
import { SMTPServer } from "smtp-server";
import { WebSocketServer } from "ws";
import { listenMptcp, mptcpSupport } from "../mod.ts";
import { type createServer, HttpAgent } from "../src/node/mod.ts";
import { proxyMptcp } from "../src/proxy/mod.ts";
import { afterTests, runtime, test } from "./harness.ts";
import { listening, textOf } from "./node.ts";
import { LineProcess, ROOT, runProgram, runtimeCommand, STDIN } from "./processes.ts";
import { missingService, type ServiceName, startService } from "./services.ts";

const page = readFileSync(`${ROOT}docs/recipes.md`, "utf8");
const noMptcp = mptcpSupport().supported ? null : mptcpSupport().fallback!.detail;

/** A server that a recipe can reach by MPTCP, and what it says that clients came by. */
interface Reachable extends AsyncDisposable {
  readonly port: number;
  /** What each connection was at this end, by getsockopt. */
  readonly seen: readonly string[];
  /** Where the files of the server are. */
  readonly folder?: string;
}

/** A server that only speaks TCP, behind a proxy that speaks MPTCP. */
function inFrontOf(port: number, folder?: string): Reachable {
  const seen: string[] = [];
  const proxy = proxyMptcp({
    front: "mptcp@127.0.0.1:0",
    back: `tcp@127.0.0.1:${port}`,
    onOpen: ({ front }) => seen.push(front.protocol),
  });
  return {
    port: proxy.fronts[0]!.addr.port,
    seen,
    ...(folder !== undefined && { folder }),
    [Symbol.asyncDispose]: () => proxy[Symbol.asyncDispose](),
  };
}

/** A server of this process on MPTCP sockets. */
async function inProcess(emitter: Parameters<ReturnType<typeof createServer>["serve"]>[0]) {
  const seen: string[] = [];
  const { server, port } = await listening({ mptcp: "require" }, (socket) => {
    seen.push(socket.protocol);
  });
  server.serve(emitter);
  return { port, seen, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

const requests = http.createServer((_request, response) => response.end("hello"));

async function startGrpc(): Promise<Reachable> {
  const server = new GrpcServer();
  const raw = (bytes: Buffer) => bytes;
  server.addService({
    say: {
      path: "/Echo/say",
      requestStream: false,
      responseStream: false,
      requestSerialize: raw,
      requestDeserialize: raw,
      responseSerialize: raw,
      responseDeserialize: raw,
    },
  }, {
    say: (call: { request: Buffer }, done: (e: null, b: Buffer) => void) =>
      done(null, call.request),
  });
  const port = await new Promise<number>((resolve, reject) => {
    const credentials = ServerCredentials.createInsecure();
    server.bindAsync("127.0.0.1:0", credentials, (e, port) => e ? reject(e) : resolve(port));
  });
  const reachable = inFrontOf(port);
  return {
    ...reachable,
    async [Symbol.asyncDispose]() {
      await reachable[Symbol.asyncDispose]();
      server.forceShutdown();
    },
  };
}

/** Servers of this process that recipes need, by the port that the page names. */
const IN_PROCESS: Record<string, () => Promise<Reachable>> = {
  "25": () => {
    const smtp = new SMTPServer({ authOptional: true, disabledCommands: ["STARTTLS"] });
    return inProcess(smtp.server);
  },
  "8080": () => {
    const sockets = new WebSocketServer({ server: requests });
    sockets.on("connection", (socket) => socket.on("message", (data) => socket.send(`${data}`)));
    return inProcess(requests);
  },
  "50051": startGrpc,
};

const SERVICES: Record<string, ServiceName> = {
  "6379": "redis",
  "5432": "postgres",
  "3306": "mariadb",
  "1883": "mosquitto",
  "4222": "nats",
  "22": "sshd",
};

async function start(port: string): Promise<Reachable | null> {
  const name = SERVICES[port];
  if (name === undefined) return endLater(await IN_PROCESS[port]!());
  if (missingService(name) !== null) return null;
  const service = endLater(await startService(name));
  return endLater(inFrontOf(service.port, service.folder));
}

function endLater<T extends AsyncDisposable>(resource: T): T {
  afterTests(() => resource[Symbol.asyncDispose]() as Promise<void>);
  return resource;
}

/** Each server is started once, before the tests. */
const knownPorts = [...Object.keys(SERVICES), ...Object.keys(IN_PROCESS)];
const reachable = new Map<string, Reachable | null>(
  noMptcp !== null ? [] : await Promise.all(
    knownPorts.map(async (port) => [port, await start(port)] as const),
  ),
);

/** The recipes of the page: title and program. */
const recipes = [...page.matchAll(/^##+ ([^\n]+)\n+(?:[^#`\n][^\n]*\n+)*```ts\n(.*?)^```$/gms)].map(
  (
    [, title, program],
  ) => ({ title: title!, program: program! }),
);

/** The section of servers has no client. */
const clients = recipes.filter(({ title }) => title !== "Servers");

/** Ports that a program names. */
function portsOf(program: string): string[] {
  return knownPorts.filter((port) => new RegExp(`\\b${port}\\b`).test(program));
}

for (const { title, program } of clients) {
  const ports = portsOf(program);
  const needs = ports.map((port) => SERVICES[port]).filter((name) => name !== undefined);
  const onlyBun = { runtime: "bun", reason: "they are Bun's own" } as const;
  const isBuns = title.startsWith("Bun");
  test(`the recipe of ${title} reaches its server by MPTCP, at both ends`, {
    skip: noMptcp ?? needs.map(missingService).find((reason) => reason !== null) ?? null,
    ...(isBuns && { only: onlyBun }),
    place: title === "ws" && runtime === "bun" ? "ws is Bun's own client there" : null,
  }, async () => {
    let text = program.replaceAll("db.example", "127.0.0.1").replace('"user"', '"root"');
    const servers = ports.map((port) => reachable.get(port)!);
    const before = servers.map(({ seen }) => seen.length);
    for (const [i, { port, folder }] of servers.entries()) {
      text = text.replaceAll(new RegExp(`\\b${ports[i]}\\b`, "g"), String(port));
      if (folder !== undefined) {
        text = text.replace('"key")', `${JSON.stringify(`${folder}/key`)})`);
      }
    }
    const { stdout, stderr, status } = await runProgram(text, { permissions: ["-A"] });
    assertEquals(status, 0, `${stdout}${stderr}`);
    assert(/\bmptcp 1$/m.test(stdout), `${stdout}${stderr}`);
    for (const [i, { seen }] of servers.entries()) {
      const now = seen.slice(before[i]);
      assert(now.length > 0 && now.every((protocol) => protocol === "mptcp"), now.join());
    }
  });
}

test("recipes have at most ten lines beside their imports", () => {
  assert(recipes.length >= 13, String(recipes.length));
  for (const { title, program } of recipes) {
    const lines = program.trim().split("\n").filter((line) =>
      line !== "" && !/^import /.test(line)
    );
    assert(lines.length <= 10, `${title}: ${lines.length}`);
  }
});

/** The table: a row for each recipe, with what it prints. */
test("the table of recipes has what the programs print", () => {
  const rows = [
    ...page.matchAll(/^\| +([\w.-]+) +\| .* \| \d +\| (.+?) +\| (.+?) +\| (.+?) +\|$/gm),
  ];
  const titles = clients.flatMap(({ title }) => title.split(" and "));
  assertEquals(rows.map(([, name]) => name!), titles);
  for (const [, name, ...reports] of rows) {
    const [onBun, elsewhere] = name!.startsWith("Bun.")
      ? ["mptcp 1", "not there"]
      : name === "ws"
      ? ["proxy only", "mptcp 1"]
      : ["mptcp 1", "mptcp 1"];
    assertEquals(reports, [elsewhere, onBun, elsewhere], name);
  }
});

test("undici by its plain name goes by TCP on Bun and asks nobody for a socket, as the page says", {
  timeout: 10_000,
  skip: noMptcp,
  only: { runtime: "bun", reason: "Bun has a stand-in of its own" },
}, async () => {
  await using server = await inProcess(requests);
  const undici = "undici";
  const { Agent, request } = await import(undici);
  let asked = 0;
  const dispatcher = new Agent({ connect: () => asked++ });
  const headers = { connection: "close" };
  const { body } = await request(`http://127.0.0.1:${server.port}/`, { dispatcher, headers });
  assertEquals([await body.text(), server.seen, asked], ["hello", ["tcp"], 0]);
});

test("the recipe of a server answers MPTCP and TCP clients, and says which they are", {
  skip: noMptcp,
}, async () => {
  const { program } = recipes.find(({ title }) => title === "Servers")!;
  const listener = listenMptcp({ hostname: "127.0.0.1" });
  const { port } = listener.addr;
  listener.close();
  const text = `${program}console.log("ready");`.replace("8000", String(port));
  const command = [...runtimeCommand(["-A"]), ...STDIN];
  await using server = new LineProcess(command, text);
  assertEquals(await server.nextLine(), "ready");
  for (const mptcp of ["require-peer", "off"] as const) {
    const agent = new HttpAgent({ mptcp });
    const request = http.get({ host: "127.0.0.1", port, agent });
    const [response] = await once(request, "response");
    assertEquals(await textOf(response), `You are using ${mptcp === "off" ? "tcp" : "mptcp"}.\n`);
    agent.destroy();
  }
});
