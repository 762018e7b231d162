/**
 * The results as docs/multipath.md shows them: a table, where the module is slower, and plots.
 *
 * @module
 */

import { medianOf, ratioToC, runsOf } from "./analysis.ts";
import {
  type Machine,
  NAMES,
  type Program,
  PROGRAMS,
  type Results,
  type Run,
  type ScenarioResult,
} from "./results.ts";

/** The text between these lines is replaced. */
const BEGIN = "<!-- deno task bench:multipath --update-docs: begin -->";
const END = "<!-- deno task bench:multipath --update-docs: end -->";

/** A ratio to the C program below this is a loss: the goal of the project. */
const GOAL = 0.99;

/** What the plots of the page show, by their files in docs/plots. */
const PLOTS: Readonly<Record<string, string>> = {
  "goodput.svg": "Goodput over one path and over several, by C, Deno and Bun",
  "cut.svg": "Data received over each of two paths while one of them is cut and healed",
};

/**
 * Puts a text between the markers of another.
 *
 * @throws {Error} where the markers are missing.
 */
export function replaceSection(page: string, section: string): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`docs/multipath.md has no ${BEGIN} with its end`);
  return `${page.slice(0, begin + BEGIN.length)}\n\n${section}\n\n${page.slice(end)}`;
}

/** The text between the markers. */
export function pageSection({ machine, scenarios }: Results): string {
  const programs = programsOf(machine);
  return [
    formatTable(scenarios, programs),
    "",
    `${describeMachine(machine)} ${describeLoad(scenarios)} ` +
    "All figures: [multipath.json](multipath.json).",
    "",
    ...gainLines(scenarios, programs),
    ...lossLines(scenarios, programs),
    ...noteLines(scenarios),
    ...faultLines(scenarios),
    "",
    ...Object.entries(PLOTS).map(([file, text]) => `![${text}](plots/${file})`),
  ].join("\n");
}

function programsOf({ versions }: Machine): Program[] {
  return PROGRAMS.filter((program) => versions[program] !== undefined);
}

function describeMachine(
  { date, processor, cores, kernel, congestion, versions }: Machine,
): string {
  const { c, deno, bun } = versions;
  const named = [
    ...(deno === undefined ? [] : [`Deno ${deno}`]),
    ...(bun === undefined ? [] : [`Bun ${bun}`]),
    ...(c === undefined ? [] : [c]),
  ];
  return `${date.slice(0, 10)}: ${cores} cores of ${processor}, Linux ${kernel}, ${congestion}, ` +
    `${named.join(", ")}.`;
}

/** A machine that has no time left says little about programs. */
function describeLoad(scenarios: readonly ScenarioResult[]): string {
  const busy = medianOf(scenarios.flatMap(({ runs }) => runs), ({ busy }) => busy) ?? 0;
  return `It was ${busy.toFixed(0)} % busy.`;
}

function formatTable(scenarios: readonly ScenarioResult[], programs: readonly Program[]): string {
  const names = programs.map((program) => NAMES[program]);
  const all = names.join(" / ");
  const heading = ["paths", ...names, `gap in ms: ${all}`, `CPU in %: ${all}`];
  const rows = scenarios.map(({ title, runs }) => [
    title,
    ...programs.map((program) => goodputCell(runs, program)),
    joined(programs, runs, ({ longestGap }) => longestGap),
    joined(programs, runs, ({ cpu }) => cpu.sender + cpu.receiver),
  ]);
  const widths = heading.map((cell, i) =>
    Math.max(3, cell.length, ...rows.map((row) => row[i]!.length))
  );
  const line = (cells: string[]) =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`;
  return [heading, widths.map((width) => "-".repeat(width)), ...rows].map(line).join("\n");
}

function goodputCell(runs: readonly Run[], program: Program): string {
  const goodput = medianOf(runsOf(runs, program), ({ goodput }) => goodput);
  if (goodput === null) return "failed";
  const ratio = program === "c" ? null : ratioToC(runs, program, "default");
  return goodput.toFixed(1) + (ratio === null ? "" : ` (${ratio.toFixed(2)})`);
}

function joined(
  programs: readonly Program[],
  runs: readonly Run[],
  value: (run: Run) => number,
): string {
  const values = programs.map((program) => medianOf(runsOf(runs, program), value));
  return values.map((value) => value?.toFixed(0) ?? "-").join(" / ");
}

/** What two paths give, against TCP over one of them. */
function gainLines(scenarios: readonly ScenarioResult[], programs: readonly Program[]): string[] {
  const goodput = (name: string, program: Program) => {
    const runs = scenarios.find((scenario) => scenario.name === name)?.runs ?? [];
    return medianOf(runsOf(runs, program), ({ goodput }) => goodput);
  };
  const gains = programs.flatMap((program) => {
    const [one, two] = [goodput("tcp", program), goodput("100+100", program)];
    return one === null || two === null ? [] : [`${NAMES[program]} ${(two / one).toFixed(2)}`];
  });
  if (gains.length === 0) return [];
  return [`- Two paths of 100 Mbit/s against TCP over one of them: ${gains.join(", ")} times.`];
}

/** The rows in which this module is slower than the C program. */
function lossLines(scenarios: readonly ScenarioResult[], programs: readonly Program[]): string[] {
  const losses = scenarios.flatMap(({ title, runs }) =>
    programs.flatMap((program) => {
      const ratio = ratioToC(runs, program, "default");
      if (program === "c" || ratio === null || ratio >= GOAL) return [];
      return [`${title} on ${NAMES[program]} (${ratio.toFixed(3)})`];
    })
  );
  const text = losses.length > 0 ? losses.join("; ") : "in no row";
  return [`- Slower than ${GOAL} of the C program: ${text}.`];
}

function noteLines(scenarios: readonly ScenarioResult[]): string[] {
  return scenarios.flatMap(({ title, note }) => note === undefined ? [] : [`- ${title}: ${note}.`]);
}

function faultLines(scenarios: readonly ScenarioResult[]): string[] {
  const [faults, runs] = [
    scenarios.flatMap(({ faults }) => faults).length,
    scenarios.flatMap(({ runs }) => runs).length,
  ];
  if (faults === 0) return [];
  return [
    `- Repeated because the kernel delivered wrong bytes or counted DSSNotMatching: ${faults} ` +
    `of ${faults + runs} transfers. See [wrong bytes](kernels.md#wrong-bytes).`,
  ];
}
