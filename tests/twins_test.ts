import { assert, assertEquals } from "@std/assert";
import {
  isFunctionDeclaration,
  isInterfaceDeclaration,
  isObjectLiteralExpression,
  isReturnStatement,
  isVariableStatement,
  type SourceFile,
} from "typescript/unstable/ast";
import { test } from "./harness.ts";
import { nameOf, nodesOf, parseSources } from "./sources.ts";

/** Names with the runtime's taken out: `denoFfi` and `bunFfi` are twins. */
function neutral(name: string): string {
  return name.replace(/deno|bun|node/gi, "*");
}

/** The names that a file exports, in its order. */
function exportsOf(tree: SourceFile): string[] {
  return tree.statements
    .filter((statement) => /^export /.test(statement.getText()))
    .map((statement) => {
      if (isVariableStatement(statement)) {
        return statement.declarationList.declarations[0]!.name.getText();
      }
      return nameOf(statement);
    });
}

/** The members of an interface, in its order. */
function membersOf(tree: SourceFile, name: string): string[] {
  const found = tree.statements.find((statement) =>
    isInterfaceDeclaration(statement) && statement.name.text === name
  );
  assert(found !== undefined && isInterfaceDeclaration(found), `there is no interface ${name}`);
  return found.members.map(nameOf);
}

/** The members of the object that a function returns, in its order. */
function returnedMembers(tree: SourceFile, name: string): string[] {
  const found = tree.statements.find((statement) =>
    isFunctionDeclaration(statement) && statement.name?.text === name
  );
  assert(found !== undefined && isFunctionDeclaration(found), `there is no function ${name}`);
  const returned = found.body?.statements.find(isReturnStatement)?.expression;
  assert(returned && isObjectLiteralExpression(returned), `${name} returns no object`);
  return returned.properties.map(nameOf);
}

/** The keys of a table, in its order. */
function keysOf(tree: SourceFile, name: string): string[] {
  const declared = tree.statements.filter(isVariableStatement)
    .flatMap(({ declarationList }) => [...declarationList.declarations])
    .find((declaration) => declaration.name.getText() === name);
  const table = [...nodesOf(declared!)].find(isObjectLiteralExpression);
  return table!.properties.map(nameOf);
}

const sources = await parseSources();
const RUNTIMES = ["deno", "bun", "node"] as const;

/** What fills in each contract: "libc.ts" is in the folder of every runtime. */
const TWINS = ["http.ts", "libc.ts", "tcp.ts", "waker.ts"];

test("twins export the same names in the same order", () => {
  for (const name of TWINS) {
    const [names, ...others] = RUNTIMES.map((runtime) => {
      const tree = sources.get(`ffi/${runtime}/${name}`);
      assert(tree !== undefined, `${runtime} has no ${name}`);
      return exportsOf(tree).map(neutral);
    });
    for (const other of others) assertEquals(other, names, name);
  }
});

test("what is no twin is known: what Bun lacks of the contracts, and Deno's resources", () => {
  const others = [...sources.keys()].filter((path) =>
    /^ffi\/(deno|bun|node)\//.test(path) && !TWINS.includes(path.split("/")[2]!)
  );
  assertEquals(others, [
    "ffi/bun/server_websocket.ts",
    "ffi/bun/tcp_conn.ts",
    "ffi/deno/resource.ts",
  ]);
});

test("the calls are the methods of the contract, in its order, and so are the C functions", () => {
  const tree = sources.get("ffi/linux/calls.ts")!;
  const contract = membersOf(sources.get("ffi/linux/libc.ts")!, "Libc");
  assertEquals(returnedMembers(tree, "createLibc"), contract);
  const symbols = keysOf(tree, "SIGNATURES");
  const shared = symbols.filter((name) => contract.includes(name));
  assertEquals(shared, contract.filter((name) => shared.includes(name)));
});
