/**
 * What keeps a process alive: a wait does, of what is not unref'ed, and nothing else.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { LineProcess, ROOT, runtimeCommand } from "../processes.ts";
import { bytesOf, delay, readUpTo } from "../sockets.ts";
import { connectTo, listen, type Subject, within } from "./implementation.ts";
import { type Row, row } from "./row.ts";

/** Rows for one address: each is a process. */
export const lifetimeRows: readonly Row[] = [
  ends("a listener that nobody waits for lets the process end", "listener"),
  ends("connections that nobody waits for let the process end", "connection"),
  ends("an unref'ed listener lets the process end though accept waits", "unref, accept"),
  ends("a listener can be unref'ed while accept waits", "accept, unref"),
  ends("an unref'ed connection lets the process end though read waits", "unref, read"),
  ends("a connection can be unref'ed while read waits", "read, unref"),
  // Deno's unref is for reads alone.
  ends("a connection can be unref'ed while write waits", "write, unref", "deno"),
  ends("the process ends when the listener is closed", "accept, close"),
  ends("the process ends when the connection is closed that reads", "read, close"),
  ends("the process ends when the connection is closed that writes", "write, close"),
  stays("accept keeps the process alive", "accept"),
  stays("read keeps the process alive", "read"),
  stays("write keeps the process alive", "write"),
  stays("ref after unref keeps the process alive for accept", "unref, accept, ref"),
  stays("ref after unref keeps the process alive for read", "read, unref, ref"),

  row("what is unref'ed works while something else keeps the process alive", async (subject) => {
    using listener = listen(subject);
    listener.unref();
    const accepted = listener.accept();
    await delay(20);
    using client = await connectTo(subject, listener);
    using server = await accepted;
    client.unref();
    server.unref();
    const read = readUpTo(server, 4);
    await delay(20);
    await client.write(bytesOf("ping"));
    assertEquals(await read, bytesOf("ping"));
  }),
];

/** Starts the scenario and waits until it is set up. */
async function start(subject: Subject, scenario: string): Promise<LineProcess> {
  const program = `${ROOT}tests/contract/child.ts`;
  const child = new LineProcess([...runtimeCommand(), program, subject.key, scenario]);
  assertEquals(await child.next(), { done: scenario });
  return child;
}

function ends(sentence: string, scenario: string, except: Row["except"] = null): Row {
  return row(sentence, async (subject) => {
    await using child = await start(subject, scenario);
    const end = await within(child.next<{ after: number }>(), 2000);
    assert(end !== "pending", "The process has not ended after 2 s");
    // At once, on a machine that runs the tests of both runtimes side by side.
    assert(end.after < 1000, `The process ended after ${end.after} ms`);
  }, except);
}

function stays(sentence: string, scenario: string): Row {
  return row(sentence, async (subject) => {
    await using child = await start(subject, scenario);
    assertEquals(await within(child.next(), 300), "pending");
  });
}
