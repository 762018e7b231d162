/**
 * The path manager: endpoints and limits that are changed by this program and by others, events of
 * connections, and shortages of the kernel's memory for them.
 *
 * @module
 */

import { MptcpError } from "../../../src/error.ts";
import { MptcpPathManager } from "../../../src/path_manager/mod.ts";
import type { MptcpEvent } from "../../../src/path_manager/types.ts";
import type { Simulation } from "../simulation.ts";
import { must, Peer, retry } from "./support.ts";

const PORT = 8000;

/** See the module's documentation. */
export async function paths(simulation: Simulation): Promise<void> {
  const { random, netlink, world } = simulation;
  using manager = await retry(simulation, () => new MptcpPathManager());
  const events: MptcpEvent[] = [];
  const controller = new AbortController();
  const listening = listen(simulation, manager, controller.signal, events);
  const listener = Peer.listen(simulation, { ip: "127.0.0.1", port: PORT }, true);
  for (let i = random.int(1, 10); i > 0; i--) {
    await retry(simulation, () => act(simulation, manager));
    if (random.percent(30)) Peer.connect(simulation, { ip: "127.0.0.1", port: PORT }, true);
    if (random.percent(10)) { for (let i = 0; i < 40; i++) netlink.emit(99, []); }
    if (random.percent(40)) await world.delay(random.int(0, 100) / 20);
  }
  compare(simulation, await retry(simulation, () => manager.endpoints()));
  await world.delay(random.int(0, 20));
  controller.abort();
  netlink.emit(98, []);
  await listening;
  listener.close();
  checkEvents(events);
}

async function listen(
  simulation: Simulation,
  manager: MptcpPathManager,
  signal: AbortSignal,
  events: MptcpEvent[],
): Promise<void> {
  while (!signal.aborted) {
    try {
      // Whoever leaves the loop by an error has nothing to close it by.
      if (simulation.random.percent(50)) {
        for await (const event of manager.events()) {
          events.push(event);
          if (signal.aborted) return;
        }
      }
      for await (const event of manager.events({ signal })) events.push(event);
      return;
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof MptcpError)) throw error;
      must(["EMFILE", "ENOBUFS", "ENOMEM"].includes(error.code), `events: ${error.message}`);
      await simulation.world.delay(1);
    }
  }
}

function act({ random }: Simulation, manager: MptcpPathManager): void {
  const address = `10.0.${random.int(1, 9)}.1`;
  const action = random.pick(["add", "add", "remove", "change", "limits", "flush"] as const);
  try {
    if (action === "add") {
      const device = random.pick([undefined, "eth0", "wlan0"]);
      const added = manager.addEndpoint({
        address,
        ...(device !== undefined && { device }),
        subflow: random.percent(50),
        signal: random.percent(30),
      });
      must(added.address === address && added.device === device, `added ${JSON.stringify(added)}`);
    } else if (action === "remove") manager.removeEndpoint(address);
    else if (action === "change") {
      const backup = random.percent(50);
      const changed = manager.changeEndpoint(address, { backup });
      must(changed.backup === backup && changed.address === address, "changed another way");
    } else if (action === "limits") {
      const subflows = random.int(0, 9);
      must(manager.setLimits({ subflows }).subflows === subflows, "another limit");
    } else if (random.percent(30)) manager.flushEndpoints();
  } catch (error) {
    if (!(error instanceof MptcpError)) throw error;
    if (!["EEXIST", "ENOENT", "ERANGE", "EINVAL"].includes(error.code)) throw error;
  }
}

function compare(
  { netlink }: Simulation,
  endpoints: readonly { id: number; address: string; backup: boolean }[],
): void {
  const told = endpoints.map(({ id, address, backup }) => `${id} ${address} ${backup}`);
  const truth = netlink.endpoints.map(({ id, ip, flags }) => `${id} ${ip} ${(flags & 4) !== 0}`);
  must(String(told) === String(truth), `endpoints are ${told} instead of ${truth}`);
}

/** A connection that is closed, or has a subflow, was created before, but for events that were lost. */
function checkEvents(events: readonly MptcpEvent[]): void {
  if (events.some(({ type }) => type === "lost")) {
    const at = events.findIndex(({ type }) => type === "lost");
    must(events[at + 1]?.type === "state", "no state after lost events");
    return;
  }
  const created = new Set<number>();
  for (const event of events) {
    if (event.type === "created") created.add(event.token);
    if (event.type === "established") must(created.has(event.token), "established before created");
  }
}
