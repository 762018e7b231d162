/**
 * One of the two machines that a lab pretends to have.
 *
 * @module
 */

import type { ChildProcess, SpawnOptions } from "node:child_process";
import { run, type RunOptions, start, stop } from "./command.ts";
import {
  addEndpoint,
  type EndpointFlag,
  flushEndpoints,
  type Limits,
  setLimits,
} from "./endpoints.ts";
import { addRules, clearRules, type Rule } from "./firewall.ts";
import { addressOf, type End, type IpVersion, setLink } from "./links.ts";
import { inNamespace } from "./namespaces.ts";
import { setRate } from "./shaping.ts";
import { setSysctls, type Sysctls } from "./sysctls.ts";

/** A network namespace at one end of all paths. Paths are counted from 1. */
export class Host {
  readonly #end: End;
  readonly #paths: number;
  readonly #children: Set<ChildProcess> = new Set();

  /** The name of the namespace: what the option `netns` takes. */
  readonly name: string;

  constructor(end: End, name: string, paths: number) {
    this.#end = end;
    this.name = name;
    this.#paths = paths;
  }

  /** The address at this end of a path. */
  address(path: number = 1, version: IpVersion = 4): string {
    return addressOf(this.#end, this.#checked(path), version);
  }

  /**
   * Runs a command in the namespace to its end and gives its stdout.
   *
   * @throws {Error} with its stderr, when it fails.
   */
  run(command: readonly string[], options?: RunOptions): Promise<string> {
    return run(inNamespace(this.name, command), options);
  }

  /** Starts a command in the namespace. It is killed with the lab. */
  spawn(command: readonly string[], options?: SpawnOptions): ChildProcess {
    const child = start(inNamespace(this.name, command), options);
    this.#children.add(child);
    child.once("exit", () => this.#children.delete(child));
    return child;
  }

  /** Writes settings of the kernel by their dotted names, as "net.mptcp.enabled". */
  setSysctls(sysctls: Sysctls): Promise<void> {
    return setSysctls(this.name, sysctls);
  }

  /** Takes this end of a path down, or up again. */
  setLink(path: number, state: "up" | "down"): Promise<void> {
    return setLink(this.name, this.#checked(path), state);
  }

  /** Limits what this end sends over a path, in Mbit/s. */
  setRate(path: number, rate: number): Promise<void> {
    return setRate(this.name, this.#checked(path), rate);
  }

  /** Adds an MPTCP endpoint: an address of this host, as `address()` gives it. */
  addEndpoint(address: string, ...flags: EndpointFlag[]): Promise<void> {
    return addEndpoint(this.name, address, flags);
  }

  /** Removes all MPTCP endpoints. */
  flushEndpoints(): Promise<void> {
    return flushEndpoints(this.name);
  }

  /** Sets how many additional subflows MPTCP connections may have. */
  setLimits(limits: Limits): Promise<void> {
    return setLimits(this.name, limits);
  }

  /** Adds firewall rules, as `drop(2)` and `stripMptcp(1)` of `firewall.ts` make them. */
  addRules(...rules: Rule[]): Promise<void> {
    return addRules(this.name, rules);
  }

  /** Removes all firewall rules. */
  clearRules(): Promise<void> {
    return clearRules(this.name);
  }

  /** Kills the commands that were started, and waits for their end. */
  async stop(): Promise<void> {
    await Promise.all(Array.from(this.#children, stop));
  }

  #checked(path: number): number {
    if (Number.isInteger(path) && path >= 1 && path <= this.#paths) return path;
    throw new RangeError(`There is no path ${path}: this lab has 1 to ${this.#paths}`);
  }
}
