/**
 * Shows MPTCP at work: `deno task demo`, or `bun bench/demo.ts`; with `--web [ADDRESS]` on a page with
 * buttons that cut paths.
 *
 * Starts the example server, calls it by MPTCP and by TCP, and prints what each end saw; then cuts one
 * path of a transfer. For two paths
 * it makes two network namespaces, in a user namespace if it must; where it may not, all goes over
 * loopback. Nothing is left behind.
 *
 * @module
 */

import { once } from "node:events";
import process from "node:process";
import { setTimeout } from "node:timers";
import { mptcpSupport } from "../mod.ts";
import { call } from "./demo/call.ts";
import { showCut } from "./demo/cut.ts";
import { showOnPage } from "./demo/web.ts";
import { programCommand } from "./demo/program.ts";
import { labStage, loopbackStage, serverPort, type Stage } from "./demo/stage.ts";
import { format } from "./demo/table.ts";
import { start } from "./lab/command.ts";
import { createLab, type Lab } from "./lab/lab.ts";
import { inUserNamespace, mptcpEnabled, userNamespaceUnavailable } from "./lab/rights.ts";

/** Tells the process in the user namespace that it is there. */
const INSIDE = "--inside";

/** Aborted, with the exit status, when the program is told to end. */
const interrupt = new AbortController();

async function main(): Promise<void> {
  const enabled = mptcpEnabled();
  const sysctls = enabled === null ? {} : { "net.mptcp.enabled": enabled };
  const lab = await createLab({ sysctls }).catch((error: Error) => error);
  if (!(lab instanceof Error)) return await showLab(lab);

  const inside = process.argv.includes(INSIDE);
  const reason = inside ? lab.message : userNamespaceUnavailable();
  await (reason === null ? again() : show(loopbackStage(reason)));
}

/** Runs this program once more where it may make namespaces. */
async function again(): Promise<void> {
  const program = programCommand("bench/demo.ts", "-A", INSIDE);
  const child = start(inUserNamespace(program), { stdio: "inherit" });
  interrupt.signal.addEventListener("abort", () => child.kill("SIGTERM"));
  const [status] = await once(child, "exit");
  process.exitCode = status ?? 1;
}

async function showLab(lab: Lab): Promise<void> {
  await using opened = labStage(lab);
  await showCalls(opened);
  if (mptcpSupport().supported) {
    console.log(["", ...await showCut(lab, interrupt.signal)].join("\n"));
  }
}

async function show(stage: Stage): Promise<void> {
  await using opened = stage;
  await showCalls(opened);
}

async function showCalls(opened: Stage): Promise<void> {
  const port = await serverPort(opened.server);
  const target = { ...opened.target, port, signal: interrupt.signal };
  const calls = {
    "A client that asks for MPTCP": await call(target, opened.paths),
    "A client that asks for TCP": await call({ ...target, mptcp: "off" }, 1),
  };
  console.log(format(opened.title, calls));
}

const onPage = process.argv.includes("--web");
if (!onPage) {
  setTimeout(() => {
    console.error("The calls are not done after 10 s");
    interrupt.abort(1);
  }, 10_000).unref();
}
process.on("SIGINT", () => interrupt.abort(130));
process.on("SIGTERM", () => interrupt.abort(143));
try {
  await (onPage ? showOnPage(process.argv.slice(2), interrupt.signal) : main());
} catch (error) {
  if (!interrupt.signal.aborted) throw error;
  process.exitCode = interrupt.signal.reason;
}
