/**
 * The heat map of the grid.
 *
 * @module
 */

import * as vega from "vega";
import { compile, type TopLevelSpec } from "vega-lite";
import type { Grid } from "./grid_cells.ts";
import { ratiosOf } from "./grid_report.ts";

/** The heat map as SVG: of C programs, or of what there is. */
export async function drawGrid({ cells }: Grid): Promise<string> {
  const bulk = cells.filter(({ load }) => load === "bulk");
  const shown = bulk.filter(({ program, side }) => program === "c" && side === "sender");
  const values = (shown.length > 0 ? shown : bulk).flatMap((cell) => {
    const { alone, first, policy } = ratiosOf(cell);
    const common = {
      rate: cell.rate,
      delays: cell.delays,
      row: `${cell.seconds} s, ${cell.congestion}`,
    };
    return [
      { ...common, column: "MPTCP alone", ratio: alone },
      { ...common, column: "adaptive, first transfer", ratio: first },
      { ...common, column: "adaptive, later", ratio: policy },
    ];
  });
  const spec: TopLevelSpec = {
    config: {
      background: "#ffffff",
      padding: 12,
      font: "system-ui, sans-serif",
      title: { anchor: "start", fontSize: 14, color: "#1f2328" },
      axis: { labelColor: "#1f2328", titleColor: "#1f2328", labelAngle: 0 },
      header: { labelColor: "#1f2328", labelFontSize: 12 },
      view: { stroke: "#d0d7de" },
    },
    title: "100 Mbit/s and a second path: goodput as a part of TCP's on the first",
    data: { values },
    facet: {
      column: {
        field: "column",
        type: "nominal",
        sort: ["MPTCP alone", "adaptive, first transfer", "adaptive, later"],
        title: null,
      },
      row: { field: "row", type: "nominal", title: null },
    },
    spec: {
      width: { step: 38 },
      height: { step: 26 },
      encoding: {
        x: { field: "rate", type: "ordinal", title: "Second path (Mbit/s)" },
        y: {
          field: "delays",
          type: "ordinal",
          title: "Delays (ms)",
          sort: ["0/0", "0/25", "25/25", "0/100"],
        },
      },
      layer: [
        {
          mark: { type: "rect" },
          encoding: {
            color: {
              field: "ratio",
              type: "quantitative",
              title: null,
              scale: { domain: [0, 0.97, 2], range: ["#b42318", "#ffffff", "#1a7f5a"] },
            },
          },
        },
        {
          mark: { type: "text", fontSize: 11 },
          encoding: { text: { field: "ratio", type: "quantitative", format: ".2f" } },
        },
      ],
    },
  };
  const view = new vega.View(vega.parse(compile(spec).spec), { renderer: "none" });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}
