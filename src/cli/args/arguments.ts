/**
 * The options and operands of a command line, as commands ask for them.
 *
 * @module
 */

/** A command line that makes no sense. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** What a number has to be; a whole one of at least 0 by default. */
export interface Bounds {
  readonly min?: number;
  readonly max?: number;
  readonly integer?: boolean;
}

/** The options and operands of a command line. */
export class Arguments {
  readonly #values: Readonly<Record<string, unknown>>;
  /** The arguments that are not options. */
  readonly operands: readonly string[];

  constructor(operands: readonly string[], values: Readonly<Record<string, unknown>>) {
    this.operands = operands;
    this.#values = values;
  }

  /** Whether a flag is there. */
  has(name: string): boolean {
    const value = this.#values[name];
    return Array.isArray(value) ? value.length > 0 : value !== undefined && value !== false;
  }

  /** The value of an option; `undefined` where it is not there. */
  text(name: string): string | undefined {
    return this.#values[name] as string | undefined;
  }

  /** The values of an option that may come more than once. */
  texts(name: string): readonly string[] {
    return this.#values[name] as string[] | undefined ?? [];
  }

  /**
   * The value of an option as a number.
   *
   * @throws {UsageError} unless it is one within the bounds.
   */
  number(name: string, bounds: Bounds = {}): number | undefined {
    const { min = 0, max = Infinity, integer = true } = bounds;
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = Number(text);
    const range = max === Infinity ? `at least ${min}` : `from ${min} to ${max}`;
    if (!/^\d+(\.\d+)?$/.test(text) || value < min || value > max) {
      throw new UsageError(`--${name} takes a number ${range}, not "${text}"`);
    }
    if (integer && !Number.isInteger(value)) {
      throw new UsageError(`--${name} takes a whole number ${range}, not "${text}"`);
    }
    return value;
  }

  /**
   * The value of an option as bytes: a number, and "k", "M" or "G" for powers of 1024.
   *
   * @throws {UsageError} unless it is one.
   */
  bytes(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const [, digits, unit] = /^(\d+(?:\.\d+)?)([kKmMgG])?$/.exec(text) ?? [];
    if (digits === undefined) {
      throw new UsageError(
        `--${name} takes a number of bytes, such as 500, 64k, 10M or 1G, not "${text}"`,
      );
    }
    return Math.round(Number(digits) * 1024 ** " kmg".indexOf((unit ?? " ").toLowerCase()));
  }
}
