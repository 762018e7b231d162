/**
 * The whole terminal as a screen to draw on, and its keys.
 *
 * @module
 */

import { writeSync } from "node:fs";
import process from "node:process";

/** Another screen in the terminal's place, without a cursor; and back to what was there. */
const ENTER = "\x1b[?1049h\x1b[?25l";
const LEAVE = "\x1b[?25h\x1b[?1049l";
const HOME = "\x1b[H";
const CLEAR_LINE = "\x1b[K";
const CLEAR_BELOW = "\x1b[J";

/** What happens to the screen from outside. */
export interface ScreenEvents {
  /** A key, as the terminal sends it: "q", "\x03" for Ctrl-C. */
  onKey(key: string): void;
  /** The terminal has another size. */
  onResize(): void;
}

/** The screen; what was there before comes back when it is disposed of, or the process ends. */
export class Screen implements Disposable {
  readonly #events: ScreenEvents;
  readonly #hasKeys: boolean = process.stdin.isTTY === true;
  #left = false;

  /** Takes the terminal over. */
  constructor(events: ScreenEvents) {
    this.#events = events;
    process.on("exit", this.#restore);
    process.stdout.on("resize", this.#onResize);
    if (this.#hasKeys) {
      process.stdin.setRawMode(true);
      process.stdin.on("data", this.#onData);
    }
    process.stdout.write(ENTER);
  }

  /** Draws lines from the top, cut to what there is room for. */
  draw(lines: readonly string[]): void {
    if (this.#left) return;
    const { columns = 80, rows = 24 } = process.stdout;
    const fitting = lines.slice(0, rows).map((line) => cut(line, columns) + CLEAR_LINE);
    process.stdout.write(HOME + fitting.join("\r\n") + CLEAR_BELOW);
  }

  [Symbol.dispose](): void {
    process.off("exit", this.#restore);
    process.stdout.off("resize", this.#onResize);
    this.#restore();
    if (!this.#hasKeys) return;
    process.stdin.off("data", this.#onData);
    process.stdin.pause();
  }

  readonly #onResize = (): void => this.#events.onResize();
  readonly #onData = (data: Uint8Array | string): void => {
    this.#events.onKey(typeof data === "string" ? data : new TextDecoder().decode(data));
  };

  /** At once: the process may be about to end. */
  readonly #restore = (): void => {
    if (this.#left) return;
    this.#left = true;
    if (this.#hasKeys) process.stdin.setRawMode(false);
    writeSync(1, LEAVE);
  };
}

// deno-lint-ignore no-control-regex
const STYLED = /(\x1b\[[\d;]*m)|[^\x1b]/gu;

/** As much of a line as fits; escape sequences of colours take no room. */
export function cut(line: string, columns: number): string {
  let width = 0;
  return [...line.matchAll(STYLED)]
    .filter(([, sequence]) => sequence !== undefined || ++width <= columns)
    .map(([text]) => text)
    .join("");
}
