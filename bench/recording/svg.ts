/**
 * Screens of a terminal as an animated SVG, which plays wherever pictures are shown.
 *
 * @module
 */

/** What was on the screen from a time on, in milliseconds. */
export interface Frame {
  readonly time: number;
  readonly lines: readonly string[];
  /** What happened to the network; empty for nothing. */
  readonly caption: string;
}

/** Pixels. */
const LINE = 20;
const COLUMN = 8.4;
const MARGIN = 14;

/** The animation; what does not change from one frame to the next is drawn once. */
export function toSvg(
  frames: readonly Frame[],
  { columns, rows }: { columns: number; rows: number },
): string {
  const kept = frames.filter((frame, i) => i === 0 || textOf(frame) !== textOf(frames[i - 1]!));
  const total = frames.at(-1)!.time + 2000;
  const width = Math.ceil(columns * COLUMN + 2 * MARGIN);
  const height = (rows + 2) * LINE + 2 * MARGIN;
  const groups = kept.map((frame, i) => frameGroup(frame, kept[i + 1]?.time ?? total, total));
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" ` +
    `viewBox="0 0 ${width} ${height}" font-family="ui-monospace, Menlo, Consolas, monospace" ` +
    `font-size="14" role="img" aria-label="A download over two paths goes on while one is cut">
<rect width="100%" height="100%" rx="8" fill="#10141b"/>
${groups.join("\n")}
</svg>
`;
}

function textOf({ lines, caption }: Frame): string {
  return [...lines, caption].join("\n");
}

function frameGroup({ time, lines, caption }: Frame, end: number, total: number): string {
  const [from, to] = [time / total, end / total].map((part) => part.toFixed(4));
  const values = time === 0 ? "visible;hidden" : "hidden;visible;hidden";
  const keyTimes = time === 0 ? `0;${to}` : `0;${from};${to}`;
  const texts = lines.map((line, i) => textAt(line, i, "#e6eaf1"));
  if (caption !== "") texts.push(textAt(caption, lines.length + 1, "#ffb266"));
  return `<g visibility="hidden"><animate attributeName="visibility" calcMode="discrete" ` +
    `values="${values}" keyTimes="${keyTimes}" dur="${(total / 1000).toFixed(2)}s" ` +
    `repeatCount="indefinite"/>${texts.join("")}</g>`;
}

function textAt(line: string, row: number, color: string): string {
  if (line.trim() === "") return "";
  const y = MARGIN + (row + 1) * LINE - 5;
  return `<text x="${MARGIN}" y="${y}" fill="${color}" xml:space="preserve">${escape(line)}</text>`;
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
