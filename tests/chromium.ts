/**
 * A headless Chromium for tests, driven by its DevTools protocol.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { missingProgram } from "./processes.ts";
import { type TemporaryFolder, temporaryFolder } from "./temporary.ts";

/** Why there is no Chromium here; `null` if there is. */
export const noChromium: string | null = missingProgram("chromium");

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
  "--remote-debugging-port=0",
  "--window-size=1000,800",
];

interface Answer {
  readonly id?: number;
  readonly method?: string;
  readonly params?: { readonly args?: readonly { value?: unknown; description?: string }[] };
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
}

/** One page in a browser of its own, closed when disposed of. */
export class BrowserPage implements AsyncDisposable {
  /** What the page wrote to the console as errors, and exceptions that nobody caught. */
  readonly problems: string[] = [];
  readonly #child: ChildProcess;
  readonly #folder: TemporaryFolder;
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, PromiseWithResolvers<Record<string, unknown>>>();
  #id = 0;

  private constructor(child: ChildProcess, folder: TemporaryFolder, socket: WebSocket) {
    this.#child = child;
    this.#folder = folder;
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#take(JSON.parse(String(data)) as Answer);
  }

  /** Opens a page. */
  static async open(url: string): Promise<BrowserPage> {
    const folder = temporaryFolder();
    const child = spawn("chromium", [...FLAGS, `--user-data-dir=${folder.path}`, "about:blank"], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    const port = await debuggingPort(child);
    const list = await (await fetch(`http://127.0.0.1:${port}/json`)).json();
    const page = (list as { type: string; webSocketDebuggerUrl: string }[])
      .find(({ type }) => type === "page")!;
    const socket = new WebSocket(page.webSocketDebuggerUrl);
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = reject;
    });
    const opened = new BrowserPage(child, folder, socket);
    for (const domain of ["Runtime", "Page", "Log"]) await opened.#send(`${domain}.enable`);
    await opened.#send("Page.navigate", { url });
    return opened;
  }

  /** The value of an expression in the page. */
  async evaluate<T>(expression: string): Promise<T> {
    const settings = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await this.#send("Runtime.evaluate", settings) as {
      result: { value: T };
      exceptionDetails?: { text: string };
    };
    if (exceptionDetails !== undefined) throw new Error(`${expression}: ${exceptionDetails.text}`);
    return result.value;
  }

  /** Waits until an expression in the page is true. */
  async until(expression: string): Promise<void> {
    while (!await this.evaluate<boolean>(`Boolean(${expression})`)) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Writes what is to be seen to a file. */
  async screenshot(path: string): Promise<void> {
    const { data } = await this.#send("Page.captureScreenshot", { format: "png" });
    writeFileSync(path, String(data), "base64");
  }

  #send(method: string, params: object = {}): Promise<Record<string, unknown>> {
    const id = ++this.#id;
    const waiting = Promise.withResolvers<Record<string, unknown>>();
    this.#waiting.set(id, waiting);
    this.#socket.send(JSON.stringify({ id, method, params }));
    return waiting.promise;
  }

  #take({ id, method, params, result, error }: Answer): void {
    if (id !== undefined) {
      const waiting = this.#waiting.get(id);
      if (error !== undefined) waiting?.reject(new Error(error.message));
      else waiting?.resolve(result ?? {});
    } else if (method === "Runtime.exceptionThrown" || method === "Log.entryAdded") {
      this.problems.push(JSON.stringify(params));
    } else if (method === "Runtime.consoleAPICalled") {
      this.problems.push(JSON.stringify(params?.args));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#socket.onclose = resolve);
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await Promise.all([closed, exited]);
    this.#folder[Symbol.dispose]();
  }
}

async function debuggingPort(child: ChildProcess): Promise<string> {
  const lines = createInterface({ input: child.stderr! });
  for await (const line of lines) {
    const [, port] = /^DevTools listening on ws:\/\/127\.0\.0\.1:(\d+)/.exec(line) ?? [];
    if (port !== undefined) return port;
  }
  throw new Error("Chromium has ended at its start");
}
