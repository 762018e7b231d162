import { assert, assertEquals } from "@std/assert";
import {
  isBinaryExpression,
  isCallExpression,
  isIdentifier,
  isNumericLiteral,
  isPrefixUnaryExpression,
  isPropertyAccessExpression,
  isStringLiteral,
  type Node,
  type SourceFile,
  SyntaxKind,
} from "typescript/unstable/ast";
import { test } from "./harness.ts";
import { importsOf, locate, nodesOf, parseSources } from "./sources.ts";

/** What each file imports. */
type Graph = ReadonlyMap<string, readonly string[]>;

/** From the bottom to the top. A file may reach what is below it, and what is beside it. */
const LAYERS = [
  ["ffi/"],
  ["src/socket.ts"],
  ["src/reactor.ts"],
  ["src/conn.ts", "src/listener.ts"],
  ["src/listen.ts", "src/connect.ts"],
  ["mod.ts"],
  ["src/http/", "src/proxy/"],
  ["src/cli/"],
] as const;

/** The layer of a file; `undefined` where it is on none and lies between those that it joins. */
function layerOf(path: string): number | undefined {
  const layer = LAYERS.findIndex((names) =>
    names.some((name) => name === path || (name.endsWith("/") && path.startsWith(name)))
  );
  return layer < 0 ? undefined : layer;
}

/** The highest layer that files on none may reach: `mod.ts` is for users. */
const HIGHEST_BELOW_MOD = layerOf("mod.ts")! - 1;

/** Every way down from a file: the files on it, the last one being what is reached. */
function waysFrom(graph: Graph, start: string): string[][] {
  const ways = new Map([[start, [start]]]);
  // A Map takes new entries while it is walked.
  for (const [path, way] of ways) {
    for (const next of graph.get(path) ?? []) {
      if (!ways.has(next)) ways.set(next, [...way, next]);
    }
  }
  return [...ways.values()].slice(1);
}

function cyclesIn(graph: Graph): string[] {
  return [...graph.keys()].flatMap((start) => {
    const imports = graph.get(start)!;
    const back = imports.includes(start)
      ? [start]
      : waysFrom(graph, start).find((way) => graph.get(way.at(-1)!)?.includes(start));
    return back === undefined ? [] : [[...back, start].join(" > ")];
  });
}

function backEdgesIn(graph: Graph): string[] {
  return [...graph.keys()].flatMap((start) => {
    const layer = layerOf(start) ?? HIGHEST_BELOW_MOD;
    return waysFrom(graph, start)
      .filter((way) => (layerOf(way.at(-1)!) ?? 0) > layer)
      .map((way) => way.join(" > "));
  });
}

function graphOf(edges: Record<string, string[]>): Graph {
  return new Map(Object.entries(edges));
}

const sources = await parseSources();
const graph: Graph = new Map([...sources].map(([path, tree]) => [path, importsOf(path, tree)]));

/** The trees outside `ffi`. */
const aboveFfi = [...sources].filter(([path]) => layerOf(path) !== 0);

/** The places in the trees that a rule finds something at. */
function placesOf(trees: Iterable<[string, SourceFile]>, rule: (node: Node) => boolean): string[] {
  return [...trees].flatMap(([path, tree]) =>
    [...nodesOf(tree)].filter(rule).map((node) => locate(path, node))
  );
}

test("cycles and back edges are found where there are some", () => {
  const cycle = graphOf({ "a.ts": ["b.ts"], "b.ts": ["c.ts"], "c.ts": ["b.ts", "node:net"] });
  assertEquals(cyclesIn(cycle), ["b.ts > c.ts > b.ts", "c.ts > b.ts > c.ts"]);
  assertEquals(cyclesIn(graphOf({ "a.ts": ["a.ts"] })), ["a.ts > a.ts"]);
  const upwards = graphOf({
    "ffi/a.ts": [],
    "src/conn.ts": ["src/between.ts", "src/listener.ts", "src/socket.ts"],
    "src/between.ts": ["src/listen.ts"],
    "src/beside.ts": ["mod.ts"],
    "src/http/a.ts": ["mod.ts"],
    "src/socket.ts": ["ffi/a.ts"],
  });
  assertEquals(backEdgesIn(upwards), [
    "src/conn.ts > src/between.ts > src/listen.ts",
    "src/beside.ts > mod.ts",
  ]);
});

