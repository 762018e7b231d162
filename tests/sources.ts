/**
 * The project's own sources, as the TypeScript compiler parses them.
 *
 * @module
 */

import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { posix } from "node:path";
import {
  isCallExpression,
  isExportDeclaration,
  isImportDeclaration,
  isImportTypeNode,
  isLiteralTypeNode,
  isStringLiteral,
  type Node,
  type SourceFile,
  SyntaxKind,
} from "typescript/unstable/ast";
import { API } from "typescript/unstable/async";
import { ROOT } from "./processes.ts";

/** Syntax trees by their paths from the top folder, as "src/net/conn.ts". */
export type Sources = ReadonlyMap<string, SourceFile>;

/** Parses `mod.ts`, `ffi` and `src`. */
export async function parseSources(): Promise<Sources> {
  const api = new API({ cwd: ROOT });
  try {
    const snapshot = await api.updateSnapshot({ openProjects: [`${ROOT}tsconfig.json`] });
    const [project] = snapshot.getProjects();
    const sources = new Map<string, SourceFile>();
    for (const path of ["mod.ts", ...filesBelow("ffi"), ...filesBelow("src")]) {
      const tree = await project?.program.getSourceFile(ROOT + path);
      if (tree === undefined) throw new Error(`tsconfig.json does not include ${path}`);
      sources.set(path, tree);
    }
    return sources;
  } finally {
    await close(api);
  }
}

/** Closes the API and waits for its process, which `close` alone does not: it would end in a test. */
async function close(api: API): Promise<void> {
  const { process } = (api as unknown as { client: { process: ChildProcess } }).client;
  const closed = once(process, "close");
  await api.close();
  await closed;
}

function filesBelow(folder: string): string[] {
  return readdirSync(ROOT + folder, { recursive: true })
    .map((name) => `${folder}/${name}`)
    .filter((path) => path.endsWith(".ts"))
    .sort();
}

/** Every node of a tree, parents before children. Comments are no nodes. */
export function* nodesOf(node: Node): Generator<Node> {
  yield node;
  const children: Node[] = [];
  node.forEachChild((child) => void children.push(child));
  for (const child of children) yield* nodesOf(child);
}

/**
 * What a file imports and re-exports, types too: paths from the top folder, and the names of
 * packages and built-in modules.
 */
export function importsOf(path: string, tree: SourceFile): string[] {
  return [...nodesOf(tree)].map(specifierOf).filter((name) => name !== undefined).map((name) =>
    name.startsWith(".") ? posix.join(posix.dirname(path), name) : name
  );
}

function specifierOf(node: Node): string | undefined {
  let specifier: Node | undefined;
  if (isImportDeclaration(node) || isExportDeclaration(node)) specifier = node.moduleSpecifier;
  else if (isImportTypeNode(node) && isLiteralTypeNode(node.argument)) {
    specifier = node.argument.literal;
  } else if (isCallExpression(node) && node.expression.kind === SyntaxKind.ImportKeyword) {
    specifier = node.arguments[0];
  }
  return specifier !== undefined && isStringLiteral(specifier) ? specifier.text : undefined;
}

/** The name that a declaration or a member has. */
export function nameOf(node: Node): string {
  return (node as unknown as { name: Node }).name.getText();
}

/** Where a node is, for a message: "src/net/conn.ts:12: Deno". */
export function locate(path: string, node: Node): string {
  const before = node.getSourceFile().text.slice(0, node.getStart());
  return `${path}:${before.split("\n").length}: ${node.getText()}`;
}
