/**
 * Lines at the end of a terminal that change in place.
 *
 * @module
 */

/** What is drawn on. */
export interface Screen {
  /** Prints a line, or lines. */
  warn(text: string): void;
  /** The width. */
  readonly columns: number;
}

/** Lines on standard error that are drawn over; other lines are printed above them. */
export class LiveLines {
  readonly #screen: Screen;
  #lines: readonly string[] = [];

  constructor(screen: Screen) {
    this.#screen = screen;
  }

  /** Draws lines in the place of those before. What is too long is cut. */
  draw(lines: readonly string[]): void {
    const before = this.#erasure();
    this.#lines = lines.map((line) => line.slice(0, this.#screen.columns - 1));
    this.#screen.warn(`${before}${this.#lines.join("\n")}`);
  }

  /** Prints what is to stay, above. */
  say(text: string): void {
    const lines = this.#lines;
    const before = this.#erasure();
    this.#lines = [];
    this.#screen.warn(`${before}${text}`);
    if (lines.length > 0) this.draw(lines);
  }

  /** Leaves the lines as they are: what comes next is printed below. */
  end(): void {
    this.#lines = [];
  }

  /** Up to the first line, and clear the rest of the screen. */
  #erasure(): string {
    return this.#lines.length === 0 ? "" : `\x1b[${this.#lines.length}A\r\x1b[J`;
  }
}
