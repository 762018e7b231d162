import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { readFileSync } from "node:fs";
import { Arguments, UsageError } from "../src/cli/args/arguments.ts";
import type { Command } from "../src/cli/args/command.ts";
import { loadProgram } from "../src/cli/commands.ts";
import { nodesOf } from "../src/cli/completions/tree.ts";
import { helpText } from "../src/cli/args/help.ts";
import { parseArguments } from "../src/cli/args/parse.ts";
import { tableLines } from "../src/cli/ui/table.ts";
import type { Styles } from "../src/cli/ui/terminal.ts";
import {
  count,
  formatBar,
  formatBytes,
  formatClock,
  formatMicroseconds,
  formatRate,
} from "../src/cli/ui/units.ts";
import { mptcp, mptcpCommand, noTerminal, TerminalSession } from "./cli.ts";
import { test } from "./harness.ts";
import { ROOT } from "./processes.ts";

const program = await loadProgram();

test("a command that is loaded alone is the one among all", async () => {
  for (const command of program.commands!) {
    const alone = (await loadProgram(command.name)).commands!;
    const others = ["completions", "man"];
    assertEquals(alone.length, others.includes(command.name) ? program.commands!.length : 1);
    if (alone.length === 1) assert(alone[0] === command, command.name);
  }
});

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

test("a short option has its value in the same word, or in the next one", () => {
  const args = parseArguments(COMMAND, [
    "-vofile",
    "-Ha: 1",
    "-H",
    "b: 2",
    "--size",
    "5",
    "--",
    "-ox",
  ]);
  assertEquals([args.has("verbose"), args.text("output")], [true, "file"]);
  assertEquals([args.texts("header"), args.text("size")], [["a: 1", "b: 2"], "5"]);
  assertEquals(args.operands, ["-ox"]);
  assertEquals(parseArguments(COMMAND, ["-vo-", "u"]).text("output"), "-");
  assertThrows(() => parseArguments(COMMAND, ["u", "-vo"]), UsageError, "--output needs a value");
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
    assertThrows(() => sized(size).bytes("size"), UsageError, "--size takes a number of bytes");
  }
});

for (
  const [words, message] of [
    [["--vrebose", "u"], "unknown option --vrebose; did you mean --verbose?"],
    [["-q", "u"], "unknown option -q"],
    [["-vq", "u"], "unknown option -q"],
    [["--quite=x", "u"], "unknown option --quite"],
    [[], "expected URL"],
    [["u", "w"], 'unexpected argument "w"'],
    [["u", "-o"], "--output needs a value"],
    [["u", "-o", "a", "-o", "b"], "--output can only be given once"],
    [["u", "--mode", "c"], '--mode takes one of a, b, not "c"'],
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
  assertStringIncludes(stdout, "2    invalid command line");
  assertStringIncludes(stdout, "mptcpize run");
  assert(!stdout.includes("\x1b"));
});

for (
  const [words, message] of [
    [[], "mptcp: expected a command"],
    [["nosuch"], 'mptcp: unknown command "nosuch"'],
    [["--nosuch"], "mptcp: unknown option --nosuch"],
  ] as const
) {
  test(`the program refuses "${words.join(" ")}" with status 2, on standard error`, async () => {
    const { status, stdout, stderr } = await mptcp(words);
    assertEquals([status, stdout], [2, ""]);
    assertEquals(stderr, `${message}\nTry "mptcp --help".\n`);
  });
}

test("help is by --help, -h or the word help, and its text fits the terminal", async () => {
  const texts = [["endpoint", "add", "--help"], ["endpoint", "add", "-h"], [
    "help",
    "endpoint",
    "add",
  ]];
  const [first, ...others] = await Promise.all(texts.map((words) => mptcp(words)));
  assert(first!.stdout.startsWith("Add an endpoint"));
  for (const other of others) assertEquals([other.status, other.stdout], [0, first!.stdout]);
  const plain = { bold: (text: string) => text } as Styles;
  const details = `${"word ".repeat(30)}\n\n  as it\n  is`;
  const lines = helpText(["x"], { ...COMMAND, details }, plain, 40).split("\n");
  assert(
    lines.slice(4, 8).every((line) => line.length <= 40 && line.startsWith("word word")),
    lines.join("|"),
  );
  assert(lines.includes("  as it"));
});

