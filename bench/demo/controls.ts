/**
 * The buttons of the live page: cut a path and heal it, make it slow and fast again.
 *
 * @module
 */

import type { DemoControls, DemoState } from "../../src/cli/monitor/web/server.ts";
import { drop } from "../lab/firewall.ts";
import type { Lab } from "../lab/lab.ts";
import type { EndlessTransfer } from "./transfer.ts";

/** What a slow path takes longer each way, in milliseconds. */
const ADDED_DELAY = 100;

/** Does to the paths of a lab what the buttons say. */
export class LabControls implements DemoControls {
  readonly #lab: Lab;
  readonly #transfer: EndlessTransfer;
  /** The delays that the paths began with, in milliseconds; empty where they have none. */
  readonly #delays: readonly number[];
  readonly #paths: readonly number[];
  readonly #cut = new Set<number>();
  readonly #slow = new Set<number>();
  #last: { readonly text: string; readonly time: number } | null = null;

  constructor(lab: Lab, transfer: EndlessTransfer, paths: number, delays: readonly number[]) {
    this.#lab = lab;
    this.#transfer = transfer;
    this.#paths = Array.from({ length: paths }, (_, i) => i + 1);
    this.#delays = delays;
  }

  async press(path: number, action: string): Promise<void> {
    if (!this.#paths.includes(path)) throw new RangeError(`There is no path ${path}`);
    if (action === "cut") await this.#toggleCut(path);
    else if (action === "slow" && this.#delays.length > 0) this.#toggleSlow(path);
    else throw new RangeError(`There is no action "${action}"`);
  }

  state(): DemoState {
    return {
      gap: this.#gapText(),
      paths: this.#paths.map((path) => ({
        path,
        actions: [
          { name: "cut", label: this.#cutLabel(path), pressed: this.#cut.has(path) },
          ...this.#delays.length === 0 ? [] : [{
            name: "slow",
            label: `${this.#slow.has(path) ? "Take" : "Add"} ${ADDED_DELAY} ms ${
              this.#slow.has(path) ? "from" : "to"
            } path ${path}`,
            pressed: this.#slow.has(path),
          }],
        ],
      })),
    };
  }

  #cutLabel(path: number): string {
    return `${this.#cut.has(path) ? "Heal" : "Cut"} path ${path}`;
  }

  async #toggleCut(path: number): Promise<void> {
    const heals = this.#cut.delete(path);
    if (!heals) this.#cut.add(path);
    this.#remember(`Path ${path} was ${heals ? "healed" : "cut"}`);
    await this.#lab.client.clearRules();
    for (const cut of this.#cut) await this.#lab.client.addRules(...drop(cut));
  }

  #toggleSlow(path: number): void {
    const ends = this.#slow.delete(path);
    if (!ends) this.#slow.add(path);
    this.#remember(`Path ${path} is ${ends ? "as fast as before" : `${ADDED_DELAY} ms slower`}`);
    this.#lab.setDelay(path, this.#delays[path - 1]! + (ends ? 0 : ADDED_DELAY));
  }

  #remember(text: string): void {
    this.#last = { text, time: performance.now() };
    this.#transfer.mark();
  }

  #gapText(): string {
    const { ended, longestPause } = this.#transfer;
    if (ended !== null) return `The transfer has ended: ${ended}`;
    const gap = `${longestPause.toFixed(0)} ms`;
    if (this.#last === null) return `A transfer is running. Longest gap without data: ${gap}.`;
    const seconds = ((performance.now() - this.#last.time) / 1000).toFixed(0);
    return `${this.#last.text} ${seconds} s ago. Longest gap without data since then: ${gap}.`;
  }
}
