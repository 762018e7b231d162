/**
 * What metrics are made of.
 *
 * @module
 */

/** A value with its labels. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** All values of one metric. */
export interface MetricFamily {
  /** The name, without the suffix `_total` of counters. */
  readonly name: string;
  /** A counter only increases; a gauge is a current value. */
  readonly type: "counter" | "gauge";
  /** "bytes", "seconds", or nothing: the last word of the name. */
  readonly unit?: "bytes" | "seconds";
  /** A sentence. */
  readonly help: string;
  readonly samples: readonly Sample[];
}
