import { assert, assertEquals } from "@std/assert";
import { posix } from "node:path";
import {
  isBinaryExpression,
  isCallExpression,
  isIdentifier,
  isNumericLiteral,
  isPrefixUnaryExpression,
  isPropertyAccessExpression,
  isStringLiteral,
  isTypeReferenceNode,
  type Node,
  type SourceFile,
  SyntaxKind,
} from "typescript/unstable/ast";
import { Arguments } from "../src/cli/args/arguments.ts";
import { test } from "./harness.ts";
import { importsOf, locate, nodesOf, parseSources } from "./sources.ts";

/** What each file imports. */
type Graph = ReadonlyMap<string, readonly string[]>;

/** What a room may import beside itself: other rooms, by their names. */
const ROOMS: Readonly<Record<string, readonly string[]>> = {
  "ffi/linux": [],
  "ffi/guest": ["ffi/linux", "ffi"],
  "ffi/deno": ["ffi/linux", "ffi/guest", "ffi"],
  "ffi/bun": ["ffi/linux", "ffi/guest", "ffi"],
  "ffi/node": ["ffi/linux", "ffi/guest", "ffi"],
  "ffi": ["ffi/linux", "ffi/guest", "ffi/deno", "ffi/bun", "ffi/node"],
  "src": ["ffi/linux"],
  "src/poll": ["ffi", "src"],
  "src/netlink": ["ffi", "src", "src/poll"],
  "src/kernel": ["ffi", "src", "src/poll", "src/netlink"],
  "src/policy": ["ffi", "src", "src/poll", "src/kernel"],
  "src/support": ["ffi", "src", "src/poll", "src/kernel", "src/policy"],
  "src/net": ["ffi", "src", "src/poll", "src/kernel", "src/policy"],
  "mod.ts": ["src", "src/kernel", "src/net", "src/support"],
  "src/path_manager": [
    "ffi",
    "src",
    "src/poll",
    "src/netlink",
    "src/kernel",
    "src/policy",
    "src/net",
    "src/path_manager/manage",
  ],
  "src/path_manager/manage": [
    "ffi",
    "src",
    "src/poll",
    "src/netlink",
    "src/kernel",
    "src/net",
    "src/path_manager",
  ],
  "src/http": ["ffi", "src", "src/poll", "src/kernel", "src/policy", "src/net"],
  "src/proxy": ["ffi", "src", "src/poll", "src/kernel", "src/policy", "src/net"],
  "src/node": ["ffi", "src", "src/poll", "src/kernel", "src/policy", "src/net"],
  "src/cli": [
    "src",
    "src/poll",
    "src/kernel",
    "src/policy",
    "src/net",
    "mod.ts",
    "src/path_manager",
    "src/http",
    "src/proxy",
  ],
};

/** The room of a file; `undefined` where it is in none: the folder has to be put into the table. */
function roomOf(path: string): string | undefined {
  if (path === "mod.ts") return path;
  const folders = posix.dirname(path).split("/");
  // An entry point is one room, however many folders it has.
  const depth = folders[0] === "src" ? 2 : folders.length;
  const room = folders.slice(0, depth).join("/");
  return Object.hasOwn(ROOMS, room) ? room : undefined;
}

/** Types have no code: files that hold them alone may name one another, wherever they are. */
function holdsTypes(path: string): boolean {
  return /^src\/(.*[/_])?types\.ts$/.test(path);
}

/** Whether a file in `room` may import `path`, a file of this project. */
function mayImport(room: string, path: string): boolean {
  const target = roomOf(path);
  if (target === undefined) return false;
  if (target === room) return true;
  const allowed = ROOMS[room]!;
  // What lies above ffi sees it as one.
  return allowed.includes(target) ||
    (!room.startsWith("ffi") && target.startsWith("ffi/") && allowed.includes("ffi"));
}

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
  return [...graph].flatMap(([path, imports]) => {
    const room = roomOf(path);
    if (room === undefined) return [`${path} is in no room`];
    return imports
      .filter((name) => name.endsWith(".ts"))
      .filter((name) => !mayImport(room, name) && !(holdsTypes(path) && holdsTypes(name)))
      .map((name) => `${path} > ${name}`);
  });
}

