import { assert, assertEquals, assertThrows } from "@std/assert";
import { createLab, type Lab, labUnavailable } from "../bench/lab/lab.ts";
import { labNamespaces } from "../bench/lab/namespaces.ts";
import {
  bytesByPath,
  checkTransfer,
  counterOf,
  goodputOf,
  medianOf,
  pathOf,
  ratesOf,
  ratioToC,
  samplesByPath,
} from "../bench/multipath/analysis.ts";
import { drawPlots } from "../bench/multipath/plots.ts";
import { findPrograms, Peer } from "../bench/multipath/programs.ts";
import { pageSection, replaceSection } from "../bench/multipath/page.ts";
import type { Received, Results, Run, ScenarioResult, Sent } from "../bench/multipath/results.ts";
import { SCENARIOS } from "../bench/multipath/scenarios.ts";
import { transfer } from "../bench/multipath/transfer_run.ts";
import { connectMptcp, mptcpSupport } from "../mod.ts";
import { runtime, test } from "./harness.ts";
import { LineProcess, runtimeCommand } from "./processes.ts";
import { delay, writeAll } from "./sockets.ts";

const noLab = labUnavailable(["tc", "nft", "cc"]) ?? mptcpSupport().fallback?.detail ?? null;

const RECEIVED: Received = {
  bytes: 3_000_000,
  measuredBytes: 2_500_000,
  seconds: 0.5,
  longestGap: 12,
  longestGapAt: 100,
  wrong: null,
  protocol: "mptcp",
  user: 0.1,
  system: 0.1,
  subflows: [
    { local: "10.77.1.2", remote: "10.77.1.1", bytes: 1000 },
    { local: "fd77:2::2", remote: "fd77:2::1", bytes: 2000 },
    { local: "10.77.1.2", remote: "10.77.1.1", bytes: 300 },
  ],
  samples: [[0.4, 10, 10], [50.2, 900, 500, 400], [100, 3300, 1000, 2000, 300]],
};
const SENT: Sent = { bytes: 3_000_000, protocol: "mptcp", user: 0, system: 0 };

test("goodput counts what came within the time", () => {
  assertEquals(goodputOf(RECEIVED), 40);
  assertEquals(goodputOf({ ...RECEIVED, seconds: 0 }), 0);
});

test("subflows are counted for the paths that they took", () => {
  assertEquals(RECEIVED.subflows.map(pathOf), [0, 1, 0]);
  assertThrows(
    () => pathOf({ local: "192.0.2.1", remote: "", bytes: 0 }),
    Error,
    "no address of a lab",
  );
  assertEquals(bytesByPath(RECEIVED, 3), [1300, 2000, 0]);
  assertEquals(samplesByPath(RECEIVED, 2), [
    [0, 10, 10, 0],
    [50, 900, 500, 400],
    [100, 3300, 1300, 2000],
  ]);
});

test("a transfer fails by wrong bytes, by lost ones, by a fallback and by a subflow that is missing", () => {
  const expected = { protocol: "mptcp", subflows: 3 } as const;
  checkTransfer(RECEIVED, SENT, expected);
  const cases: [Partial<Received>, Partial<Sent>, string][] = [
    [
      { wrong: { offset: 400, found: 8000, words: 3, last: 1000 } },
      {},
      "wrong bytes from offset 400 to 1004, 12 of them: first the word of offset 8000; 3000000 " +
      "bytes came of 3000000",
    ],
    [{ bytes: 1 }, {}, "1 bytes came of 3000000"],
    [{ bytes: 0 }, { bytes: 0 }, "nothing was transferred"],
    [{ protocol: "tcp" }, {}, "the receiver speaks tcp, not mptcp"],
    [{}, { protocol: "tcp" }, "the sender speaks tcp, not mptcp"],
    [{ subflows: RECEIVED.subflows.slice(1) }, {}, "2 subflows came up, not 3"],
  ];
  for (const [received, sent, message] of cases) {
    const check = () => checkTransfer({ ...RECEIVED, ...received }, { ...SENT, ...sent }, expected);
    assertThrows(check, Error, message);
  }
});

test("a counter of the kernel is found by its name", () => {
  const text = "TcpExt: A B\nTcpExt: 1 2\nMPTcpExt: B C\nMPTcpExt: 3 4\n";
  assertEquals(counterOf(text, "MPTcpExt", "C"), 4);
  assertEquals(counterOf(text, "MPTcpExt", "A"), 0);
  assertEquals(counterOf(text, "Other", "A"), 0);
});

