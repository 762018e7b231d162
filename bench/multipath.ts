/**
 * `deno task bench:multipath`: bulk transfers over several paths, in a lab, by this module on Deno and
 * on Bun and by a program in C, which is the reference.
 *
 * In each round every program transfers once, in the other order every other round; the figures are
 * medians. Every byte is checked: a wrong one, a subflow that did not come up or a program that fails
 * makes this fail, a figure never does. Where the kernel itself says that it mixed bytes up, the
 * transfer is repeated, and told of.
 *
 * @module
 */

import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import { programCommand } from "./demo/program.ts";
import { start } from "./lab/command.ts";
import { createLab, type Lab, labUnavailable } from "./lab/lab.ts";
import { inUserNamespace, userNamespaceUnavailable } from "./lab/rights.ts";
import { hasCongestion } from "./lab/sysctls.ts";
import { runGrid } from "./multipath/grid.ts";
import { drawPlots } from "./multipath/plots.ts";
import { type Commands, findPrograms, versionOf } from "./multipath/programs.ts";
import { pageSection, replaceSection } from "./multipath/page.ts";
import { formatHeading, formatRun, formatTable } from "./multipath/report.ts";
import {
  type Buffer,
  type Machine,
  type Program,
  PROGRAMS,
  type Results,
  type Run,
  type ScenarioResult,
} from "./multipath/results.ts";
import { type Scenario, SCENARIOS, secondsOf } from "./multipath/scenarios.ts";
import { KernelFault, type Plan, transfer } from "./multipath/transfer_run.ts";

const USAGE = `deno task bench:multipath [options]

  --runtime NAME      deno, bun or both (both)
  --scenarios LIST    ${SCENARIOS.map(({ name }) => name).join(",")}
  --repeat N          rounds (3)
  --seconds S         length of each transfer, in place of its own
  --buffers NAME      receive buffers to begin with: default, raised or both (default)
  --congestion NAME   congestion control (cubic, or reno where that is not allowed)
  --short             only check that everything works: for CI
  --json FILE         write everything that was measured
  --from FILE         show what was measured before, in place of measuring
  --update-docs       write docs/multipath.md, docs/multipath.json and docs/plots
  --grid              two paths over a grid of rates and delays, with and without the policy of
                      managePaths: see --grid --help
`;

/** The grid has options of its own. */
const isGrid = process.argv.includes("--grid");

const { values: options } = parseArgs({
  ...(isGrid && { args: [] }),
  options: {
    runtime: { type: "string", default: "both" },
    scenarios: { type: "string" },
    repeat: { type: "string" },
    seconds: { type: "string" },
    buffers: { type: "string", default: "default" },
    congestion: { type: "string" },
    short: { type: "boolean", default: false },
    json: { type: "string" },
    from: { type: "string" },
    "update-docs": { type: "boolean", default: false },
    help: { type: "boolean", default: false },
    inside: { type: "boolean", default: false },
  },
});

/** The congestion control of scenarios that have none of their own. */
const congestion = options.congestion ?? ["cubic", "reno"].find(hasCongestion) ?? "cubic";

const ROOT = new URL("..", import.meta.url);

/** Aborted when this program is told to end: it leaves nothing behind. */
const interrupt = new AbortController();

/** Failed transfers, in words. */
const failures: string[] = [];

process.on("SIGINT", () => interrupt.abort(130));
process.on("SIGTERM", () => interrupt.abort(143));
if (isGrid) await runGrid();
else if (options.help) console.log(USAGE);
else await main();
if (interrupt.signal.aborted) process.exitCode = interrupt.signal.reason;

async function main(): Promise<void> {
  const { from } = options;
  if (from !== undefined) return await show(JSON.parse(readFileSync(from, "utf8")));
  const unavailable = labUnavailable(["tc", "nft", "cc"]);
  if (unavailable !== null) return await again(unavailable);
  if (options["update-docs"] && options.scenarios !== undefined) {
    throw new TypeError("--update-docs is for all scenarios");
  }

  const commands = await findPrograms(chosenPrograms());
  const scenarios: ScenarioResult[] = [];
  console.log(formatHeading());
  for (const scenario of chosenScenarios()) {
    const { title, congestion: own = congestion } = scenario;
    if (hasCongestion(own)) {
      scenarios.push(await measure(scenario, plansOf(scenario, commands)));
    } else console.log(`${title}: skipped, ${own} cannot be used here`);
    if (interrupt.signal.aborted) return;
  }
  await show({ format: 1, machine: machine([...commands.keys()]), scenarios });
}

/** Prints the results, and writes what was asked for. */
async function show(results: Results): Promise<void> {
  if (!options.short) console.log(formatTable(results));
  if (options.json !== undefined) writeFileSync(options.json, toJson(results));
  for (const failure of failures) console.error(`FAILED ${failure}`);
  if (failures.length > 0) process.exitCode = 1;
  else if (options["update-docs"]) await publish(results);
}

