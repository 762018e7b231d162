/**
 * Text from elsewhere, made safe for a terminal: the one place that does so.
 *
 * @module
 */

// Of the control characters of ASCII, and those above it (C1), which many terminals obey as well, only
// the tab and the line feed are harmless.
// deno-lint-ignore no-control-regex
const CONTROLS = /[\0-\x08\x0b-\x1f\x7f-\x9f]/g;

/** The escape sequences of the program's own colours, and any other control character. */
// deno-lint-ignore no-control-regex
const CONTROLS_BUT_COLOURS = /(\x1b\[(?:[0-2]|3[1236])m)|[\0-\x08\x0b-\x1f\x7f-\x9f]/g;

/** As an escape that JSON reads too: output of `--json` stays what it was. */
function escape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/**
 * Text with its control characters as escapes, "\u001b"; tabs and line feeds stay.
 *
 * @param colours Whether the sequences that colour text stay too.
 */
export function printable(text: string, colours: boolean = false): string {
  return colours
    ? text.replace(CONTROLS_BUT_COLOURS, (found, colour) => colour ?? escape(found))
    : text.replace(CONTROLS, escape);
}

/** The same for a stream of bytes, whose chunks may end within a character. */
export class PrintableBytes {
  readonly #decoder = new TextDecoder();
  readonly #encoder = new TextEncoder();

  /** The next bytes; line ends of both kinds stay. */
  convert(bytes: Uint8Array): Uint8Array {
    const text = this.#decoder.decode(bytes, { stream: true });
    return this.#encoder.encode(text.split("\r\n").map((part) => printable(part)).join("\r\n"));
  }
}
