import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { mkdirSync } from "node:fs";
import { labUnavailable } from "../bench/lab/rights.ts";
import { mptcpSupport } from "../mod.ts";
import type { PathDecision } from "../src/path_manager/mod.ts";
import { serveLivePage } from "../src/cli/monitor/web/server.ts";
import { PAGE } from "../src/cli/monitor/web/page.ts";
import { BrowserPage, noChromium } from "./chromium.ts";
import { test } from "./harness.ts";
import { LineProcess, ROOT, runtimeCommand } from "./processes.ts";
import { bytesOf, connectedPair, readUpTo } from "./sockets.ts";

const noMptcp = mptcpSupport().supported ? null : mptcpSupport().fallback!.detail;
const PLACE = { hostname: "127.0.0.1", port: 0, interval: 50 };

/** The first event of a kind that a page is sent. */
async function firstEvent(url: string, kind: string): Promise<unknown> {
  const response = await fetch(new URL("events", url));
  const reader = response.body!.getReader();
  const expected = new RegExp(`event: ?${kind}\ndata: ?(.*)\n\n`);
  let text = "";
  while (!expected.test(text)) {
    const { value, done } = await reader.read();
    assert(!done, "the events have ended");
    text += new TextDecoder().decode(value);
  }
  await reader.cancel();
  return JSON.parse(expected.exec(text)![1]!);
}

