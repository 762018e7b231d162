/**
 * A transfer over both paths of a lab while one of them is cut.
 *
 * @module
 */

import { formatBar, formatRate } from "../../src/cli/ui/units.ts";
import { drop } from "../lab/firewall.ts";
import type { Lab } from "../lab/lab.ts";
import { labUnavailable } from "../lab/rights.ts";
import { EndlessTransfer } from "./transfer.ts";

/** Mbit/s of each path. */
const RATE = 40;
const BAR = 30;
/** Milliseconds until a transfer is up to speed, and after a cut: what was on its way is sent again. */
const WARM_UP = 600;
const RECOVERY = 1600;
/** Milliseconds that rates are taken over. */
const MEASURED = 600;
const CUT_PATH = 2;

/** Makes the transfer and gives the lines that tell of it; a reason where there are no tools. */
export async function showCut(lab: Lab, signal: AbortSignal): Promise<string[]> {
  const unavailable = labUnavailable(["tc", "nft"]);
  if (unavailable !== null) return [`No transfer with a cut is shown: ${unavailable}.`];
  for (const host of [lab.client, lab.server]) {
    for (const path of [1, CUT_PATH]) await host.setRate(path, RATE);
  }
  using transfer = await EndlessTransfer.start(lab);
  const before = await ratesAfter(WARM_UP, transfer, signal);
  transfer.mark();
  await lab.client.addRules(...drop(CUT_PATH));
  const after = await ratesAfter(RECOVERY, transfer, signal);
  const gap = transfer.longestPause.toFixed(0);
  return [
    `A transfer over both paths, ${RATE} Mbit/s each`,
    ...barLines(before),
    `The same transfer with path ${CUT_PATH} cut`,
    ...barLines(after),
    transfer.ended === null
      ? `  It went on. Longest gap without data: ${gap} ms.`
      : `  It ended: ${transfer.ended}.`,
  ];
}

/** Bytes per second of each path, some milliseconds from now. */
async function ratesAfter(
  milliseconds: number,
  transfer: EndlessTransfer,
  signal: AbortSignal,
): Promise<number[]> {
  await sleep(milliseconds, signal);
  const [start, from] = [performance.now(), transfer.receivedByPath(2)];
  await sleep(MEASURED, signal);
  const seconds = (performance.now() - start) / 1000;
  return transfer.receivedByPath(2).map((bytes, i) => (bytes - from[i]!) / seconds);
}

function barLines(rates: readonly number[]): string[] {
  const full = RATE * 1e6 / 8;
  return rates.map((rate, i) =>
    `  path ${i + 1}  ${formatBar(rate / full, BAR)}  ${formatRate(rate)}`
  );
}

function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, milliseconds);
    function onAbort(): void {
      clearTimeout(timer);
      reject(signal.reason);
    }
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
