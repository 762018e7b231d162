/**
 * A lab with two paths and a path manager at each end, for tests.
 *
 * @module
 */

import { createLab, type Lab, labUnavailable } from "../bench/lab/lab.ts";
import { connectMptcp, listenMptcp, mptcpSupport } from "../mod.ts";
import { MptcpPathManager } from "../src/path_manager/mod.ts";
import { bytesOf, delay, type Pair, readUpTo } from "./sockets.ts";

/** Why there can be no such lab here; `null` if there can. */
export const noPaths: string | null = labUnavailable([]) ??
  mptcpSupport().fallback?.detail ?? null;

/** The client's addresses on the two paths. */
export const CLIENT = {
  v4: ["10.77.1.1", "10.77.2.1"],
  v6: ["fd77:1::1", "fd77:2::1"],
} as const;
/** The server's. */
export const SERVER = { v4: ["10.77.1.2", "10.77.2.2"], v6: ["fd77:1::2", "fd77:2::2"] } as const;

/** Two hosts, and their path managers with room for more paths. */
export interface Setup extends AsyncDisposable {
  readonly lab: Lab;
  readonly clientPaths: MptcpPathManager;
  readonly serverPaths: MptcpPathManager;
}

/** Makes a lab of two paths, each of a rate in Mbit/s if one is given. */
export async function setUp(
  { rate, sysctls = {} }: { rate?: number; sysctls?: Record<string, string | number> } = {},
): Promise<Setup> {
  const path = rate === undefined ? {} : { rate };
  const lab = await createLab({
    paths: [path, path],
    signal: null,
    sysctls: { "net.ipv4.tcp_congestion_control": "reno", ...sysctls },
  });
  const clientPaths = new MptcpPathManager({ netns: lab.client.name });
  const serverPaths = new MptcpPathManager({ netns: lab.server.name });
  clientPaths.setLimits({ subflows: 4, addAddrAccepted: 4 });
  serverPaths.setLimits({ subflows: 4, addAddrAccepted: 0 });
  return {
    lab,
    clientPaths,
    serverPaths,
    async [Symbol.asyncDispose]() {
      clientPaths.close();
      serverPaths.close();
      await lab[Symbol.asyncDispose]();
    },
  };
}

/** A connection over the first path that data has come back on. */
export async function connect(
  { lab }: Setup,
  hostname: string,
  options: { listen?: string; dualStack?: boolean } = {},
): Promise<Pair> {
  const { listen = "::", ...rest } = options;
  // Stays open: further subflows come to it too.
  const listener = listenMptcp({ hostname: listen, netns: lab.server.name });
  const { port } = listener.addr;
  const [client, server] = await Promise.all([
    connectMptcp({ hostname, port, netns: lab.client.name, mptcp: "require", ...rest }),
    listener.accept(),
  ]);
  // The kernel opens a client's subflows only once something has come back.
  await client.write(bytesOf("ping"));
  await server.write(await readUpTo(server, 4));
  await readUpTo(client, 4);
  return {
    client,
    server,
    [Symbol.dispose]() {
      client.close();
      server.close();
      listener.close();
    },
  };
}

/** Waits until both ends have that many subflows, all established. */
export async function subflowsBecome(ends: Pair, count: number): Promise<void> {
  const deadline = Date.now() + 5000;
  const now = () =>
    [ends.client, ends.server].map((conn) =>
      conn.subflows().filter(({ tcp }) => tcp.state === "ESTABLISHED").length
    );
  while (now().some((length) => length !== count)) {
    if (Date.now() > deadline) throw new Error(`${now()} subflows in place of ${count}`);
    await delay(5);
  }
}