test("the graph has every import, those of types and re-exports too", () => {
  assert(graph.size > 20);
  assert(graph.get("mod.ts")!.includes("src/types.ts"));
  assert(graph.get("src/conn.ts")!.includes("src/types.ts"));
  assert(graph.get("src/connect.ts")!.includes("ffi/abi.ts"));
  const missing = [...graph.values()].flat().filter((path) =>
    path.endsWith(".ts") && !graph.has(path)
  );
  assertEquals(missing, []);
});

test("no file imports itself by way of others", () => {
  assertEquals(cyclesIn(graph), []);
});

test("no layer reaches one above it", () => {
  assertEquals(backEdgesIn(graph), []);
});

/** What some files alone may import; types may be in several files. */
const ALONE: readonly (readonly [files: RegExp, imports: RegExp])[] = [
  [/^ffi\//, /^(ffi\/|node:)/],
  [/^src\/error\.ts$/, /^$/],
  [/^src\/(.*[/_])?types\.ts$/, /^src\/(.*[/_])?types\.ts$/],
];

test("ffi stands alone, and so do types, and errors", () => {
  for (const [files, allowed] of ALONE) {
    const chosen = [...graph].filter(([path]) => files.test(path));
    assert(chosen.length > 0, String(files));
    const strays = chosen.flatMap(([path, imports]) =>
      imports.filter((name) => !allowed.test(name)).map((name) => `${path} > ${name}`)
    );
    assertEquals(strays, []);
  }
});

test("mod.ts needs no package at run time", () => {
  const packages = waysFrom(graph, "mod.ts").filter((way) => !/^node:|\.ts$/.test(way.at(-1)!));
  assertEquals(packages, []);
});

/** `Deno`, `Bun`, "bun:ffi" in code. */
function namesRuntime(node: Node): boolean {
  if (isIdentifier(node)) return /^(deno|bun)$/i.test(node.text);
  return isStringLiteral(node) && /^(deno|bun)$|^bun:/i.test(node.text);
}

test("only ffi names a runtime", () => {
  assertEquals(placesOf(aboveFfi, namesRuntime), []);
  for (const path of ["ffi/libc_deno.ts", "ffi/libc_bun.ts"]) {
    assert(placesOf([[path, sources.get(path)!]], namesRuntime).length > 0, path);
  }
});

/** Calls and the arguments of them that are constants of C. */
const CONSTANT_ARGUMENTS: Readonly<Record<string, readonly number[]>> = {
  openSocket: [0, 1],
  socket: [0, 1, 2],
  getIntOption: [1, 2],
  setIntOption: [1, 2],
  getOption: [1, 2],
  getsockopt: [1, 2],
  setsockopt: [1, 2],
};

/** A number in the place of an offset, other than that of the first field, or of a constant of C. */
function namesOffsetOrConstant(node: Node): boolean {
  if (!isCallExpression(node)) return false;
  const callee = isPropertyAccessExpression(node.expression)
    ? node.expression.name
    : node.expression;
  const name = callee.getText();
  const [first] = node.arguments;
  if (/^[gs]et(Big)?(Int|Uint)\d+$/.test(name)) {
    return first !== undefined && isNumericLiteral(first) && first.text !== "0";
  }
  if (!Object.hasOwn(CONSTANT_ARGUMENTS, name)) return false;
  return CONSTANT_ARGUMENTS[name]!.some((i) => {
    const argument = node.arguments[i];
    return argument !== undefined && isNumericLiteral(argument);
  });
}

/** A result compared with a negative number, as `-11`: what fails is `-errno`, -1 is never. */
function comparesErrno(node: Node): boolean {
  return isBinaryExpression(node) &&
    [node.left, node.right].some((operand) =>
      isPrefixUnaryExpression(operand) && operand.operator === SyntaxKind.MinusToken &&
      isNumericLiteral(operand.operand) && operand.operand.text !== "1"
    );
}

test("only ffi has offsets, constants of C and errno numbers", () => {
  assertEquals(placesOf(aboveFfi, namesOffsetOrConstant), []);
  assertEquals(placesOf(aboveFfi, comparesErrno), []);
});
