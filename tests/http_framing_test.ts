import { serveMptcp } from "../src/http/mod.ts";
import { CASES, newNotes, runCase, startUpstream } from "./framing.ts";
import { test } from "./harness.ts";

for (const framing of CASES) {
  test(`node engine: ${framing.name}`, { timeout: 10_000 }, async () => {
    using upstream = await startUpstream();
    const notes = newNotes(upstream.url);
    const onError = (error: unknown) => {
      notes.errors.push(error);
      return new Response("failed", { status: 500 });
    };
    await using server = serveMptcp(
      { hostname: "127.0.0.1", port: 0, engine: "node", onError },
      (request) => framing.handler(request, notes),
    );
    await runCase(framing, server.addr.port, notes);
    server.close();
  });
}
