import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { Arguments, UsageError } from "../src/cli/arguments.ts";
import type { Command } from "../src/cli/command.ts";
import { parseArguments } from "../src/cli/parse.ts";
import { mptcp, mptcpCommand, noTerminal, TerminalSession } from "./cli.ts";
import { test } from "./harness.ts";

const COMMAND: Command = {
  name: "fetch",
  summary: "Fetch",
  operands: "URL",
  count: { min: 1, max: 1 },
  options: [
    { name: "output", short: "o", value: "FILE", summary: "" },
    { name: "header", short: "H", value: "LINE", many: true, summary: "" },
    { name: "verbose", short: "v", summary: "" },
    { name: "size", value: "BYTES", summary: "" },
    { name: "mode", value: "MODE", choices: ["a", "b"], summary: "" },
  ],
  examples: [],
};

test("options and operands of a command line are told apart", () => {
  const args = parseArguments(COMMAND, ["-vo", "-", "-H", "a: 1", "--header=b: 2", "--", "-x"]);
  assertEquals(args.operands, ["-x"]);
  assertEquals([args.has("verbose"), args.has("json"), args.text("size")], [
    true,
    false,
    undefined,
  ]);
  assertEquals([args.text("output"), args.texts("header")], ["-", ["a: 1", "b: 2"]]);
});

test("numbers and bytes among the arguments are checked", () => {
  const sized = (size: string) => new Arguments([], { size });
  assertEquals(["0", "500", "64k", "1.5M", "2G"].map((size) => sized(size).bytes("size")), [
    0,
    500,
    64 * 1024,
    1.5 * 1024 ** 2,
    2 * 1024 ** 3,
  ]);
  assertEquals(sized("7").number("size", { max: 7 }), 7);
  assertEquals(sized("0.5").number("size", { integer: false }), 0.5);
  for (const size of ["8", "-1", "x", "1e3", "0.5", ""]) {
    assertThrows(() => sized(size).number("size", { max: 7 }), UsageError, "--size takes a");
  }
  for (const size of ["-1", "x", "1T", "1 k"]) {
    assertThrows(() => sized(size).bytes("size"), UsageError, "--size takes bytes");
  }
});

for (
  const [words, message] of [
    [["--vrebose", "u"], "there is no option --vrebose; did you mean --verbose?"],
    [["-q", "u"], "there is no option -q"],
    [[], "expected URL"],
    [["u", "w"], '"w" is one argument too many'],
    [["u", "-o"], "--output needs a value"],
    [["u", "-o", "a", "-o", "b"], "--output can be given once"],
    [["u", "--mode", "c"], '--mode is one of a, b, not "c"'],
  ] as const
) {
  test(`the command line "fetch ${words.join(" ")}" is refused`, () => {
    assertThrows(() => parseArguments(COMMAND, words), UsageError, message);
  });
}

test("the program shows its help, with the exit statuses, and without colours", async () => {
  const { status, stdout, stderr } = await mptcp(["--help"]);
  assertEquals([status, stderr], [0, ""]);
  assert(stdout.startsWith("Multipath TCP from the command line.\n"));
  assertStringIncludes(stdout, "2  the command line is wrong");
  assertStringIncludes(stdout, "mptcpize run");
  assert(!stdout.includes("\x1b"));
});

for (
  const [words, message] of [
    [[], "mptcp: expected a command"],
    [["nosuch"], 'mptcp: there is no command "nosuch"'],
    [["--nosuch"], "mptcp: there is no option --nosuch"],
  ] as const
) {
  test(`the program refuses "${words.join(" ")}" with status 2, on standard error`, async () => {
    const { status, stdout, stderr } = await mptcp(words);
    assertEquals([status, stdout], [2, ""]);
    assertEquals(stderr, `${message}\nTry "mptcp --help".\n`);
  });
}

test("the program has colours on a terminal, and none with NO_COLOR", {
  skip: noTerminal,
}, async () => {
  for (const [env, coloured] of [[{ NO_COLOR: "" }, true], [{ NO_COLOR: "1" }, false]] as const) {
    using session = new TerminalSession(mptcpCommand(["--help"]), env);
    await session.until(/status 0/);
    assertEquals(session.screen({ colours: true }).includes("\x1b[1mOptions:"), coloured);
  }
});
