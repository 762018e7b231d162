/**
 * The plots, as SVG: readable on white and on dark pages, for they bring their own background.
 *
 * @module
 */

import * as vega from "vega";
import { compile, type TopLevelSpec } from "vega-lite";
import { medianOf, ratesOf, runsOf } from "./analysis.ts";
import { NAMES, PROGRAMS, type Results, type Run, type ScenarioResult } from "./results.ts";

/** The width of a point in time, in milliseconds: that of two samples. */
const INTERVAL = 100;

const COLORS = { programs: ["#5f6b7a", "#2f7ed8", "#e8853d"], paths: ["#2f7ed8", "#7fc6a4"] };

const CONFIG: NonNullable<TopLevelSpec["config"]> = {
  background: "#ffffff",
  padding: 12,
  font: "system-ui, sans-serif",
  title: { anchor: "start", fontSize: 14, color: "#1f2328" },
  axis: { labelColor: "#1f2328", titleColor: "#1f2328", gridColor: "#e3e6ea" },
  header: { labelColor: "#1f2328", labelFontSize: 12 },
  legend: { orient: "bottom", labelColor: "#1f2328", titleColor: "#1f2328", title: null },
  view: { stroke: "#d0d7de" },
};

/** The plots that there are results for, by the names of their files. */
export async function drawPlots({ scenarios }: Results): Promise<Map<string, string>> {
  const plots = new Map<string, string>();
  const steady = scenarios.filter(({ runs }) => runs.length > 0 && !runs[0]!.samples);
  if (steady.length > 0) plots.set("goodput.svg", await draw(barsOf(steady)));
  for (const scenario of scenarios) {
    if (scenario.runs.some(({ samples }) => samples !== undefined)) {
      plots.set(`${scenario.name}.svg`, await draw(courseOf(scenario)));
    }
  }
  return plots;
}

/** A bar for each scenario and program. */
function barsOf(scenarios: readonly ScenarioResult[]): TopLevelSpec {
  const values = scenarios.flatMap(({ title, runs }) =>
    PROGRAMS.flatMap((program) => {
      const goodput = medianOf(runsOf(runs, program), ({ goodput }) => goodput);
      return goodput === null ? [] : [{ title, program: NAMES[program], goodput }];
    })
  );
  const domain = namesIn(values.map(({ program }) => program));
  return {
    config: CONFIG,
    title: "One path and several: bulk transfer, median",
    width: 520,
    height: { step: 11 },
    data: { values },
    mark: { type: "bar" },
    encoding: {
      y: {
        field: "title",
        type: "nominal",
        sort: null,
        title: "Paths (Mbit/s each)",
        axis: { labelLimit: 300 },
      },
      yOffset: { field: "program", type: "nominal", sort: domain },
      x: { field: "goodput", type: "quantitative", title: "Goodput (Mbit/s)" },
      color: {
        field: "program",
        type: "nominal",
        scale: { domain, range: COLORS.programs.slice(3 - domain.length) },
      },
    },
  };
}

/** What came over each path in the course of a transfer, one program beside the other. */
function courseOf({ title, runs }: ScenarioResult): TopLevelSpec {
  const chosen = PROGRAMS.flatMap((program) => {
    const run = typicalRun(runsOf(runs, program));
    return run === null ? [] : [{ program: NAMES[program], run }];
  });
  const rates = chosen.flatMap(({ program, run }) =>
    ratesOf(run.samples!, INTERVAL).flatMap(({ at, rates: [, ...paths] }) =>
      paths.map((rate, i) => ({
        program,
        seconds: (at - INTERVAL / 2) / 1000,
        path: `path ${i + 1}`,
        rate: Math.round(rate * 10) / 10,
      }))
    )
  );
  const incidents = chosen.flatMap(({ program, run }) =>
    run.incidents.map(({ name, at }) => ({ program, name, incident: at / 1000 }))
  );
  return {
    config: CONFIG,
    title: `What came over each path: ${title}`,
    data: { values: [...rates, ...incidents] },
    facet: {
      column: {
        field: "program",
        type: "nominal",
        sort: chosen.map(({ program }) => program),
        title: null,
      },
    },
    spec: {
      width: 210,
      height: 170,
      layer: [
        {
          transform: [{ filter: "isValid(datum.rate)" }],
          mark: { type: "area", interpolate: "monotone" },
          encoding: {
            x: { field: "seconds", type: "quantitative", title: "Time (s)" },
            y: { field: "rate", type: "quantitative", title: "Received (Mbit/s)", stack: "zero" },
            color: { field: "path", type: "nominal", scale: { range: COLORS.paths } },
            order: { field: "path", sort: "descending" },
          },
        },
        {
          transform: [{ filter: "isValid(datum.incident)" }],
          mark: { type: "rule", strokeDash: [4, 3], color: "#b42318" },
          encoding: { x: { field: "incident", type: "quantitative" } },
        },
        {
          transform: [{ filter: "isValid(datum.incident)" }],
          mark: { type: "text", align: "left", dx: 4, color: "#b42318" },
          encoding: {
            x: { field: "incident", type: "quantitative" },
            y: { value: 8 },
            text: { field: "name", type: "nominal" },
          },
        },
      ],
    },
  };
}

/** The run whose longest time without bytes is the median of them. */
function typicalRun(runs: readonly Run[]): Run | null {
  const sorted = runs.filter(({ samples }) => samples !== undefined)
    .toSorted((a, b) => a.longestGap - b.longestGap);
  return sorted[sorted.length >> 1] ?? null;
}

function namesIn(names: readonly string[]): string[] {
  return PROGRAMS.map((program) => NAMES[program]).filter((name) => names.includes(name));
}

async function draw(spec: TopLevelSpec): Promise<string> {
  const view = new vega.View(vega.parse(compile(spec).spec), { renderer: "none" });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}
