/**
 * Metrics as text that Prometheus reads.
 *
 * @module
 */

import type { MetricFamily, Sample } from "./types.ts";

/** OpenMetrics 1.0, or the text format 0.0.4 of Prometheus, which `promtool check metrics` reads. */
export type MetricsFormat = "openmetrics" | "prometheus";

/** The media type of each format. */
export const MEDIA_TYPES: Readonly<Record<MetricsFormat, string>> = {
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
  prometheus: "text/plain; version=0.0.4; charset=utf-8",
};

/** The text of some families. The two formats differ in the heads of counters, and in the end. */
export function formatMetrics(families: readonly MetricFamily[], format: MetricsFormat): string {
  const lines: string[] = [];
  for (const { name, type, unit, help, samples } of families) {
    const sampleName = type === "counter" ? `${name}_total` : name;
    const head = format === "openmetrics" ? name : sampleName;
    lines.push(`# HELP ${head} ${escapeText(help)}`, `# TYPE ${head} ${type}`);
    if (unit !== undefined && format === "openmetrics") lines.push(`# UNIT ${head} ${unit}`);
    for (const sample of samples) lines.push(`${sampleName}${labelsOf(sample)} ${sample.value}`);
  }
  if (format === "openmetrics") lines.push("# EOF");
  return `${lines.join("\n")}\n`;
}

function labelsOf({ labels }: Sample): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escapeText(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function escapeLabel(text: string): string {
  return escapeText(text).replaceAll('"', '\\"');
}
