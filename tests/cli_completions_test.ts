import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadProgram } from "../src/cli/commands.ts";
import { nodesOf, valueKind } from "../src/cli/completions/tree.ts";
import { mptcp, noTerminal, TerminalSession } from "./cli.ts";
import { test } from "./harness.ts";
import { missingProgram, run } from "./processes.ts";

const program = await loadProgram();

/** The script for a shell, in a file; removed when disposed of. */
async function scriptFor(shell: string): Promise<{ path: string } & Disposable> {
  const { status, stdout, stderr } = await mptcp(["completions", shell]);
  assertEquals([status, stderr], [0, ""]);
  const folder = mkdtempSync(join(tmpdir(), "mptcp-completions-"));
  const path = join(folder, `_mptcp`);
  writeFileSync(path, stdout);
  return { path, [Symbol.dispose]: () => rmSync(folder, { recursive: true }) };
}

/** Command lines, and some words that complete them; the last word is what has been typed of one. */
const LINES: [line: string, words: string[]][] = [
  ["mptcp che", ["check"]],
  ["mptcp ", program.commands!.map(({ name }) => name)],
  ["mptcp --v", ["--version"]],
  ["mptcp endpoint ", ["list", "add", "change", "remove", "flush"]],
  ["mptcp endpoint add 10.0.0.1 --sig", ["--signal"]],
  ["mptcp endpoint add --dev l", ["lo"]],
  ["mptcp limits set --add", ["--add-addr-accepted"]],
  ["mptcp connect --keep", []],
  ["mptcp listen -v --keep", ["--keep-open"]],
  ["mptcp completions ", ["bash", "zsh", "fish"]],
  ["mptcp check --timeout ", []],
];

test("bash completes commands, options and values", { skip: missingProgram("bash") }, async () => {
  using script = await scriptFor("bash");
  for (const [line, expected] of LINES) {
    const words = line.split(" ").map((word) => `'${word}'`).join(" ");
    const text =
      `source ${script.path}; COMP_WORDS=(${words}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
_mptcp; printf '%s\n' "\${COMPREPLY[@]}"`;
    const found = run("bash", ["--norc", "-eu", "-c", text]).trim().split("\n").filter(Boolean);
    assertEquals(found.toSorted(), expected.toSorted(), line);
  }
});

test("fish completes commands, options and values", { skip: missingProgram("fish") }, async () => {
  using script = await scriptFor("fish");
  for (const [line, expected] of LINES) {
    const text = `source ${script.path}; complete -C '${line}'`;
    const printed = run("fish", ["--no-config", "-c", text]).trim().split("\n").filter(Boolean);
    const found = printed.map((entry) => entry.split("\t")[0]!);
    assertEquals(found.toSorted(), expected.toSorted(), line);
  }
});

test("zsh completes commands, options and values", {
  skip: noTerminal ?? missingProgram("zsh"),
}, async () => {
  using script = await scriptFor("zsh");
  using session = new TerminalSession(["zsh", "-f"], { PS1: "ready> " });
  await session.until(/ready>/);
  session.press(`autoload -U compinit; compinit -u -D; source ${script.path}; setopt no_beep`);
  session.press("Enter");
  for (
    const [typed, completed] of [
      ["mptcp che", /ready> mptcp check $/m],
      ["mptcp endpoint add 10.0.0.1 --sig", /10\.0\.0\.1 --signal $/m],
      ["mptcp endpoint add --dev l", /--dev lo $/m],
      ["mptcp limits set --add", /--add-addr-accepted $/m],
      ["mptcp completions z", /completions zsh $/m],
      ["mptcp endpoint ", /^list +-- List the endpoints$/m],
      ["mptcp connect --", /^--mss +-- Set the maximum segment size \(TCP_MAXSEG\)$/m],
    ] as const
  ) {
    session.press("C-u");
    session.press("C-l");
    session.press(typed);
    session.press("Tab");
    // What is completed has lost the space at its end on tmux's screen.
    await session.until(new RegExp(completed.source.replace(/ \$$/, " ?$"), "m"));
  }
});

test("completions zsh works from a folder of fpath too", {
  skip: noTerminal ?? missingProgram("zsh"),
}, async () => {
  using script = await scriptFor("zsh");
  const folder = script.path.replace(/\/_mptcp$/, "");
  using session = new TerminalSession(["zsh", "-f"], { PS1: "ready> " });
  await session.until(/ready>/);
  session.press(`fpath=(${folder} $fpath); autoload -U compinit; compinit -u -D; clear`);
  session.press("Enter");
  session.press("mptcp che");
  session.press("Tab");
  await session.until(/mptcp check ?$/m);
});

test("completions know every command and option, and what options take", async () => {
  const nodes = nodesOf(program);
  assert(nodes.length > 10);
  const { stdout } = await mptcp(["completions", "bash", "--json"]);
  const { shell, script } = JSON.parse(stdout);
  assertEquals(shell, "bash");
  for (const { path, options } of nodes) {
    assertStringIncludes(script, `"${path}"`);
    for (const { name } of options) assertStringIncludes(script, `--${name}`);
  }
  const kind = (value: string, choices?: string[]) =>
    valueKind({ name: "x", value, summary: "", ...choices && { choices } });
  assertEquals([kind("FILE"), kind("FOLDER"), kind("COUNT"), kind("M", ["a", "b"])], [
    { type: "file" },
    { type: "folder" },
    { type: "other" },
    { type: "choices", choices: ["a", "b"] },
  ]);
});

test("a shell that is not known is refused", async () => {
  const { status, stdout, stderr } = await mptcp(["completions", "tcsh"]);
  assertEquals([status, stdout], [2, ""]);
  assertStringIncludes(stderr, 'expected bash, zsh, fish, not "tcsh"');
});
