/**
 * Sizes, rates and times as people read them, and bars.
 *
 * @module
 */

const SIZES = ["B", "KiB", "MiB", "GiB", "TiB"] as const;
const RATES = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"] as const;

/** Bytes, as "1.50 MiB". */
export function sizeText(bytes: number): string {
  return inUnits(bytes, 1024, SIZES);
}

/** A rate in bytes per second, in bits as links have it: "94.1 Mbit/s". */
export function rateText(bytesPerSecond: number): string {
  return inUnits(bytesPerSecond * 8, 1000, RATES);
}

function inUnits(value: number, step: number, units: readonly string[]): string {
  let unit = 0;
  for (; value >= step * 0.9995 && unit < units.length - 1; unit++) value /= step;
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

/** Seconds, as "0:07" or "1:02:03". */
export function clockText(seconds: number): string {
  const whole = Math.round(seconds);
  const pad = (number: number) => String(number % 60).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}:${pad(whole)}`;
  return `${Math.floor(minutes / 60)}:${pad(minutes)}:${pad(whole)}`;
}

/** A bar of that many columns, of which a part, 0 to 1, is filled, to an eighth of a column. */
export function barText(part: number, columns: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, part)) * columns * 8);
  const rest = " ▏▎▍▌▋▊▉"[eighths % 8]!;
  return `${"█".repeat(Math.floor(eighths / 8))}${eighths % 8 > 0 ? rest : ""}`.padEnd(columns);
}