test("rates are taken between samples, and are 0 where nothing came", () => {
  const samples = [[0, 0], [50, 500_000], [150, 1_000_000], [500, 1_000_000], [600, 2_000_000]];
  const rates = ratesOf(samples, 100).map(({ at, rates: [rate] }) => [at, rate]);
  assertEquals(rates, [[100, 60], [200, 20], [300, 0], [400, 0], [500, 0], [600, 80]]);
  assertEquals(ratesOf([], 100), []);
  // A subflow that came later has no count before.
  const [, later] = ratesOf([[0, 0, 0], [100, 10, 10], [200, 20, 15, 1000]], 100);
  assertEquals(later!.rates[1], 5 * 8 / 1000 / 100);
});

function runOf(program: Run["program"], round: number, goodput: number): Run {
  return {
    program,
    buffer: "default",
    round,
    goodput,
    longestGap: 10 * round,
    longestGapAt: 0,
    paths: [1, 2],
    cpu: { sender: 1, receiver: 2 },
    incidents: [],
    busy: 0,
  };
}

test("a ratio is the median of those within rounds", () => {
  const runs = [[100, 90], [50, 50], [10, 20]].flatMap(([theirs, ours], round) => [
    runOf("c", round, theirs!),
    runOf("deno", round, ours!),
  ]);
  assertEquals(ratioToC(runs, "deno", "default"), 1);
  assertEquals(ratioToC(runs, "deno", "raised"), null);
  assertEquals(ratioToC(runs.slice(1), "deno", "default"), 1.5);
  assertEquals(medianOf(runs, ({ goodput }) => goodput), 50);
  assertEquals(medianOf([], () => 1), null);
});

const INCIDENTS = [{ name: "cut", at: 100 }, { name: "healed", at: 200 }];
const SAMPLES = Array.from({ length: 8 }, (_, i) => [50 * i, 3e6 * i, 1e6 * i, 2e6 * i]);

function scenarioOf(name: string, title: string, runs: Run[]): ScenarioResult {
  return { name, title, protocol: "mptcp", rates: [100], seconds: 1, runs, faults: [] };
}

const RESULTS: Results = {
  format: 1,
  machine: {
    date: "2026-11-21T10:00:00.000Z",
    processor: "A Processor",
    cores: 2,
    kernel: "6.18.0",
    congestion: "cubic",
    versions: { c: "cc 12", deno: "2.9.6", bun: "1.4.5" },
  },
  scenarios: [
    scenarioOf("tcp", "TCP, 100", [runOf("c", 0, 95), runOf("deno", 0, 96), runOf("bun", 0, 97)]),
    {
      ...scenarioOf("100+100", "100 & 100", [runOf("c", 0, 190), runOf("deno", 0, 171)]),
      note: "for a reason",
      faults: ["wrong bytes"],
    },
    scenarioOf("cut", "path 2 < cut", [
      { ...runOf("c", 0, 100), incidents: INCIDENTS, samples: SAMPLES },
      { ...runOf("bun", 0, 100), incidents: INCIDENTS, samples: SAMPLES },
    ]),
  ],
};

test("docs/multipath.md has every row, the machine, and where this module is slower", () => {
  const section = pageSection(RESULTS);
  const [heading, , ...rows] = section.split("\n").filter((line) => line.startsWith("|"));
  const cells = (line: string) => line.split("|").slice(1, -1).map((cell) => cell.trim());
  assertEquals(cells(heading!).slice(0, 4), ["paths", "C", "Deno", "Bun"]);
  assertEquals(rows.map(cells), [
    ["TCP, 100", "95.0", "96.0 (1.01)", "97.0 (1.02)", "0 / 0 / 0", "3 / 3 / 3"],
    ["100 & 100", "190.0", "171.0 (0.90)", "failed", "0 / 0 / -", "3 / 3 / -"],
    ["path 2 < cut", "100.0", "failed", "100.0 (1.00)", "0 / - / 0", "3 / - / 3"],
  ]);
  for (
    const text of [
      "2026-11-21: 2 cores of A Processor, Linux 6.18.0, cubic, Deno 2.9.6, Bun 1.4.5, cc 12. " +
      "It was 0 % busy.",
      "C 2.00, Deno 1.78 times",
      "0.99 of the C program: 100 & 100 on Deno (0.900).",
      "- 100 & 100: for a reason.",
      "DSSNotMatching: 1 of 8 transfers",
      "(plots/cut.svg)",
    ]
  ) assert(section.includes(text), `${text} is not in: ${section}`);
});

test("a text goes between its markers, again and again", () => {
  const [begin, end] = ["begin", "end"].map((word) =>
    `<!-- deno task bench:multipath --update-docs: ${word} -->`
  );
  const once = replaceSection(`before\n${begin}\n${end}\nafter`, "text");
  assertEquals(once, `before\n${begin}\n\ntext\n\n${end}\nafter`);
  assertEquals(replaceSection(once, "text"), once);
  assertThrows(() => replaceSection("no markers", "text"), Error, "docs/multipath.md has no");
});

