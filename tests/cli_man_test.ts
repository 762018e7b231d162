import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { Command } from "../src/cli/args/command.ts";
import { optionsOf } from "../src/cli/args/parse.ts";
import { loadProgram } from "../src/cli/commands.ts";
import { manPage } from "../src/cli/man/page.ts";
import { mptcp } from "./cli.ts";
import { test } from "./harness.ts";
import { missingProgram, runToEnd } from "./processes.ts";

const program = await loadProgram();

/** Every command with those above it, the program first. */
function pathsOf(path: readonly Command[]): (readonly Command[])[] {
  return [path, ...(path.at(-1)!.commands ?? []).flatMap((below) => pathsOf([...path, below]))];
}

const PATHS = pathsOf([program]);

/** A text without the breaks that formatting put into it. */
function flat(text: string): string {
  return text.replace(/\s+/g, " ");
}

test("groff formats the manual page of every command without a warning", {
  skip: missingProgram("groff"),
  timeout: 120_000,
}, async () => {
  await Promise.all(PATHS.map(async (path) => {
    const command = path.at(-1)!;
    const words = ["groff", "-man", "-ww", "-Tascii", "-P-c", "-rLL=600n"];
    const { status, stdout, stderr } = await runToEnd(words, { input: manPage(path, "1.2.3") });
    const name = path.map(({ name }) => name).join("-");
    assertEquals([name, status, stderr], [name, 0, ""]);
    // deno-lint-ignore no-control-regex
    const page = flat(stdout.replace(/.\x08/g, ""));
    for (const title of ["NAME", "SYNOPSIS", "OPTIONS", "EXIT STATUS"]) {
      assert(page.includes(title));
    }
    for (const { name, summary } of optionsOf(command)) {
      assertStringIncludes(page, `--${name}`);
      assertStringIncludes(page, flat(summary));
    }
    for (const { line } of command.examples) assertStringIncludes(page, flat(`mptcp ${line}`));
  }));
});

test("roff takes nothing in a page for a request", () => {
  for (const path of PATHS) {
    const requests = manPage(path, "1.2.3").split("\n").filter((line) => /^[.']/.test(line));
    for (const line of requests) assert(/^\.(TH|SH|TP|PP|nf|fi)\b/.test(line), line);
  }
});

test("mptcp man prints the page of a command, and names one that it does not know", async () => {
  const { stdout, status } = await mptcp(["man", "endpoint", "add"]);
  assertEquals(status, 0);
  assert(stdout.startsWith('.TH "MPTCP\\-ENDPOINT\\-ADD" 1'), stdout.slice(0, 60));
  const wrong = await mptcp(["man", "endpoint", "gone"]);
  assertEquals(wrong.status, 2);
  assertStringIncludes(wrong.stderr, 'unknown command "endpoint gone"');
  const { name } = JSON.parse((await mptcp(["man", "--json"])).stdout) as { name: string };
  assertEquals(name, "mptcp");
});
