/**
 * `serve`: serves the files of a folder over MPTCP.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { parseAddress } from "../../../mod.ts";
import { type MptcpServer, serveMptcp, type ServeMptcpOptions } from "../../http/mod.ts";
import { formatHostPort } from "../../show.ts";
import type { ListenMode } from "../../types.ts";
import { type Arguments, UsageError } from "../args/arguments.ts";
import type { Command } from "../args/command.ts";
import { interruptedStatus, type Terminal } from "../ui/terminal.ts";
import { type Access, commonLine, logged } from "./access_log.ts";
import { serveFolder } from "./file_server.ts";
import { Folder } from "./folder.ts";

/** The command. */
export const serve: Command = {
  name: "serve",
  summary: "Serve the files of a folder over MPTCP",
  operands: "[FOLDER]",
  count: { min: 0, max: 1 },
  details:
    `Serves FOLDER, or the folder that you are in: index.html where a folder has one, else a list of
what is in it; parts of files too (ranges). Links are followed if they end in FOLDER, and what begins
with a dot is not there, unless with --hidden. TCP clients are served as well.

Standard output has a line for each answer: the Common Log Format, and behind it the protocol and the
number of subflows. SIGTERM lets running answers finish, Ctrl-C does not.`,
  options: [
    {
      name: "listen",
      short: "l",
      value: "ADDRESS",
      summary: "Where to listen, as [::1]:8080 or *:8000-8003; all addresses, port 8000 by default",
    },
    { name: "cert", value: "FILE", summary: "Serve HTTPS with this certificate chain (PEM)" },
    { name: "key", value: "FILE", summary: "The key of the certificate (PEM)" },
    { name: "hidden", summary: "Serve what begins with a dot too" },
    { name: "no-listing", summary: "List no folders" },
    { name: "quiet", short: "q", summary: "Print no access log" },
    { name: "mptcp", summary: "MPTCP where it can be had (default)" },
    { name: "no-mptcp", summary: "TCP" },
    { name: "require-mptcp", summary: "Fail if MPTCP cannot be had" },
  ],
  examples: [
    { line: "serve", summary: "This folder at port 8000" },
    { line: "serve -l 127.0.0.1:8080 public", summary: "For this machine alone" },
    { line: "serve -l mptcp@*:443 --cert c.pem --key k.pem public", summary: "HTTPS" },
    { line: "serve --json public >access.jsonl", summary: "A log for programs" },
  ],
  run: runServe,
};

/** Milliseconds that the last bytes of answers have to go out. */
const GRACE = 1000;

async function runServe(args: Arguments, terminal: Terminal): Promise<number> {
  const folder = openFolder(args.operands[0] ?? ".", args.has("hidden"));
  const cut = new AbortController();
  const { signal } = cut;
  // Of the two engines this one keeps the length of a streamed body on both runtimes.
  const options = { ...readTls(args), engine: "node", onListen: () => {}, signal } as const;
  const print = printer(args, terminal);
  const listing = !args.has("no-listing");
  const servers: MptcpServer[] = [];
  const running = new Set<Request>();
  try {
    for (const place of places(args)) {
      servers.push(serveMptcp({ ...options, ...place, onError: failed(terminal) }, async (
        request,
        info,
      ) => {
        running.add(request);
        const response = await serveFolder(request, folder, { listing });
        return logged(request, info, response, (access) => {
          running.delete(request);
          print?.(access);
        });
      }));
    }
  } catch (error) {
    await Promise.all(servers.map((server) => server.shutdown()));
    throw error;
  }
  for (const server of servers) terminal.warn(bannerLine(server, folder, options.cert));
  await aborted(terminal.signal);
  if (terminal.signal.reason === "SIGTERM") await drained(servers, running);
  cut.abort();
  await Promise.all(servers.map(({ finished }) => finished));
  return interruptedStatus(terminal.signal);
}