test("the live page is one small document that loads nothing else", async () => {
  assert(new TextEncoder().encode(PAGE).byteLength < 30_000);
  assertEquals(PAGE.match(/https?:|@import|url\(|<link (?!rel="icon" href="data:,")/g), null);
  const page = serveLivePage(PLACE);
  try {
    const response = await fetch(page.url);
    assertStringIncludes(response.headers.get("content-security-policy")!, "default-src 'none'");
    assertEquals(await response.text(), PAGE);
  } finally {
    await page.close();
  }
});

test("the live page is sent the connections of this machine, with their paths", {
  skip: noMptcp,
}, async () => {
  using pair = await connectedPair();
  await pair.client.write(bytesOf("hello"));
  await readUpTo(pair.server, 5);
  const page = serveLivePage(PLACE);
  try {
    const state = await firstEvent(page.url, "state") as {
      connections: { token: string; subflows: { interface: string; state: string }[] }[];
    };
    const token = Number(pair.client.info()!.token).toString(16).padStart(8, "0");
    const { subflows } = state.connections.find((one) => one.token === token)!;
    assertEquals(subflows.map((one) => [one.interface, one.state]), [["lo", "established"]]);
  } finally {
    await page.close();
  }
});

test("the live page refuses other names of this machine and other pages, and has no other files", async () => {
  const page = serveLivePage(PLACE);
  try {
    const status = async (path: string, headers: Record<string, string>, method = "GET") => {
      const { port } = new URL(page.url);
      const { request } = await import("node:http");
      return await new Promise<number>((resolve, reject) => {
        const sent = request({ host: "127.0.0.1", port, path, headers, method }, (response) => {
          response.resume();
          resolve(response.statusCode!);
        });
        sent.on("error", reject);
        sent.end();
      });
    };
    assertEquals(await status("/", { host: "localhost" }), 200);
    assertEquals(await status("/", { host: "attacker.example" }), 403);
    assertEquals(await status("/", { origin: "http://attacker.example" }), 403);
    assertEquals(await status("/other", {}), 404);
    assertEquals(await status("/demo", {}, "POST"), 405);
  } finally {
    await page.close();
  }
});

test("elsewhere than on loopback the live page asks for the token in its address", async () => {
  const page = serveLivePage({ ...PLACE, hostname: "0.0.0.0" });
  try {
    const url = page.url.replace("0.0.0.0", "127.0.0.1");
    const status = async (url: string) => {
      const response = await fetch(url);
      await response.body?.cancel();
      return response.status;
    };
    assertEquals(await status(url), 200);
    assertEquals(await status(url.replace(/\?.*/, "")), 403);
    assertEquals(await status(url.replace(/token=.*/, "token=00")), 403);
  } finally {
    await page.close();
  }
});

test("in a browser a path that is cut ends, the other carries on, and healing brings it back", {
  skip: noMptcp ?? labUnavailable(["tc", "nft", "cc"]) ?? noChromium,
  timeout: 120_000,
}, async () => {
  await using demo = new LineProcess([
    ...runtimeCommand(),
    "bench/demo.ts",
    "--web",
    "127.0.0.1:0",
  ]);
  const [, url] = /Open (\S+)/.exec(await demo.nextLine())!;
  await using page = await BrowserPage.open(url!);
  const rate = (path: number) =>
    `Number(document.querySelector('tr[data-interface="path${path}"]')?.dataset.rate ?? 0)`;
  // Both of 40 Mbit/s, in bytes.
  await page.until(`${rate(1)} > 3e6 && ${rate(2)} > 3e6`);
  await page.evaluate(`document.getElementById("do-cut-2").click()`);
  await page.until(`document.getElementById("do-cut-2").textContent === "Heal path 2"`);
  await page.until(`${rate(2)} === 0 && ${rate(1)} > 3e6`);
  const gap = await page.evaluate<string>(`document.getElementById("gap").textContent`);
  const [, milliseconds] = /^Path 2 was cut .* since then: (\d+) ms\.$/.exec(gap)!;
  assert(Number(milliseconds) < 5000, gap);
  mkdirSync(`${ROOT}node_modules/.cache/multipath`, { recursive: true });
  await page.screenshot(`${ROOT}node_modules/.cache/multipath/live-page.png`);
  await page.evaluate(`document.getElementById("do-cut-2").click()`);
  await page.until(`${rate(2)} > 1e6`);
  assertEquals(page.problems, []);
});

const DECISION: PathDecision = {
  time: 0,
  by: "adaptive",
  path: "10.0.0.1",
  device: "wlan0",
  action: "demote",
  reason: "<b>it hurts</b>",
  token: undefined,
  error: undefined,
};

/** What happened in a page while it got some states: runs there. */
const WATCH = `new Promise((resolve) => {
  const tasks = [], frames = [];
  let changes = 0, states = 0, last = performance.now();
  new PerformanceObserver((list) => list.getEntries().forEach(({ duration }) => tasks.push(duration)))
    .observe({ entryTypes: ["longtask"] });
  new MutationObserver((records) => changes += records.length)
    .observe(document.getElementById("connections"), { childList: true, subtree: true });
  source.addEventListener("state", () => states++);
  requestAnimationFrame(function frame(now) {
    frames.push(now - last);
    last = now;
    if (states < 5) return requestAnimationFrame(frame);
    const median = (numbers) => numbers.sort((a, b) => a - b)[numbers.length >> 1] ?? 0;
    resolve({ changes, frame: median(frames), task: median(tasks) });
  });
})`;

test("with more than 200 connections the page shows 200, says how many more, and stays fluid", {
  skip: noMptcp ?? noChromium,
  timeout: 120_000,
}, async () => {
  using stack = new DisposableStack();
  // Two ends of each are on this machine.
  for (let i = 0; i < 110; i++) stack.use(await connectedPair());
  const page = serveLivePage({ ...PLACE, interval: 200, paths: { decisions: () => [DECISION] } });
  try {
    await using browser = await BrowserPage.open(page.url);
    const cards = `document.querySelectorAll(".card").length`;
    await browser.until(`${cards} === 200`);
    const more = await browser.evaluate<string>(`document.getElementById("more").textContent`);
    const [, count] = /^and (\d+) connections more with less traffic$/.exec(more)!;
    assert(Number(count) >= 20, more);
    const { changes, frame, task } = await browser.evaluate<{
      changes: number;
      frame: number;
      task: number;
    }>(WATCH);
    // Nothing of connections that rest is written again, which would lay out all 200 cards.
    assert(changes < 100, `${changes} changes`);
    assert(frame < 200 && task < 200, `frames of ${frame} ms, tasks of ${task} ms`);
    const shown = await browser.evaluate(`document.querySelector("#decisions li").lastChild.data`);
    assertEquals(shown, "wlan0 10.0.0.1 demote: <b>it hurts</b> [adaptive]");
    await browser.evaluate(`document.querySelectorAll(".card")[199].scrollIntoView()`);
    await browser.until(`visible.has(document.querySelectorAll(".card")[199].card)`);
    assertEquals(await browser.evaluate(cards), 200);
    assertEquals(browser.problems, []);
  } finally {
    await page.close();
  }
});
