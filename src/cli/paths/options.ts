/**
 * What `mptcp paths` is told.
 *
 * @module
 */

import type { ManagePathsOptions, PathRole, PolicyName } from "../../path_manager/mod.ts";
import { type Arguments, UsageError } from "../args/arguments.ts";
import { type CommonOptions, readNetnsOptions } from "../args/common_options.ts";
import { type ServerAddress, serverAddress } from "../monitor/options.ts";

/** What `paths` and `paths up` are told. */
export interface PathsOptions extends CommonOptions {
  /** What the library is told. */
  readonly managing: ManagePathsOptions;
}

/** What `paths up` is told. */
export interface UpOptions extends PathsOptions {
  /** Where to serve the live page; `null` for nowhere. */
  readonly web: ServerAddress | null;
  /** Where to serve metrics; `null` for nowhere. */
  readonly metrics: ServerAddress | null;
}

/** Reads the command line of `paths`: it changes nothing. */
export function readPathsOptions(args: Arguments): PathsOptions {
  const { json, netns } = readNetnsOptions(args);
  const [include, exclude] = [args.texts("include"), args.texts("exclude")];
  const side = args.text("side") as ManagePathsOptions["side"];
  const managing: ManagePathsOptions = {
    ...(include.length > 0 && { include }),
    exclude,
    roles: readRoles(args.texts("role")),
    ...(side !== undefined && { side }),
    ...netns,
    dryRun: true,
  };
  return { json, managing };
}

/** Reads the command line of `paths up`. */
export function readUpOptions(args: Arguments): UpOptions {
  const { json, managing } = readPathsOptions(args);
  const [policy, probe] = [args.text("policy") as PolicyName | undefined, args.text("probe")];
  return {
    json,
    web: readServer(args, "web"),
    metrics: readServer(args, "metrics"),
    managing: {
      ...managing,
      ...(policy !== undefined && { policy }),
      ...(probe !== undefined && { probe }),
      fullmesh: args.has("fullmesh"),
      laminar: args.has("laminar"),
      addRoutes: args.has("add-routes"),
      closeStuck: args.has("close-stuck"),
      dryRun: args.has("dry-run"),
    },
  };
}

function readServer(args: Arguments, name: "web" | "metrics"): ServerAddress | null {
  const text = args.text(name);
  if (text === undefined) return null;
  if (args.has("dry-run")) throw new UsageError(`--dry-run ends at once, and --${name} serves`);
  return serverAddress(text, name);
}

function readRoles(texts: readonly string[]): Record<string, PathRole> {
  return Object.fromEntries(texts.map((text) => {
    const [, pattern, role] = /^(.+)=(primary|backup|metered)$/.exec(text) ?? [];
    if (pattern !== undefined) return [pattern, role as PathRole];
    throw new UsageError(
      `--role takes PATTERN=primary, PATTERN=backup or PATTERN=metered, not "${text}"`,
    );
  }));
}
