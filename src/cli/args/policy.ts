/**
 * `--policy`: maintains the paths of this machine while a command runs.
 *
 * @module
 */

import { MptcpError } from "../../error.ts";
import {
  type ManagedPaths,
  managePaths,
  type ManagePathsOptions,
  MptcpPathManager,
  type PolicyName,
} from "../../path_manager/mod.ts";
import { decisionLine } from "../ui/decision_line.ts";
import { type Arguments, UsageError } from "./arguments.ts";
import type { Command, Option } from "./command.ts";
import { netnsOptions } from "./common_options.ts";

/** The names of the policies. */
export const POLICIES: readonly PolicyName[] = ["adaptive", "active-backup", "overflow", "none"];

/** Options of the commands that have connections of their own. */
const POLICY_OPTIONS: readonly Option[] = [
  {
    name: "policy",
    value: "NAME",
    choices: POLICIES,
    summary: "Maintain the paths while the command runs, like paths up. Needs CAP_NET_ADMIN",
  },
  {
    name: "paths",
    value: "PATTERN",
    many: true,
    summary: "With --policy: use only matching interfaces, addresses or networks",
  },
];

type Side = NonNullable<ManagePathsOptions["side"]>;

/**
 * The same command with `--policy`.
 *
 * @param side Which end of its connections this machine is.
 */
export function withPolicy(
  command: Command,
  side: Side | ((args: Arguments) => Side),
): Command {
  const { options = [], run } = command;
  const hasVerbose = options.some(({ name }) => name === "verbose");
  return {
    ...command,
    options: [...options, ...POLICY_OPTIONS],
    run: async (args, terminal) => {
      const isTold = hasVerbose ? args.has("verbose") : !args.has("quiet") && !args.has("json");
      using _paths = keepPaths(args, typeof side === "string" ? side : side(args), {
        decision: (text) => isTold && terminal.warn(text),
        problem: (text) => terminal.warn(text),
      });
      return await run!(args, terminal);
    },
  };
}

/** Receives the lines to print. */
interface Listener {
  decision(text: string): void;
  problem(text: string): void;
}

function keepPaths(args: Arguments, side: Side, listener: Listener): Disposable {
  const policy = args.text("policy") as PolicyName | undefined;
  const include = args.texts("paths");
  if (policy === undefined) {
    if (include.length > 0) throw new UsageError("--paths can only be used with --policy");
    return { [Symbol.dispose]() {} };
  }
  const netns = netnsOptions(args.text("netns"));
  checkCapability(policy, netns);
  const managed = openPaths({ policy, side, ...(include.length > 0 && { include }), ...netns });
  const { paths, problems } = managed.state();
  for (const text of problems) listener.problem(text);
  if (!paths.some(({ state }) => state === "ready")) {
    listener.problem(`--policy ${policy}: no path is ready. Run "mptcp paths" to see why`);
  }
  for (const decision of managed.decisions()) listener.decision(decisionLine(decision));
  void tell(managed, listener);
  return managed;
}

async function tell(managed: ManagedPaths, listener: Listener): Promise<void> {
  for await (const event of managed.events()) {
    if (event.type === "decision") listener.decision(decisionLine(event.decision));
    else if (event.type === "problem") listener.problem(event.message);
  }
}

/** Asks the kernel before anything is changed: without the capability nothing can be. */
function checkCapability(policy: PolicyName, netns: { netns?: string }): void {
  using paths = new MptcpPathManager(netns);
  try {
    paths.events()[Symbol.dispose]();
  } catch (error) {
    if (!(error instanceof MptcpError) || error.code !== "EPERM") throw error;
    throw new MptcpError(
      `--policy ${policy} needs CAP_NET_ADMIN to change paths (EPERM). Run the command as root, ` +
        'leave --policy out, or run "mptcp paths up" as a service',
      { code: "EPERM", cause: error },
    );
  }
}

/** Starts the path management. Invalid options are reported as usage errors. */
export function openPaths(options: ManagePathsOptions): ManagedPaths {
  try {
    return managePaths(options);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new UsageError(error.message);
  }
}
