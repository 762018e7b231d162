/**
 * The table of `mptcp monitor` on a terminal.
 *
 * @module
 */

import { MptcpError } from "../../error.ts";
import type { MptcpEvents, MptcpPathManager } from "../../path_manager/mod.ts";
import type { Terminal } from "../ui/terminal.ts";
import { eventLine } from "./event_line.ts";
import { Screen } from "./screen.ts";
import { look, RateMeter, trafficLines } from "./traffic_table.ts";

/** Events that are kept for the screen. */
const KEPT_EVENTS = 8;

/** Connections that are described, whether they fit on the screen or not. */
const MOST_CONNECTIONS = 200;

/** The full-screen table, until a key or a signal ends it. */
export class LiveTable {
  readonly #paths: MptcpPathManager;
  readonly #netns: string | undefined;
  readonly #terminal: Terminal;
  readonly #meter: RateMeter = new RateMeter();
  #lines: readonly string[] = [];
  /** Lines that were not even made. */
  #others = 0;
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
    const state = look(this.#meter, this.#netns, Math.max(MOST_CONNECTIONS, this.#terminal.rows));
    this.#lines = trafficLines(state, this.#terminal.styles);
    const described = state.connections.reduce((sum, { subflows }) => sum + subflows.length, 0);
    this.#others = state.count - state.connections.length + state.subflows - described;
  }

  /** `null` where events are not for this user. */
  #subscribe(): MptcpEvents | null {
    try {
      return this.#paths.events();
    } catch (error) {
      if (!(error instanceof MptcpError) || error.code !== "EPERM") throw error;
      this.#events = ["Events need CAP_NET_ADMIN"];
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
    const foot = ["", styles.dim("Press q or Ctrl-C to quit")];
    const room = Math.max(rows - events.length - foot.length, 1);
    const shown = this.#lines.slice(0, room);
    const hidden = this.#lines.length + this.#others - shown.length;
    if (hidden > 0) shown[room - 1] = styles.dim(`... and ${hidden + 1} lines more`);
    screen.draw([...shown, ...events, ...foot]);
  }
}
