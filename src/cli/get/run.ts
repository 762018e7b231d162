/**
 * What `get` does with an answer.
 *
 * @module
 */

import { basename } from "node:path";
import type { MptcpClient, MptcpClientConnection } from "../../http/mod.ts";
import { printable } from "../ui/printable.ts";
import { StatusError } from "../ui/status_error.ts";
import type { Terminal } from "../ui/terminal.ts";
import { decide, type Decision, type Part } from "./decision.ts";
import { type CheckedDigest, DigestCheck, digestOf, hexOf } from "./digest.ts";
import { Mismatches } from "./mismatches.ts";
import type { GetOptions } from "./options.ts";
import { unfinished, versionOf } from "./part.ts";
import { Progress } from "./progress.ts";
import { shownUrl } from "./request.ts";
import { HttpStatusError } from "./retry.ts";
import { FileSink, OutputSink, type Sink } from "./sink.ts";
import { WRONG_DIGEST } from "./status.ts";
import { type Answer, carryBody, lengthOf, request } from "./transfer.ts";
import { connectionLine, headLines, requestLines, summary, transferLines } from "./verbose.ts";

type Writing = Extract<Decision, { readonly action: "write" }>;

/** One attempt at a transfer. */
export class Run {
  readonly #options: GetOptions;
  readonly #terminal: Terminal;
  readonly #client: MptcpClient;
  readonly #signal: AbortSignal;
  readonly #part: Part | null;
  /** Heads that go before the body. */
  #heads = "";
  #announced: MptcpClientConnection | null = null;
  /** Whether bytes of the body have gone to standard output. */
  hasPrinted = false;

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
    this.#part = options.resume ? unfinished(options.path!) : null;
  }

  /**
   * Makes the request, and takes the answer to where it belongs.
   *
   * @param isLast Whether it is not tried again, whatever comes.
   */
  async run(isLast: boolean): Promise<void> {
    const started = performance.now();
    const { verbose, json, path } = this.#options;
    const mismatches = new Mismatches();
    const answer = await this.#request();
    const decision = await this.#decide(answer, isLast);
    const { bytes, digests } = await this.#receive(answer, decision);
    const seconds = (performance.now() - started) / 1000;
    if (verbose) {
      for (const line of transferLines(answer.connection, bytes, seconds, digests)) {
        this.#terminal.warn(line);
      }
    }
    const { count } = mismatches;
    if (count > 0 && answer.connection?.protocol !== "tcp") this.#say(mismatches.warning(digests));
    if (json) this.#terminal.print(summary(answer, { bytes, seconds, path, digests, count }));
  }

  /** Something that the transfer can do without. */
  #say(text: string): void {
    if (!this.#options.silent) this.#terminal.warn(text);
  }

  #request(): Promise<Answer> {
    const { request: asked, include, head, verbose } = this.#options;
    const headers = new Headers(asked.headers);
    const part = this.#part;
    if (part !== null) {
      headers.set("range", `bytes=${part.size}-`);
      const condition = part.etag ?? part.modified;
      if (condition !== null) headers.set("if-range", condition);
    }
    return request(this.#client, { ...asked, headers }, this.#options, this.#signal, {
      onRequest: (request, url) => {
        if (verbose) this.#terminal.warn(requestLines(request, url).join("\n"));
      },
      onAnswer: (response, connection) => {
        const lines = headLines(response);
        if (include || head) this.#heads += `${lines.join("\r\n")}\r\n`;
        if (!verbose) return;
        if (connection !== null && connection !== this.#announced) {
          this.#terminal.warn(connectionLine(connection));
        }
        this.#announced = connection;
        this.#terminal.warn(lines.map((line) => `< ${printable(line)}`.trimEnd()).join("\n"));
      },
    });
  }

  /** Throws where the answer is good for nothing. */
  async #decide({ response, url }: Answer, isLast: boolean): Promise<Decision> {
    const { fail, head, request } = this.#options;
    const { status, statusText } = response;
    const part = this.#part;
    const isError = status >= 400 && !(status === 416 && part !== null);
    const refuse = async (exit: number, why: string) => {
      await response.body?.cancel().catch(() => {});
      throw new HttpStatusError(exit, `${shownUrl(url)}: ${printable(why)}`, response);
    };
    const why = `${status} ${statusText}`.trimEnd();
    if (isError && (fail || (!isLast && HttpStatusError.isTransient(status)))) {
      await refuse(22, why);
    }
    // What HEAD gives is the head of all.
    const range = head ? null : request.headers.get("range");
    const decision = head
      ? { action: "write", offset: 0, length: null, whole: true } as const
      : decide(response, range, part);
    if (decision.action === "fail") {
      const kept = part === null ? "" : `. The partial file is kept (${part.size} bytes)`;
      await refuse(decision.status, `${decision.why}${kept}`);
    }
    return decision;
  }

  async #receive(
    answer: Answer,
    decision: Decision,
  ): Promise<{ bytes: number; digests: readonly CheckedDigest[] }> {
    const { response } = answer;
    if (decision.action === "complete") await response.body?.cancel().catch(() => {});
    const writing: Writing = decision.action === "write"
      ? decision
      : { action: "write", offset: this.#part!.size, length: 0, whole: true };
    if (this.#part !== null && writing.offset === 0) {
      this.#say("the server did not resume the download: starting from the beginning");
    }
    const sink = await this.#openSink(response, writing.offset);
    const check = this.#digestCheck(answer);
    let bytes = 0;
    try {
      if (sink instanceof FileSink && writing.offset > 0 && check.needsBefore) {
        for await (const chunk of sink.before(writing.offset)) check.addBefore(chunk);
      }
      if (decision.action === "write") {
        bytes = await this.#carry(answer, writing, sink, check);
      }
    } catch (error) {
      const left = await sink.abandon();
      if (left !== null) this.#say(left);
      throw error;
    }
    const digests = check.finish();
    const wrong = digests.find(({ isRight }) => !isRight);
    if (wrong !== undefined) throw await wrongDigest(answer, wrong, sink);
    await sink.finish();
    return { bytes, digests };
  }

  /** Hands the body on, with its progress; gives its bytes. */
  async #carry(
    answer: Answer,
    { offset, length: sent, whole }: Writing,
    sink: Sink,
    check: DigestCheck,
  ): Promise<number> {
    const { path, silent } = this.#options;
    const length = sent ?? lengthOf(answer.response);
    using progress = new Progress(
      {
        name: path === null ? answer.url.host : basename(path),
        total: length === null ? null : offset + length,
        offset,
        bar: this.#showsBar(),
        paths: !silent,
      },
      answer.connection,
      this.#terminal,
    );
    if (this.#heads !== "") await sink.write(new TextEncoder().encode(this.#heads));
    await carryBody(answer, sent, this.#signal, async (chunk) => {
      this.hasPrinted ||= path === null;
      await sink.write(chunk);
      check.add(chunk);
      progress.bytes += chunk.byteLength;
    });
    if (whole) return progress.bytes;
    throw new StatusError(
      18,
      `${answer.url.host}: the server sent only part of the rest: ${progress.bytes} bytes`,
    );
  }

  async #openSink(response: Response, offset: number): Promise<Sink> {
    const { path, raw } = this.#options;
    if (path === null) return new OutputSink(this.#terminal, raw);
    const version = offset > 0 ? this.#part : versionOf(response, lengthOf(response));
    return await FileSink.open(path, { offset, version });
  }

  #digestCheck({ response }: Answer): DigestCheck {
    const { checksum, head, unpack, request } = this.#options;
    if (head) return new DigestCheck([]);
    const said = digestOf(response, unpack);
    // Of a part of a file, its digest says nothing.
    const isUsable = said !== null && !(said.of === "file" && request.headers.has("range"));
    return new DigestCheck([
      ...checksum === null ? [] : [checksum],
      ...isUsable ? [said] : [],
    ]);
  }

  /** Where the body goes to a terminal the bar would be in it. */
  #showsBar(): boolean {
    const { errorIsTerminal, outIsTerminal } = this.#terminal;
    const { path, silent, head } = this.#options;
    return errorIsTerminal && (path !== null || !outIsTerminal) && !silent && !head;
  }
}

async function wrongDigest(
  { url }: Answer,
  { algorithm, found, value, source }: CheckedDigest,
  sink: Sink,
): Promise<StatusError> {
  const place = await sink.reject();
  return new StatusError(
    WRONG_DIGEST,
    `${url.host}: the body is wrong: its ${algorithm} is ${hexOf(found)}, not ${hexOf(value)} ` +
      `(${source})${place === null ? "" : `. ${place}`}`,
  );
}