/** Writes what the repository shows of the results. */
async function publish(results: Results): Promise<void> {
  const page = new URL("docs/multipath.md", ROOT);
  const section = pageSection(results);
  writeFileSync(page, replaceSection(readFileSync(page, "utf8"), section));
  const plots = new URL("docs/plots/", ROOT);
  mkdirSync(plots, { recursive: true });
  for (const [file, svg] of await drawPlots(results)) writeFileSync(new URL(file, plots), svg);
  writeFileSync(new URL("docs/multipath.json", ROOT), toJson(results));
}

/** A transfer a line. */
function toJson(results: Results): string {
  return JSON.stringify(results).replaceAll('{"program"', '\n{"program"') + "\n";
}

/** Runs this program once more where it may make namespaces. */
async function again(reason: string): Promise<void> {
  const refused = options.inside ? reason : userNamespaceUnavailable();
  if (refused !== null) throw new Error(`No lab can be made here: ${refused}`);
  const args = [...process.argv.slice(2), "--inside"];
  const program = programCommand("bench/multipath.ts", "-A", ...args);
  const child = start(inUserNamespace(program), { stdio: "inherit" });
  interrupt.signal.addEventListener("abort", () => child.kill("SIGTERM"));
  const [status] = await once(child, "exit");
  process.exitCode = status ?? 1;
}

function chosenPrograms(): Program[] {
  const { runtime } = options;
  if (runtime === "both") return [...PROGRAMS];
  if (runtime === "deno" || runtime === "bun") return ["c", runtime];
  throw new TypeError(`--runtime is deno, bun or both, not ${runtime}`);
}

function chosenBuffers(): Buffer[] {
  const { buffers } = options;
  if (buffers === "both") return ["default", "raised"];
  if (buffers === "default" || buffers === "raised") return [buffers];
  throw new TypeError(`--buffers is default, raised or both, not ${buffers}`);
}

function chosenScenarios(): Scenario[] {
  if (options.scenarios === undefined) {
    return SCENARIOS.filter(({ inShort }) => inShort || !options.short);
  }
  return options.scenarios.split(",").map((name) => {
    const scenario = SCENARIOS.find((scenario) => scenario.name === name);
    if (scenario === undefined) throw new TypeError(`No scenario is called ${name}`);
    return scenario;
  });
}

/** A transfer by each program in each round. */
function plansOf(scenario: Scenario, commands: Commands): Plan[] {
  const seconds = Number(options.seconds ?? secondsOf(scenario, options.short));
  const rounds = Number(options.repeat ?? (options.short ? 1 : 3));
  const common = { scenario, seconds, signal: interrupt.signal };
  return Array.from({ length: rounds }, (_, round) => {
    const plans = [...commands].flatMap(([program, command]) =>
      chosenBuffers().map((buffer) => ({ ...common, program, command, buffer, round }))
    );
    return round % 2 === 0 ? plans : plans.toReversed();
  }).flat();
}

async function measure(scenario: Scenario, plans: readonly Plan[]): Promise<ScenarioResult> {
  const runs: Run[] = [];
  const faults: string[] = [];
  await using lab = await createScenarioLab(scenario);
  for (const plan of plans) {
    if (interrupt.signal.aborted) break;
    try {
      const run = await repeatedly(lab, plan, faults);
      runs.push(run);
      console.log(formatRun(scenario, run));
    } catch (error) {
      if (!interrupt.signal.aborted) failures.push(describeFailure(plan, error as Error));
    }
  }
  const { name, title, note, protocol, paths } = scenario;
  const rates = paths.map(({ rate }) => rate);
  const [{ seconds }] = plans as [Plan];
  const told = note === undefined ? {} : { note };
  return { name, title, ...told, protocol, rates, seconds, runs, faults };
}

/** Transfers again where the kernel, and not a program, was at fault; but no more than twice. */
async function repeatedly(lab: Lab, plan: Plan, faults: string[]): Promise<Run> {
  for (let attempt = 1;; attempt++) {
    try {
      return await transfer(lab, plan);
    } catch (error) {
      if (!(error instanceof KernelFault) || attempt === 3) throw error;
      faults.push(describeFailure(plan, error));
    }
  }
}

/** Prints it, too. */
function describeFailure({ scenario, program, buffer }: Plan, error: Error): string {
  const failure = `${scenario.name}, ${program}, ${buffer} buffer: ${error.message}`;
  console.error(error instanceof KernelFault ? `KERNEL FAULT ${failure}` : `FAILED ${failure}`);
  return failure;
}

function createScenarioLab(
  { paths, congestion: own = congestion, lab = {} }: Scenario,
): Promise<Lab> {
  return createLab({
    ...lab,
    paths,
    sysctls: {
      "net.ipv4.tcp_congestion_control": own,
      // Otherwise a transfer begins with what the one before has learnt.
      "net.ipv4.tcp_no_metrics_save": 1,
      ...lab.sysctls,
    },
  });
}

function machine(programs: readonly Program[]): Machine {
  return {
    date: new Date().toISOString(),
    processor: processorName(),
    cores: cpus().length,
    kernel: release(),
    congestion,
    versions: Object.fromEntries(programs.map((program) => [program, versionOf(program)])),
  };
}

function processorName(): string {
  const [, name] = /^model name\s*: (.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8")) ?? [];
  return name?.replace(/\s+/g, " ") ?? process.arch;
}
