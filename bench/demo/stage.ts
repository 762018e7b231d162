/**
 * Where the demonstration takes place: in a lab or on loopback, with the example server started.
 *
 * @module
 */

import type { ChildProcess, SpawnOptions } from "node:child_process";
import { once } from "node:events";
import type { ConnectMptcpOptions } from "../../mod.ts";
import { start, stop } from "../lab/command.ts";
import type { Lab } from "../lab/lab.ts";
import { programCommand } from "./program.ts";

/** A server, and the way to it. */
export interface Stage {
  /** What there is to see. */
  readonly title: string;
  /** How many subflows a connection will have. */
  readonly paths: number;
  readonly server: ChildProcess;
  readonly target: Pick<ConnectMptcpOptions, "hostname" | "netns">;
  [Symbol.asyncDispose](): Promise<void>;
}

const SERVER = programCommand("examples/server.ts", "--allow-ffi", "0");
const STDIO: SpawnOptions = { stdio: ["ignore", "pipe", "inherit"] };

/** Between the two namespaces of a lab. */
export function labStage(lab: Lab): Stage {
  return {
    title: "A client and a server in two network namespaces, joined by two paths.",
    paths: 2,
    server: lab.server.spawn(SERVER, STDIO),
    target: { netns: lab.client.name, hostname: lab.server.address() },
    [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose](),
  };
}

/** On loopback, where there is one path and no right is needed. */
export function loopbackStage(reason: string): Stage {
  const server = start(SERVER, STDIO);
  return {
    title: `A client and a server on loopback. There is one path only: ${reason}.`,
    paths: 1,
    server,
    target: { hostname: "127.0.0.1" },
    [Symbol.asyncDispose]: () => stop(server),
  };
}

/** Waits for the server to say which port it listens on. */
export async function serverPort(server: ChildProcess): Promise<number> {
  const ended = once(server, "exit").then(() => {
    throw new Error("The example server ended at its start");
  });
  const [line] = await Promise.race([once(server.stdout!, "data"), ended]);
  return Number(/^Port (\d+)/.exec(line)![1]);
}
