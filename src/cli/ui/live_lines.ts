/**
 * Lines at the end of a terminal that change in place.
 *
 * @module
 */

/** What is drawn on. */
export interface Screen {
  /** Prints a line, or lines. */
  warn(text: string): void;
  /** Sends escape sequences. */
  control(sequence: string): void;
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

  /** Draws lines over the previous ones. Long lines are cut. */
  draw(lines: readonly string[]): void {
    this.#erase();
    this.#lines = lines.map((line) => line.slice(0, this.#screen.columns - 1));
    this.#screen.warn(this.#lines.join("\n"));
  }

  /** Prints what is to stay, above. */
  say(text: string): void {
    const lines = this.#lines;
    this.#erase();
    this.#lines = [];
    this.#screen.warn(text);
    if (lines.length > 0) this.draw(lines);
  }

  /** Leaves the lines as they are: further output is printed below. */
  end(): void {
    this.#lines = [];
  }

  /** Goes up to the first line, and clears the rest of the screen. */
  #erase(): void {
    if (this.#lines.length > 0) this.#screen.control(`\x1b[${this.#lines.length}A\r\x1b[J`);
  }
}
