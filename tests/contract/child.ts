/**
 * A process for `lifetime.ts`: does what the arguments name, on what they name, says so, and tells
 * how many milliseconds later it has come to its end.
 *
 * @module
 */

import process from "node:process";
import { delay } from "../sockets.ts";
import { fill } from "./conn.ts";
import { implementations, listen, pairOf, type Subject } from "./implementation.ts";

const SCENARIOS: Readonly<Record<string, (subject: Subject) => void | Promise<void>>> = {
  listener(subject) {
    listen(subject);
  },
  async connection(subject) {
    await pairOf(subject);
  },
  accept(subject) {
    listen(subject).accept();
  },
  async read(subject) {
    (await pairOf(subject)).client.read(new Uint8Array(1));
  },
  async write(subject) {
    const { client, server } = await pairOf(subject);
    server.unref();
    await fill(client);
  },
  "unref, accept"(subject) {
    const listener = listen(subject);
    listener.unref();
    listener.accept();
  },
  async "accept, unref"(subject) {
    const listener = listen(subject);
    listener.accept();
    await delay(20);
    listener.unref();
  },
  "unref, accept, ref"(subject) {
    const listener = listen(subject);
    listener.unref();
    listener.accept();
    listener.ref();
  },
  async "accept, close"(subject) {
    const listener = listen(subject);
    const accepted = listener.accept().catch(() => {});
    await delay(20);
    listener.close();
    await accepted;
  },
  async "unref, read"(subject) {
    const { client, server } = await pairOf(subject);
    client.unref();
    server.unref();
    client.read(new Uint8Array(1));
    server.read(new Uint8Array(1));
  },
  async "read, unref"(subject) {
    const { client } = await pairOf(subject);
    client.read(new Uint8Array(1));
    await delay(20);
    client.unref();
  },
  async "read, unref, ref"(subject) {
    const { client } = await pairOf(subject);
    client.read(new Uint8Array(1));
    client.unref();
    await delay(20);
    client.ref();
  },
  async "write, unref"(subject) {
    const { client } = await pairOf(subject);
    await fill(client);
    client.unref();
  },
  async "read, close"(subject) {
    const { client } = await pairOf(subject);
    const read = client.read(new Uint8Array(1)).catch(() => {});
    await delay(20);
    client.close();
    await read;
  },
  async "write, close"(subject) {
    const { client, server } = await pairOf(subject);
    const write = (await fill(client)).waiting.catch(() => {});
    client.close();
    server.close();
    await write;
  },
};

if (import.meta.main) {
  const [key, scenario] = process.argv.slice(2) as [string, string];
  await SCENARIOS[scenario]!({ ...implementations[key]!, key, hostname: "127.0.0.1" });
  const done = performance.now();
  console.log(JSON.stringify({ done: scenario }));
  process.on("exit", () => console.log(JSON.stringify({ after: performance.now() - done })));
}
