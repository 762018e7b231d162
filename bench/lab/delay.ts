/**
 * Delay and loss on a path, for kernels without netem: a third namespace in the middle of the path,
 * where a program in C passes frames from one link to the other, later, and not all of them.
 *
 * @module
 */

import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { text } from "node:stream/consumers";
import { compiled } from "./compile.ts";
import { runBatch, start, stop } from "./command.ts";
import { interfaceOf, middleOf } from "./links.ts";
import { addNamespace, inNamespace, removeNamespace } from "./namespaces.ts";
import { setSysctls } from "./sysctls.ts";

/** What happens to frames on their way. */
export interface Impairment {
  /** How long they take one way, in milliseconds. */
  readonly delay: number;
  /** How many are lost, in percent. */
  readonly loss: number;
}

/** @throws {RangeError} unless there can be such a path. */
export function checkImpairment(path: number, { delay, loss }: Impairment): void {
  if (!(delay >= 0 && delay <= 10_000)) {
    throw new RangeError(`Path ${path}: no delay of 0 to 10 000 ms is ${delay}`);
  }
  if (!(loss >= 0 && loss <= 100)) throw new RangeError(`Path ${path}: no percentage is ${loss}`);
}

/** The namespace in the middle of paths. */
export class Middle implements AsyncDisposable {
  readonly name: string;
  readonly #program: string;
  readonly #children: Map<number, ChildProcess> = new Map();

  private constructor(name: string, program: string) {
    this.name = name;
    this.#program = program;
  }

  /** Makes the namespace, and compiles what runs in it. */
  static async create(name: string): Promise<Middle> {
    const program = await compiled(new URL("delay.c", import.meta.url));
    await addNamespace(name);
    const middle = new Middle(name, program);
    try {
      await silence(name);
    } catch (error) {
      await middle[Symbol.asyncDispose]();
      throw error;
    }
    return middle;
  }

  /** Begins to pass frames; its links are there and up. */
  async connect(path: number, { delay, loss }: Impairment, seed: number): Promise<void> {
    const links = [middleOf("client", path), middleOf("server", path)];
    const settings = [Math.round(delay * 1000), loss, seed].map(String);
    const command = inNamespace(this.name, [this.#program, ...links, ...settings]);
    // The program ends with its stdin: when this process does, if nothing else ends it.
    const child = start(command, { stdio: ["pipe", "pipe", "pipe"] });
    this.#children.set(path, child);
    const failed = text(child.stderr!).then((errors) => {
      throw new Error(`${command.join(" ")}: ${errors.trim()}`);
    });
    await Promise.race([once(child.stdout!, "data"), failed]);
    failed.catch(() => {});
  }

  /** Has frames take another time from now on. */
  setDelay(path: number, delay: number): void {
    const child = this.#children.get(path);
    if (child === undefined) throw new RangeError(`Path ${path} was made without a delay`);
    checkImpairment(path, { delay, loss: 0 });
    child.stdin!.write(`${Math.round(delay * 1000)}\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(Array.from(this.#children.values(), stop));
    await removeNamespace(this.name);
  }
}

/**
 * Has both ends of a path send single segments: by default what leaves a host is up to 64 KiB that
 * the next one would split, and to lose it would be to lose 45 packets at once.
 */
export async function sendSingleSegments(path: number, namespaces: string[]): Promise<void> {
  for (const name of namespaces) {
    await runBatch(["ip", "-n", name], [`link set ${interfaceOf(path)} gso_max_segs 1`]);
  }
}

/** Keeps the kernel's own packets off the links that are made in a namespace from now on. */
async function silence(namespace: string): Promise<void> {
  if (!existsSync("/proc/sys/net/ipv6")) return;
  await setSysctls(namespace, { "net.ipv6.conf.default.disable_ipv6": 1 });
}
