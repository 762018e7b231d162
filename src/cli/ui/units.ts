/**
 * Quantities as people read them: sizes, rates, times and counts, and bars.
 *
 * @module
 */

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;
const RATE_UNITS = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"] as const;

/** Bytes: "1.5 MiB". */
export function formatBytes(bytes: number): string {
  return scale(bytes, 1024, BYTE_UNITS);
}

/** A rate, given in bytes per second, in bits as links have it: "94.1 Mbit/s". */
export function formatRate(bytesPerSecond: number): string {
  return scale(bytesPerSecond * 8, 1000, RATE_UNITS);
}

/** A time of microseconds in milliseconds: "0.123 ms", "23.4 ms". */
export function formatMicroseconds(microseconds: number): string {
  const milliseconds = microseconds / 1000;
  return `${milliseconds < 1 ? milliseconds.toFixed(3) : milliseconds.toPrecision(3)} ms`;
}

function scale(value: number, step: number, units: readonly string[]): string {
  let unit = 0;
  // What would be shown as 1000 of a unit is 1 of the next.
  while (unit < units.length - 1 && value >= step - 0.5) {
    value /= step;
    unit++;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

/** Seconds: "0:07", "1:02:03". */
export function formatClock(seconds: number): string {
  const whole = Math.round(seconds);
  const pad = (number: number) => String(number % 60).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}:${pad(whole)}`;
  return `${Math.floor(minutes / 60)}:${pad(minutes)}:${pad(whole)}`;
}

/** A bar of that many columns, of which a part, 0 to 1, is filled, to an eighth of a column. */
export function formatBar(part: number, columns: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, part)) * columns * 8);
  const rest = " ▏▎▍▌▋▊▉"[eighths % 8]!;
  return `${"█".repeat(Math.floor(eighths / 8))}${eighths % 8 > 0 ? rest : ""}`.padEnd(columns);
}

/** "1 subflow", "2 subflows". */
export function count(number: number, noun: string, plural: string = `${noun}s`): string {
  return `${number} ${number === 1 ? noun : plural}`;
}