for (const { path, options } of nodesOf(program)) {
  test(`"${path} --help" tells every option and the exit statuses`, () => {
    const words = path.split(" ");
    const command = words.slice(1).reduce(
      (above: Command, word) => above.commands!.find(({ name }) => name === word)!,
      program,
    );
    const plain = { bold: (text: string) => text } as Styles;
    const text = helpText(words, command, plain);
    for (const { name } of options) assertStringIncludes(text, `--${name}`);
    assertStringIncludes(text, "Exit status:");
    assert(command.commands !== undefined || command.examples.length > 0, "no example");
    for (const { line } of command.examples) {
      assert(line.startsWith(words.slice(1).join(" ")), line);
    }
  });
}

test("with --json an error is JSON too, on standard error, with the same status", async () => {
  const { status, stdout, stderr } = await mptcp(["nosuch", "--json"]);
  assertEquals([status, stdout], [2, ""]);
  const error = { message: 'unknown command "nosuch"', code: "ERR_USAGE" };
  assertEquals(JSON.parse(stderr), { error });
});

test("the program tells its version, which is that of the package", async () => {
  const { version } = JSON.parse(readFileSync(`${ROOT}deno.json`, "utf8"));
  assertEquals((await mptcp(["--version"])).stdout, `mptcp ${version}\n`);
  assertEquals(JSON.parse((await mptcp(["-V", "--json"])).stdout), { version });
  assertEquals(JSON.parse(readFileSync(`${ROOT}package.json`, "utf8")).version, version);
});

test("quantities have three digits or so, and the unit that suits them", () => {
  const bytes = [0, 1023, 1024, 1536, 1024 ** 2 - 1, 5_000_000_000].map(formatBytes);
  assertEquals(bytes, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "4.7 GiB"]);
  assertEquals([0, 11_760_000, 125_000_000].map(formatRate), [
    "0 bit/s",
    "94.1 Mbit/s",
    "1.0 Gbit/s",
  ]);
  assertEquals([45, 1234, 250_000].map(formatMicroseconds), ["0.045 ms", "1.23 ms", "250 ms"]);
  assertEquals([7.4, 59.6, 3723].map(formatClock), ["0:07", "1:00", "1:02:03"]);
  assertEquals([-1, 0.3, 2].map((part) => formatBar(part, 5)), ["     ", "█▌   ", "█████"]);
  assertEquals([count(1, "subflow"), count(2, "subflow")], ["1 subflow", "2 subflows"]);
});

test("a table is aligned, numbers at their end", () => {
  const plain = { bold: (text: string) => text } as Styles;
  const columns = [{ heading: "NAME" }, { heading: "BYTES", right: true }, { heading: "X" }];
  assertEquals(tableLines(columns, [["a", "5"], ["longer", "1000000", "y"]], plain), [
    "NAME      BYTES  X",
    "a             5",
    "longer  1000000  y",
  ]);
});

test("the program has colours on a terminal, and none with NO_COLOR", {
  skip: noTerminal,
}, async () => {
  for (const [env, coloured] of [[{ NO_COLOR: "" }, true], [{ NO_COLOR: "1" }, false]] as const) {
    using session = new TerminalSession(mptcpCommand(["--help"]), env);
    await session.until(/status 0/);
    assertEquals(session.screen({ colours: true }).includes("\x1b[1mOptions:"), coloured);
  }
});

test("--allow-ffi is all that Deno has to allow, on a terminal too", {
  only: { runtime: "deno", reason: "Bun has no permissions" },
  skip: noTerminal,
}, async () => {
  const permissions = ["--no-prompt", "--allow-ffi"];
  using session = new TerminalSession(mptcpCommand(["check"], { permissions }));
  const screen = await session.until(/status [03]$/m);
  assert(/^MPTCP/m.test(screen), screen);
  const { status, stderr } = await mptcp(["check"], { permissions: ["--no-prompt"] });
  assertEquals(status, 1);
  assertStringIncludes(stderr, "mptcp check: Requires ffi access");
});
