import { assert, assertEquals } from "@std/assert";
import { readdirSync } from "node:fs";
import process from "node:process";
import {
  assertOnAarch64,
  evaluate,
  type Expressions,
  hasAarch64Compiler,
  noCompiler,
} from "./c_compiler.ts";
import { test } from "./harness.ts";

/** The files of constants and layouts. */
const FILES = readdirSync(new URL("../ffi/linux", import.meta.url)).filter((name) =>
  /^abi.*\.ts$/.test(name)
);

/** Every number there is: "AF_INET", and of structs "linger.size" and "linger.l_onoff". */
function numbersOf(exports: object): Record<string, number> {
  const numbers: Record<string, number> = {};
  for (const [name, value] of Object.entries(exports)) {
    if (typeof value === "number") {
      numbers[name] = value;
    } else if (typeof value === "object" && "size" in value) {
      for (const [field, offset] of Object.entries(value)) {
        numbers[`${name}.${field}`] = offset as number;
      }
    } else {
      throw new TypeError(`${name} is no constant and no struct`);
    }
  }
  return numbers;
}

/** What each of these is in C. */
function expressionsOf(names: string[]): Expressions {
  return Object.fromEntries(names.map((name) => [name, expressionOf(name)]));
}

function expressionOf(name: string): string {
  const [constant, field] = name.split(".") as [string, string?];
  // The kernel's is unsigned; JavaScript's bitwise operators give, and take, the signed number.
  if (constant === "EPOLLET") return "(int32_t)EPOLLET";
  if (field === undefined) return constant;
  return field === "size" ? `sizeof(struct ${constant})` : `offsetof(struct ${constant}, ${field})`;
}

/** What the files export where `process.arch` is that. */
async function abiOf(arch: string): Promise<Abi> {
  const here = Object.getOwnPropertyDescriptor(process, "arch")!;
  Object.defineProperty(process, "arch", { value: arch, configurable: true });
  try {
    const modules = await Promise.all(
      FILES.map((file) => import(`../ffi/linux/${file}?arch=${arch}`)),
    );
    return Object.assign({}, ...modules);
  } finally {
    Object.defineProperty(process, "arch", here);
  }
}

/** What is exported, by name; one struct differs between machines. */
type Abi = Record<string, unknown> & { epoll_event: object };

test(
  "the C compiler agrees with every constant, size and offset",
  { skip: noCompiler },
  async () => {
    const numbers = numbersOf(await abiOf(process.arch));
    assert(Object.keys(numbers).length > 100);
    assertEquals(numbers, evaluate(expressionsOf(Object.keys(numbers))));
  },
);

test("aarch64 has the same constants, sizes and offsets but for one struct", {
  skip: noCompiler,
}, async () => {
  const arm64 = await abiOf("arm64");
  const { epoll_event } = arm64;
  assertEquals(numbersOf({ ...await abiOf("x64"), epoll_event }), numbersOf(arm64));

  const names = Object.keys(numbersOf({ epoll_event }));
  const natural = expressionsOf(names.map((name) => name.replace(".", "_of_aarch64.")));
  assertEquals(Object.values(numbersOf({ epoll_event })), Object.values(evaluate(natural)));

  if (!hasAarch64Compiler) return;
  const numbers = numbersOf(arm64);
  assertOnAarch64(expressionsOf(Object.keys(numbers)), numbers);
});

test("x86-64 packs struct epoll_event and aarch64 does not", async () => {
  assertEquals((await abiOf("x64")).epoll_event, { size: 12, events: 0, data: 4 });
  assertEquals((await abiOf("arm64")).epoll_event, { size: 16, events: 0, data: 8 });
});
