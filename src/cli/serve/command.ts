/**
 * `serve`: serves the files of a folder over MPTCP.
 *
 * @module
 */

import { setTimeout as delay } from "node:timers/promises";
import { type MptcpServer, serveMptcp } from "../../http/mod.ts";
import { formatHostPort } from "../../show.ts";
import type { Command } from "../args/command.ts";
import { DESCRIPTOR_DETAILS } from "../args/descriptors.ts";
import { withPolicy } from "../args/policy.ts";
import { LISTEN_MODE_OPTIONS } from "../args/modes.ts";
import { toJson } from "../ui/json.ts";
import { interruptedStatus, type Terminal } from "../ui/terminal.ts";
import { type Access, commonLine, logged } from "./access_log.ts";
import { serveFolder } from "./file_server.ts";
import { Folder } from "./folder.ts";
import { readServeOptions, type ServeCommandOptions } from "./options.ts";

/** The command. */
export const serve: Command = withPolicy({
  name: "serve",
  summary: "Serve the files of a folder over MPTCP",
  operands: "[FOLDER]",
  count: { min: 0, max: 1 },
  details:
    `Serves FOLDER, or the current folder. If a folder contains index.html, that file is served;
otherwise a listing is. Range requests are supported. Symbolic links are followed if they lead to a
place inside FOLDER. Names that begin with a dot are not served, unless --hidden is given. TCP clients
are served too.

${DESCRIPTOR_DETAILS}

An access log is printed on standard output, in the Common Log Format followed by the protocol and the
number of subflows. On SIGTERM, responses in progress are finished; Ctrl-C stops them.`,
  options: [
    {
      name: "listen",
      short: "l",
      value: "ADDRESS",
      summary:
        "Where to listen, such as [::1]:8080 or *:8000-8003 (default: all addresses, port 8000)",
    },
    { name: "cert", value: "FILE", summary: "Serve HTTPS with this certificate chain (PEM)" },
    { name: "key", value: "FILE", summary: "The private key of the certificate (PEM)" },
    { name: "hidden", summary: "Also serve names that begin with a dot" },
    { name: "no-listing", summary: "Do not list folders without index.html" },
    { name: "quiet", short: "q", summary: "Do not print the access log" },
    ...LISTEN_MODE_OPTIONS,
  ],
  examples: [
    { line: "serve", summary: "Serve the current folder on port 8000" },
    { line: "serve -l 127.0.0.1:8080 public", summary: "Serve to this machine only" },
    { line: "serve -l mptcp@*:443 --cert c.pem --key k.pem public", summary: "Serve HTTPS" },
    { line: "serve --json public >access.jsonl", summary: "Write the access log as JSON" },
    {
      line: "serve -l fd@web public",
      summary: 'Serve on the socket "web" of a systemd .socket unit',
    },
  ],
  run: (args, terminal) => runServe(readServeOptions(args), terminal),
}, "server");

/** Milliseconds that the last bytes of answers have to go out. */
const GRACE = 1000;

async function runServe(options: ServeCommandOptions, terminal: Terminal): Promise<number> {
  const { tls, listing, places } = options;
  const folder = openFolder(options.folder, options.hidden);
  const cut = new AbortController();
  const { signal } = cut;
  // Of the two engines this one keeps the length of a streamed body on both runtimes.
  const common = { ...tls, engine: "node", onListen: () => {}, signal } as const;
  const print = printer(options, terminal);
  const servers: MptcpServer[] = [];
  const running = new Set<Request>();
  try {
    for (const place of places) {
      servers.push(serveMptcp({ ...common, ...place, onError: failed(terminal) }, async (
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
  for (const server of servers) terminal.warn(bannerLine(server, folder, tls.cert));
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
    if (code === "ENOENT") throw new Error(`no such folder: ${path}`);
    if (code === "ENOTDIR") throw new Error(`${path} is not a folder`);
    throw error;
  }
}

/** What prints the access log; `null` for none. */
function printer(
  { log, json }: ServeCommandOptions,
  terminal: Terminal,
): ((access: Access) => void) | null {
  if (!log) return null;
  return (access) => terminal.log(json ? toJson(access) : commonLine(access));
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
