/**
 * When an answer has been sent: `completed` of a request's info, where the runtime does not say.
 *
 * @module
 */

import type { Completion } from "./serve_info.ts";

/** Resolves once an answer is sent. Nothing is followed unless somebody asks. */
export class AnswerCompletion implements Completion {
  #settlers: PromiseWithResolvers<void> | null = null;

  get completed(): Promise<void> {
    if (this.#settlers === null) {
      this.#settlers = Promise.withResolvers<void>();
      // Nobody has to listen.
      this.#settlers.promise.catch(() => {});
    }
    return this.#settlers.promise;
  }

  /** Whether somebody has asked. */
  get isAsked(): boolean {
    return this.#settlers !== null;
  }

  /** All of it is sent. */
  resolve(): void {
    this.#settlers?.resolve();
  }

  /** The client is gone, or the body failed. */
  reject(reason: unknown): void {
    this.#settlers?.reject(reason);
  }
}

/** A response whose end `completion` is told. One without a stream is sent as it is handed over. */
export function followed(
  response: Response,
  request: Request,
  completion: AnswerCompletion,
): Response {
  // Bun takes anything for an answer to a request that has become a WebSocket.
  if (!completion.isAsked || !(response instanceof Response)) return response;
  const { signal } = request;
  const gone = () => completion.reject(signal.reason);
  if (signal.aborted) gone();
  else signal.addEventListener("abort", gone, { once: true });
  const end = () => {
    signal.removeEventListener("abort", gone);
    completion.resolve();
  };
  // Bun forgets the type of a Blob or a form unless the headers are asked for before the body.
  void response.headers;
  if (response.body === null) {
    queueMicrotask(end);
    return response;
  }
  const body = response.body.pipeThrough(new TransformStream({ flush: end }));
  return new Response(body, response);
}