function openFolder(path: string, hidden: boolean): Folder {
  try {
    return new Folder(path, { hidden });
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === "ENOENT") throw new Error(`there is no folder ${path}`);
    if (code === "ENOTDIR") throw new Error(`${path} is no folder`);
    throw error;
  }
}

function readTls(args: Arguments): { cert?: string; key?: string } {
  const [cert, key] = [args.text("cert"), args.text("key")];
  if ((cert === undefined) !== (key === undefined)) {
    throw new UsageError("--cert and --key go together");
  }
  if (cert === undefined) return {};
  return { cert: readPem("cert", cert), key: readPem("key", key!) };
}

function readPem(option: string, file: string): string {
  let text;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new Error(`--${option}: ${(error as Error).message}`);
  }
  if (text.includes("-----BEGIN ")) return text;
  throw new Error(`--${option}: ${file} is not in PEM`);
}

const MODES: readonly (readonly [option: string, mode: ListenMode])[] = [
  ["mptcp", "prefer"],
  ["no-mptcp", "off"],
  ["require-mptcp", "require"],
];

/** Where to listen: a port range is several places. */
function places(args: Arguments): ServeMptcpOptions[] {
  const chosen = MODES.filter(([option]) => args.has(option));
  if (chosen.length > 1) {
    throw new UsageError(`--${chosen[0]![0]} and --${chosen[1]![0]} exclude each other`);
  }
  const address = readAddress(args.text("listen") ?? ":8000");
  const { family, port = 8000, lastPort = port } = address;
  if (address.mptcp !== "prefer" && chosen.length > 0) {
    throw new UsageError(`--${chosen[0]![0]}: the address says so itself, by "mptcp@" or "tcp@"`);
  }
  const mptcp = chosen[0]?.[1] ?? address.mptcp;
  const hostname = address.hostname || (family === 4 || !hasIpv6() ? "0.0.0.0" : "::");
  return Array.from({ length: lastPort - port + 1 }, (_, i) => ({
    hostname,
    port: port + i,
    mptcp,
    ...(family === 6 && { ipv6Only: true }),
  }));
}

function readAddress(text: string): ReturnType<typeof parseAddress> {
  try {
    return parseAddress(text);
  } catch (error) {
    throw new UsageError(`--listen: ${(error as Error).message}`);
  }
}

/** Whether a socket on "::" can be bound, which takes IPv4 too. */
function hasIpv6(): boolean {
  return Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some(({ family }) => family === "IPv6")
  );
}

/** What prints the access log; `null` for none. */
function printer(args: Arguments, terminal: Terminal): ((access: Access) => void) | null {
  if (args.has("quiet")) return null;
  return (access) => terminal.print(args.has("json") ? JSON.stringify(access) : commonLine(access));
}

function failed(terminal: Terminal): (error: unknown) => Response {
  return (error) => {
    terminal.warn(terminal.errorStyles.red(error instanceof Error ? error.message : String(error)));
    return new Response("Internal Server Error\n", { status: 500 });
  };
}

function bannerLine(server: MptcpServer, { path }: Folder, cert: string | undefined): string {
  const { hostname, port } = server.addr;
  const scheme = cert === undefined ? "http" : "https";
  const why = server.fallback === null ? "" : ` (${server.fallback.detail})`;
  const url = `${scheme}://${formatHostPort(hostname, port)}/`;
  return `Serving ${path} at ${url} over ${server.protocol.toUpperCase()}${why}`;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** Takes no more connections, and waits until answers that are under way have been sent. */
async function drained(
  servers: readonly MptcpServer[],
  running: ReadonlySet<Request>,
): Promise<void> {
  let isOver = false;
  const ends = Promise.all(servers.map((server) => server.shutdown())).then(() => isOver = true);
  while (!isOver && running.size > 0) await delay(50);
  // Clients that keep their end open would keep Bun's server.
  await Promise.race([ends, delay(GRACE, undefined, { ref: false })]);
}
