/**
 * What `get` does with an answer.
 *
 * @module
 */

import { basename } from "node:path";
import type { MptcpClient, MptcpClientConnection } from "../../http/mod.ts";
import { StatusError } from "../ui/status_error.ts";
import type { Terminal } from "../ui/terminal.ts";
import type { GetOptions } from "./options.ts";
import { Progress } from "./progress.ts";
import { type GetRequest, shownUrl } from "./request.ts";
import { FileSink, OutputSink, type Sink, unfinished } from "./sink.ts";
import { type Answer, carryBody, lengthOf, request } from "./transfer.ts";
import { connectionLine, headLines, requestLines, transferLines } from "./verbose.ts";

/** One transfer. */
export class Run {
  readonly #options: GetOptions;
  readonly #terminal: Terminal;
  readonly #client: MptcpClient;
  readonly #signal: AbortSignal;
  #asked: GetRequest | null = null;
  /** Heads that go before the body. */
  #heads = "";
  #announced: MptcpClientConnection | null = null;

  constructor(
    options: GetOptions,
    terminal: Terminal,
    client: MptcpClient,
    signal: AbortSignal,
  ) {
    this.#options = options;
    this.#terminal = terminal;
    this.#client = client;
    this.#signal = signal;
  }

  /** Makes the request, and gives the exit status. */
  async run(): Promise<number> {
    const started = performance.now();
    const answer = await this.#request(this.#options.request);
    const { response } = answer;
    if (this.#options.fail && response.status >= 400 && !this.#isComplete(response)) {
      await response.body?.cancel();
      throw new StatusError(
        22,
        `${shownUrl(answer.url)}: ${response.status} ${response.statusText}`.trimEnd(),
      );
    }
    const bytes = await this.#receive(answer);
    const seconds = (performance.now() - started) / 1000;
    if (this.#options.verbose) {
      for (const line of transferLines(answer.connection, bytes, seconds)) {
        this.#terminal.warn(line);
      }
    }
    if (this.#options.json) {
      this.#terminal.print(summary(answer, bytes, seconds, this.#options.path));
    }
    return 0;
  }

  #request(asked: GetRequest): Promise<Answer> {
    const part = this.#options.resume ? unfinished(this.#options.path!) : null;
    if (part !== null) {
      asked.headers.set("range", `bytes=${part.size}-`);
      asked.headers.set("if-range", part.modified.toUTCString());
    }
    this.#asked = asked;
    const isVerbose = this.#options.verbose;
    return request(this.#client, asked, this.#options.follow, this.#signal, {
      onRequest: (request, url) => {
        if (isVerbose) this.#terminal.warn(requestLines(request, url).join("\n"));
      },
      onAnswer: (response, connection) => {
        const lines = headLines(response);
        if (this.#options.include || this.#options.head) {
          this.#heads += `${lines.join("\r\n")}\r\n`;
        }
        if (!isVerbose) return;
        if (connection !== null && connection !== this.#announced) {
          this.#terminal.warn(connectionLine(connection));
        }
        this.#announced = connection;
        this.#terminal.warn(lines.map((line) => `< ${line}`.trimEnd()).join("\n"));
      },
    });
  }

  async #receive(answer: Answer): Promise<number> {
    const { response } = answer;
    const offset = this.#offset(response);
    if (this.#isComplete(response)) {
      await response.body?.cancel();
      const sink = await FileSink.open(this.#options.path!, offset, null);
      await sink.finish();
      return 0;
    }
    const sink = await this.#openSink(response, offset);
    const length = lengthOf(response);
    using progress = new Progress(
      {
        name: this.#options.path === null ? answer.url.host : basename(this.#options.path),
        total: length === null ? null : offset + length,
        offset,
        bar: this.#showsBar(),
        paths: !this.#options.silent,
      },
      answer.connection,
      this.#terminal,
    );
    try {
      if (this.#heads !== "") await sink.write(new TextEncoder().encode(this.#heads));
      await carryBody(answer, this.#signal, async (chunk) => {
        await sink.write(chunk);
        progress.bytes += chunk.byteLength;
      });
    } catch (error) {
      progress[Symbol.dispose]();
      const left = await sink.abandon();
      if (left !== null && !this.#options.silent) this.#terminal.warn(left);
      throw error;
    }
    await sink.finish();
    return progress.bytes;
  }

  async #openSink(response: Response, offset: number): Promise<Sink> {
    if (this.#options.path === null) return new OutputSink(this.#terminal, this.#options.raw);
    const modified = Date.parse(response.headers.get("last-modified") ?? "");
    return await FileSink.open(
      this.#options.path,
      offset,
      Number.isNaN(modified) ? null : new Date(modified),
    );
  }

  /** Where in the file the body of an answer belongs. */
  #offset({ status, headers }: Response): number {
    const asked = /^bytes=(\d+)-$/.exec(this.#asked?.headers.get("range") ?? "")?.[1];
    if (!this.#options.resume || asked === undefined) return 0;
    const offset = Number(asked);
    if (status === 416) return offset;
    if (status !== 206) {
      if (!this.#options.silent) {
        this.#terminal.warn("the server does not go on with what there is: from the beginning");
      }
      return 0;
    }
    const range = headers.get("content-range") ?? "";
    if (range.startsWith(`bytes ${offset}-`)) return offset;
    throw new StatusError(
      33,
      `the server sent "${range}" in the place of the bytes from ${offset}`,
    );
  }

  /** Whether there is nothing left of a file to go on with. */
  #isComplete({ status, headers }: Response): boolean {
    if (status !== 416 || !this.#options.resume) return false;
    const size = /^bytes \*\/(\d+)$/.exec(headers.get("content-range") ?? "")?.[1];
    return this.#asked?.headers.get("range") === `bytes=${size}-`;
  }

  /** Where the body goes to a terminal the bar would be in it. */
  #showsBar(): boolean {
    const { errorIsTerminal, outIsTerminal } = this.#terminal;
    const isElsewhere = this.#options.path !== null || !outIsTerminal;
    return errorIsTerminal && isElsewhere && !this.#options.silent && !this.#options.head;
  }
}

function summary(
  { url, response, connection }: Answer,
  bytes: number,
  seconds: number,
  file: string | null,
): string {
  return JSON.stringify({
    url: shownUrl(url),
    status: response.status,
    bytes,
    seconds,
    bytesPerSecond: bytes / seconds,
    file,
    protocol: connection?.protocol ?? "tcp",
    fallback: connection?.fallback ?? null,
    subflows: connection?.subflows().map(({ localAddr, remoteAddr, tcp }) => ({
      localAddr,
      remoteAddr,
      bytesReceived: Number(tcp.bytesReceived ?? 0),
    })) ?? [],
  });
}
