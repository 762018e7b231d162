/**
 * `mptcp monitor`: what happens to the MPTCP connections of a machine.
 *
 * @module
 */

import { MptcpError } from "../../error.ts";
import { type MptcpEvents, MptcpPathManager } from "../../path_manager/mod.ts";
import type { Arguments } from "../args/arguments.ts";
import type { Command } from "../args/command.ts";
import { NETNS, netnsOptions } from "../args/common_options.ts";
import { eventLine } from "./event_line.ts";
import { toJson } from "../ui/json.ts";
import { Screen } from "./screen.ts";
import { isDumb, type Terminal } from "../ui/terminal.ts";
import { look, RateMeter, trafficLines } from "./traffic_table.ts";

const DEFAULT_INTERVAL = 1;

/** The command. */
export const monitor: Command = {
  name: "monitor",
  summary: "Watch connections and subflows, of all processes",
  details:
    `On a terminal: a table of the connections and their subflows with what goes over each, and the
last events. q or Ctrl-C ends it. Before Linux 6.15 subflows are shown to those with
CAP_NET_ADMIN alone, and events always are.

Elsewhere, or with --lines: a line for each event from now on. --json gives events as objects, as
the path manager of the library does, with a "time".`,
  options: [
    { name: "lines", summary: "Print events as lines, on a terminal too" },
    { name: "interval", value: "SECONDS", summary: "How often the table is renewed (default 1)" },
    NETNS,
  ],
  examples: [
    { line: "monitor", summary: "Look at what is going on" },
    { line: "monitor --json > events", summary: "Keep what happens" },
  ],
  run,
};

async function run(args: Arguments, terminal: Terminal): Promise<number> {
  const seconds = args.number("interval", { min: 0.1, integer: false }) ?? DEFAULT_INTERVAL;
  const netns = args.text("netns");
  const onScreen = terminal.outIsTerminal && !isDumb() && !args.has("lines") &&
    !args.has("json");
  using paths = new MptcpPathManager(netnsOptions(netns));
  if (onScreen) return await new LiveTable(paths, netns, terminal).run(1000 * seconds);
  for await (const event of paths.events({ signal: terminal.signal })) {
    const time = new Date();
    terminal.print(args.has("json") ? toJson({ time, ...event }) : eventLine(event, time));
  }
  return 0;
}

/** Events that are kept for the screen. */
const KEPT_EVENTS = 8;

/** The full-screen table, until a key or a signal ends it. */
class LiveTable {
  readonly #paths: MptcpPathManager;
  readonly #netns: string | undefined;
  readonly #terminal: Terminal;
  readonly #meter: RateMeter = new RateMeter();
  #lines: readonly string[] = [];
  #events: string[] = [];
  #status: number | null = null;
  #wake: () => void = () => {};

  constructor(paths: MptcpPathManager, netns: string | undefined, terminal: Terminal) {
    this.#paths = paths;
    this.#netns = netns;
    this.#terminal = terminal;
  }

  async run(interval: number): Promise<number> {
    const { signal } = this.#terminal;
    using events = this.#subscribe();
    const wake = () => this.#wake();
    signal.addEventListener("abort", wake);
    try {
      // The first look is what the rates of the second are counted from.
      this.#look();
      using screen = new Screen({
        onKey: (key) => this.#press(key),
        onResize: () => this.#draw(screen),
      });
      if (events !== null) void this.#collect(events, screen);
      while (this.#status === null && !signal.aborted) {
        this.#draw(screen);
        await this.#sleep(interval);
        this.#look();
      }
    } finally {
      signal.removeEventListener("abort", wake);
    }
    signal.throwIfAborted();
    return this.#status!;
  }

  #look(): void {
    this.#lines = trafficLines(look(this.#meter, this.#netns), this.#terminal.styles);
  }

  /** `null` where events are not for this user. */
  #subscribe(): MptcpEvents | null {
    try {
      return this.#paths.events();
    } catch (error) {
      if (!(error instanceof MptcpError) || error.code !== "EPERM") throw error;
      this.#events = ["They need CAP_NET_ADMIN"];
      return null;
    }
  }

  async #collect(events: MptcpEvents, screen: Screen): Promise<void> {
    for await (const event of events) {
      this.#events.push(eventLine(event, new Date()));
      this.#events = this.#events.slice(-KEPT_EVENTS);
      this.#draw(screen);
    }
  }

  #press(key: string): void {
    // In raw mode Ctrl-C is a key.
    if (key.includes("\x03")) this.#status = 130;
    else if (key.includes("q")) this.#status = 0;
    this.#wake();
  }

  #sleep(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #draw(screen: Screen): void {
    const { rows, styles } = this.#terminal;
    // A third of the screen at most, with the heading.
    const count = Math.min(this.#events.length, Math.max(0, Math.floor(rows / 3) - 2));
    const events = count === 0 ? [] : ["", styles.bold("EVENTS"), ...this.#events.slice(-count)];
    const foot = ["", styles.dim("q or Ctrl-C ends this")];
    const room = Math.max(rows - events.length - foot.length, 1);
    const shown = this.#lines.slice(0, room);
    const hidden = this.#lines.length - shown.length;
    if (hidden > 0) shown[room - 1] = styles.dim(`... and ${hidden + 1} lines more`);
    screen.draw([...shown, ...events, ...foot]);
  }
}
