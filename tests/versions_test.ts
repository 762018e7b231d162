import { assert, assertEquals } from "@std/assert";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import process from "node:process";
import { mptcpSupport } from "../mod.ts";
import { createSigned, noCertificate } from "./certificate.ts";
import { settledFds, test } from "./harness.ts";
import { missingProgram, outside, ROOT, runToEnd } from "./processes.ts";
import { temporaryFolder } from "./temporary.ts";

const PAGE = readFileSync(`${ROOT}docs/kernels.md`, "utf8");
const only = { runtime: "deno", reason: "it runs both runtimes itself" } as const;
const noVersions = missingProgram("npm");
const noMptcp = mptcpSupport().supported ? null : mptcpSupport().fallback!.detail;

/** The rows of the table of versions, its head first. */
const [head, ...rows] = PAGE.split("\n")
  .slice(PAGE.split("\n").findIndex((line) => line.startsWith("| feature ")))
  .filter((_, i, lines) => lines.slice(0, i + 1).every((before) => before.startsWith("|")))
  .filter((line) => !line.startsWith("| -"))
  .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));

/** What the table says of each version. */
const promised = new Map(
  head!.slice(1).map((version, i) => [
    version,
    Object.fromEntries(rows.map(([feature, ...cells]) => [feature!, cells[i]!])),
  ]),
);

interface Line {
  readonly name: string;
  readonly problem: string | null;
}

/** The program of a version, from npm; kept in the user's cache from one run to the next. */
async function install(title: string): Promise<string> {
  const [name, version] = title.toLowerCase().split(" ");
  const cache = process.env.XDG_CACHE_HOME ?? `${homedir()}/.cache`;
  const folder = `${cache}/mptcp-tests/${name}-${version}`;
  const program = `${folder}/node_modules/.bin/${name}`;
  if (!existsSync(program)) {
    const { status, stderr } = await runToEnd(outside([
      ..."npm install --silent --no-audit --no-fund --prefix".split(" "),
      folder,
      `${name}@${version}`,
    ]));
    assertEquals(status, 0, stderr);
  }
  return program;
}

test("the table of versions is about the oldest and the newest", () => {
  assertEquals([...promised.keys()].map((name) => name.split(" ")[0]), [
    ..."Deno Deno Deno Bun Bun Bun".split(" "),
  ]);
  assert(rows.length >= 8 && rows.flat().length === rows.length * head!.length);
});

test("every version of the table can be had from npm", {
  only,
  skip: noVersions,
  timeout: 120_000,
}, async () => {
  const programs = await Promise.all([...promised.keys()].map(install));
  assertEquals(new Set(programs).size, promised.size);
});

for (const [title, features] of promised) {
  const [name] = title.toLowerCase().split(" ");
  test(`${title} can do what docs/kernels.md says, and no more`, {
    only,
    skip: noVersions ?? noMptcp ?? noCertificate,
    timeout: 120_000,
  }, async () => {
    using folder = temporaryFolder();
    const { ca, cert, key } = createSigned();
    const paths = Object.entries({ ca, cert, key }).map(([name, text]) => {
      writeFileSync(folder.at(name), text);
      return folder.at(name);
    });
    const program = await install(title);
    // The settings of tests in deno.json are newer than the oldest version, which takes no others.
    const config = folder.at("deno.json");
    const { imports, compilerOptions } = JSON.parse(readFileSync(`${ROOT}deno.json`, "utf8"));
    const absolute = Object.entries(imports as Record<string, string>)
      .map(([name, path]) => [name, new URL(path, `file://${ROOT}`).href]);
    const settings = { imports: Object.fromEntries(absolute), compilerOptions };
    writeFileSync(config, JSON.stringify(settings));
    const flags = name === "deno" ? ["-A", "--no-check", "--no-lock", "--config", config] : [];
    const command = [program, "run", ...flags, `${ROOT}tests/features.ts`, ...paths];
    const { stdout, stderr } = await runToEnd(command);
    const lines = stdout.trim().split("\n").map((line) => JSON.parse(line) as Line);
    const found = lines.map(({ name, problem }) => [name, problem === null ? "yes" : "no"]);
    assertEquals(Object.fromEntries(found), features, `${stdout}${stderr}`);
    await settledFds();
  });
}