/** Fails unless each tag of an XML text is closed in its turn. */
function assertWellFormed(xml: string): void {
  const open: string[] = [];
  assert(!/&(?!(amp|lt|gt|quot|apos|#\d+);)/.test(xml), "an ampersand is not escaped");
  for (const [, close, name, attributes, empty] of xml.matchAll(TAG)) {
    assert(/^(\s+[\w:-]+="[^"<]*")*\s*$/.test(attributes!), `attributes: ${attributes}`);
    if (close) assertEquals(open.pop(), name);
    else if (!empty) open.push(name!);
  }
  assertEquals(open, []);
  assert(!xml.replaceAll(TAG, "").includes("<"), "a < is not escaped");
}

const TAG = /<(\/?)([\w:-]+)((?:\s+[\w:-]+="[^"]*")*\s*)(\/?)>/g;

test("the plots are small SVG files with a background, axes with units, and a legend", async () => {
  const plots = await drawPlots(RESULTS);
  assertEquals([...plots.keys()], ["goodput.svg", "cut.svg"]);
  const texts: Record<string, string[]> = {
    "goodput.svg": ["Goodput (Mbit/s)", "TCP, 100", "100 &amp; 100", ">C<", ">Deno<", ">Bun<"],
    "cut.svg": [
      "Time (s)",
      "Received (Mbit/s)",
      "path 1",
      "path 2",
      "cut",
      "healed",
      "path 2 &lt;",
    ],
  };
  for (const [name, svg] of plots) {
    assert(svg.startsWith("<svg ") && svg.includes('xmlns="http://www.w3.org/2000/svg"'), name);
    assertWellFormed(svg);
    assert(/<rect[^>]* fill="#ffffff"/.test(svg), `${name} has no background`);
    assert(svg.length < 100_000, `${name} has ${svg.length} bytes`);
    for (const text of texts[name]!) assert(svg.includes(text), `${text} is not in ${name}`);
  }
});

function twoPaths(): Promise<Lab> {
  return createLab({ paths: [{ rate: 100 }, { rate: 100 }] });
}

/** The reference, and this module on the runtime under test. */
const PROGRAMS = ["c", runtime === "deno" ? "deno" : "bun"] as const;

for (const program of PROGRAMS) {
  test(`a transfer by ${program} takes both paths, and is measured`, { skip: noLab }, async () => {
    const [command] = (await findPrograms([program])).values();
    const scenario = SCENARIOS.find(({ name }) => name === "100+100")!;
    await using lab = await twoPaths();
    for (const buffer of ["default", "raised"] as const) {
      const run = await transfer(lab, {
        ...{ scenario, program, command: command!, buffer },
        ...{ round: 0, seconds: 0.4 },
      });
      const [first, second] = run.paths;
      assert(first! > 100_000 && second! > 100_000, `by path: ${run.paths}`);
      assert(run.goodput > 10 && run.goodput < 205, `${run.goodput} Mbit/s`);
      assert(run.longestGap > 0 && run.longestGap < 400, `${run.longestGap} ms`);
      assert(run.cpu.sender > 0 && run.cpu.receiver > 0, JSON.stringify(run.cpu));
    }
  });

  test(`a receiver by ${program} tells where the first wrong bytes are`, {
    skip: noLab,
  }, async () => {
    const [command] = (await findPrograms([program])).values();
    await using lab = await twoPaths();
    await using receiver = new Peer(lab.server, [...command!, "receive", "mptcp", "1", "0"]);
    const { port } = await receiver.next<{ port: number }>();
    using conn = await connectMptcp({
      netns: lab.client.name,
      hostname: lab.server.address(),
      port,
    });
    const words = Uint32Array.from({ length: 20_000 }, (_, i) => i);
    words[15_000] = 77;
    words[16_000] = 0;
    const bytes = new Uint8Array(words.buffer);
    // In parts that cut words, and with the receiver in between.
    await writeAll(conn, bytes.subarray(0, 4001));
    await receiver.next<{ started: number }>();
    await writeAll(conn, bytes.subarray(4001));
    await conn.closeWrite();
    const { bytes: count, wrong } = await receiver.next<Received>();
    assertEquals(count, 80_000);
    assertEquals(wrong, { offset: 60_000, found: 308, words: 2, last: 64_000 });
  });
}

test("the benchmark leaves nothing behind when it is told to end", { skip: noLab }, async () => {
  await using running = new LineProcess([
    ...runtimeCommand(),
    ...["bench/multipath.ts", "--scenarios", "5/50ms", "--runtime", runtime],
  ]);
  await running.nextLine();
  while (!labNamespaces(running.pid).some((name) => name.endsWith("-server"))) await delay(1);
  await running.kill("SIGTERM");
  assertEquals(labNamespaces(running.pid), []);
});
