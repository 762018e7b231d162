/**
 * Takes a picture of the live page on a lab, one path cut:
 *
 *     deno task picture
 *
 * Needs root and Chromium.
 *
 * @module
 */

import process from "node:process";
import { fileURLToPath } from "node:url";
import { serveLivePage } from "../src/cli/monitor/web/server.ts";
import { BrowserPage } from "../tests/chromium.ts";
import { LabControls } from "./demo/controls.ts";
import { EndlessTransfer } from "./demo/transfer.ts";
import { createLab } from "./lab/lab.ts";

const OUTPUT = fileURLToPath(new URL("../docs/plots/live-page.png", import.meta.url));
const DELAYS = [5, 15];
/** Milliseconds with both paths, and with one. */
const BEFORE = 12_000;
const AFTER = 9_000;

const sleep = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

{
  await using lab = await createLab({ paths: DELAYS.map((delay) => ({ rate: 40, delay })) });
  using transfer = await EndlessTransfer.start(lab);
  const controls = new LabControls(lab, transfer, 2, DELAYS);
  const place = { hostname: "127.0.0.1", port: 0, interval: 250 };
  const page = serveLivePage({ ...place, netns: lab.client.name, demo: controls });
  {
    await using browser = await BrowserPage.open(page.url);
    await sleep(BEFORE);
    await browser.evaluate(`document.getElementById("do-cut-2").click()`);
    await sleep(AFTER);
    await browser.screenshot(OUTPUT);
  }
  await page.close();
}
console.log(`Written to ${OUTPUT}`);
process.exit(0);
