/**
 * The same metrics as instruments of OpenTelemetry.
 *
 * @module
 */

import { collectFamilies, type MetricsOptions } from "./collect.ts";
import type { MetricFamily } from "./types.ts";

/** The part of an observable instrument of `@opentelemetry/api` that is used here. */
export interface ObservableInstrument {
  /** Marks the object as an instrument; it is never called. */
  addCallback(callback: (result: never) => void): void;
}

/** Receives the values of a batch callback. */
export interface MetricObserver {
  /** Records one value of an instrument. */
  observe(
    instrument: ObservableInstrument,
    value: number,
    attributes: Readonly<Record<string, string>>,
  ): void;
}

/** A `Meter` of `@opentelemetry/api`, by structure: this module does not need the package. */
export interface MetricMeter {
  /** Creates a gauge. */
  createObservableGauge(name: string, options: InstrumentOptions): ObservableInstrument;
  /** Creates a counter. */
  createObservableCounter(name: string, options: InstrumentOptions): ObservableInstrument;
  /** Registers a `callback` that is called whenever metrics are exported. */
  addBatchObservableCallback(
    callback: (observer: MetricObserver) => void,
    instruments: ObservableInstrument[],
  ): void;
  /** Removes the callback. */
  removeBatchObservableCallback(
    callback: (observer: MetricObserver) => void,
    instruments: ObservableInstrument[],
  ): void;
}

/** The description of an instrument. */
export interface InstrumentOptions {
  /** A sentence. */
  readonly description: string;
  /** "By", "s", or "1". */
  readonly unit: string;
}

const UNITS = { bytes: "By", seconds: "s" } as const;

/**
 * Registers the metrics of {@linkcode collectMetrics} with OpenTelemetry. They are collected each time
 * the meter's reader exports. The names have dots: `mptcp.subflow.sent.bytes`.
 *
 * @param meter A `Meter` of `@opentelemetry/api`, as `metrics.getMeter("mptcp")` gives it.
 * @returns An object whose disposal removes the metrics.
 *
 * @example
 * ```ts ignore
 * import { metrics } from "npm:@opentelemetry/api@1";
 * import { observeMetrics } from "@multipath/mptcp/path-manager";
 *
 * using observing = observeMetrics(metrics.getMeter("mptcp"));
 * ```
 */
export function observeMetrics(
  meter: MetricMeter,
  options: Omit<MetricsOptions, "format"> = {},
): Disposable {
  const instruments = new Map(
    collectFamilies(options).map((family) => [family.name, createInstrument(meter, family)]),
  );
  const callback = (observer: MetricObserver) => {
    for (const { name, samples } of collectFamilies(options)) {
      const instrument = instruments.get(name);
      if (instrument === undefined) continue;
      for (const { value, labels } of samples) observer.observe(instrument, value, labels);
    }
  };
  const all = [...instruments.values()];
  meter.addBatchObservableCallback(callback, all);
  return { [Symbol.dispose]: () => meter.removeBatchObservableCallback(callback, all) };
}

function createInstrument(meter: MetricMeter, family: MetricFamily): ObservableInstrument {
  const { name, type, unit, help } = family;
  const options = { description: help, unit: unit === undefined ? "1" : UNITS[unit] };
  const dotted = name.replaceAll("_", ".");
  return type === "counter"
    ? meter.createObservableCounter(dotted, options)
    : meter.createObservableGauge(dotted, options);
}
