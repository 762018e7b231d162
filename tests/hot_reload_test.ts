import { assertEquals, assertStringIncludes } from "@std/assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";
import { test } from "./harness.ts";
import { rawRequest } from "./http.ts";
import { LineProcess, ROOT } from "./processes.ts";

const only = { runtime: "bun", reason: "Deno loads nothing anew within a program" } as const;

const PROGRAM = (version: number, engine: string) => `
import { serveMptcp } from "file://${ROOT}src/http/mod.ts";
const options = { hostname: "127.0.0.1", port: 0, engine: "${engine}" } as const;
const server = serveMptcp({ ...options, onError: () => new Response("failed by ${version}") }, (request) => {
  if (request.url.endsWith("/fail")) throw new Error("as told");
  return new Response("version ${version}");
});
console.log(server.addr.port);`;

for (const engine of ["native", "node"]) {
  test(`bun --hot swaps the handlers of serveMptcp, engine ${engine}`, { only }, async () => {
    const folder = mkdtempSync(`${tmpdir()}/mptcp-`);
    const file = `${folder}/server.ts`;
    writeFileSync(file, PROGRAM(1, engine));
    await using server = new LineProcess([process.execPath, "--hot", file]);
    try {
      const port = await server.nextLine();
      assertStringIncludes(await rawRequest(Number(port)), "version 1");
      for (const version of [2, 3]) {
        const next = server.nextLine();
        // Bun may not watch yet.
        const save = () => writeFileSync(file, PROGRAM(version, engine));
        const timer = setInterval(save, 500);
        save();
        assertEquals(await next.finally(() => clearInterval(timer)), port);
        assertStringIncludes(await rawRequest(Number(port)), `version ${version}`);
        assertStringIncludes(await rawRequest(Number(port), "/fail"), `failed by ${version}`);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}