function graphOf(edges: Record<string, string[]>): Graph {
  return new Map(Object.entries(edges));
}

const sources = await parseSources();
const graph: Graph = new Map([...sources].map(([path, tree]) => [path, importsOf(path, tree)]));

/** The trees outside `ffi`. */
const aboveFfi = [...sources].filter(([path]) => !path.startsWith("ffi/"));

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
    "ffi/linux/a.ts": ["ffi/runtime.ts"],
    "src/poll/a.ts": ["ffi/linux/a.ts", "src/error.ts", "src/net/types.ts", "node:net"],
    "src/kernel/a.ts": ["src/policy/a.ts"],
    "src/kernel/types.ts": ["src/support/types.ts"],
    "src/http/a.ts": ["src/net/a.ts", "src/proxy/a.ts", "mod.ts"],
    "src/attic/a.ts": [],
    "src/cli/get/a.ts": ["src/cli/ui/a.ts", "src/http/a.ts", "mod.ts"],
  });
  assertEquals(backEdgesIn(upwards), [
    "ffi/linux/a.ts > ffi/runtime.ts",
    "src/poll/a.ts > src/net/types.ts",
    "src/kernel/a.ts > src/policy/a.ts",
    "src/http/a.ts > src/proxy/a.ts",
    "src/http/a.ts > mod.ts",
    "src/attic/a.ts is in no room",
  ]);
});

test("the graph has every import, those of types and re-exports too", () => {
  assert(graph.size > 20);
  assert(graph.get("mod.ts")!.includes("src/types.ts"));
  assert(graph.get("src/net/conn.ts")!.includes("src/types.ts"));
  assert(graph.get("src/net/connect.ts")!.includes("ffi/linux/abi.ts"));
  const missing = [...graph.values()].flat().filter((path) =>
    path.endsWith(".ts") && !graph.has(path)
  );
  assertEquals(missing, []);
});

test("no file imports itself by way of others", () => {
  assertEquals(cyclesIn(graph), []);
});

test("every file is in a room, and no room reaches one above it", () => {
  assertEquals(backEdgesIn(graph), []);
});

/** What some files alone may import; types may be in several files. */
const ALONE: readonly (readonly [files: RegExp, imports: RegExp])[] = [
  [/^ffi\//, /^(ffi\/|node:)/],
  [/^src\/error\.ts$/, /^(src\/(types|show)|ffi\/linux\/errno)\.ts$/],
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
  for (const path of ["ffi/deno/libc.ts", "ffi/bun/libc.ts"]) {
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

/** Where command lines are read: the parser, the program, and the door of each command. */
const DOORS = /^src\/cli\/(args\/\w+|mod|[a-z]+\/([a-z]+_)?options)\.ts$/;

/** A look at the arguments of a command line: `args.has("json")`, `args.operands`. */
function readsArguments(node: Node): boolean {
  return isPropertyAccessExpression(node) && isIdentifier(node.expression) &&
    node.expression.text === "args" && ARGUMENT_MEMBERS.has(node.name.text);
}

const ARGUMENT_MEMBERS: ReadonlySet<string> = new Set(
  Object.getOwnPropertyNames(
    Arguments.prototype,
  ).filter((name) => name !== "constructor").concat("operands"),
);

test("only the options.ts of a command looks at its arguments", () => {
  const inside = [...sources].filter(([path]) => /^src\/cli\//.test(path) && !DOORS.test(path));
  assertEquals(placesOf(inside, readsArguments), []);
  const doors = [...sources].filter(([path]) => DOORS.test(path));
  assert(placesOf(doors, readsArguments).length > 50);
  const keeps = placesOf(
    inside,
    (node) => isTypeReferenceNode(node) && node.getText() === "Arguments",
  );
  // The description of a command says what it is run with.
  assertEquals(keeps, []);
});
