/**
 * What metrics are made of.
 *
 * @module
 */

/** A value, with what tells it from others of its family. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** The values of one name. */
export interface MetricFamily {
  /** Without `_total`, which counters get. */
  readonly name: string;
  /** A counter only rises while the machine runs; a gauge is how things are now. */
  readonly type: "counter" | "gauge";
  /** "bytes", "seconds", or nothing: the last word of the name. */
  readonly unit?: "bytes" | "seconds";
  /** A sentence. */
  readonly help: string;
  readonly samples: readonly Sample[];
}
