/**
 * The rows of the contract.
 *
 * @module
 */

import { type Pair, pairOf, type Subject } from "./implementation.ts";

/** One behaviour. */
export interface Row {
  /** The behaviour in a sentence. */
  readonly sentence: string;
  /** Whose behaviour differs on purpose; a comment at the row says how. */
  readonly except: "native" | "deno" | "mptcp" | null;
  readonly body: (subject: Subject) => void | Promise<void>;
}

/** A behaviour of listeners, or of connecting. */
export function row(sentence: string, body: Row["body"], except: Row["except"] = null): Row {
  return { sentence, body, except };
}

/** A behaviour of connections, shown with a pair that is closed afterwards. */
export function pairRow(
  sentence: string,
  body: (pair: Pair, subject: Subject) => Promise<void>,
  except: Row["except"] = null,
): Row {
  return row(sentence, async (subject) => {
    using pair = await pairOf(subject);
    await body(pair, subject);
  }, except);
}

/** Whether the row is about this implementation. */
export function applies({ except }: Row, subject: Subject): boolean {
  if (except === "mptcp") return subject.protocol !== "mptcp";
  return except === null || !subject[except];
}
