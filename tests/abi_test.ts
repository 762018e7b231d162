import { assert, assertEquals } from "@std/assert";
import process from "node:process";
import * as abi from "../ffi/abi.ts";
import {
  assertOnAarch64,
  evaluate,
  type Expressions,
  hasAarch64Compiler,
  noCompiler,
} from "./c_compiler.ts";
import { test } from "./harness.ts";

/** The numbers of `abi.ts`: "AF_INET", and of structs "linger.size" and "linger.l_onoff". */
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
      throw new TypeError(`abi.ts exports ${name}, which is no constant and no struct`);
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

/** `abi.ts` as it is where `process.arch` is another. */
async function abiOf(arch: "x64" | "arm64"): Promise<typeof abi> {
  const here = Object.getOwnPropertyDescriptor(process, "arch")!;
  Object.defineProperty(process, "arch", { value: arch, configurable: true });
  try {
    return await import(`../ffi/abi.ts?arch=${arch}`);
  } finally {
    Object.defineProperty(process, "arch", here);
  }
}

test(
  "the C compiler agrees with every constant, size and offset of abi.ts",
  { skip: noCompiler },
  () => {
    const numbers = numbersOf(abi);
    assert(Object.keys(numbers).length > 100);
    assertEquals(numbers, evaluate(expressionsOf(Object.keys(numbers))));
  },
);

test("aarch64 has the constants, sizes and offsets of abi.ts", { skip: noCompiler }, async () => {
  const arm64 = await abiOf("arm64");
  const x64 = await abiOf("x64");
  const { epoll_event } = arm64;
  assertEquals(numbersOf({ ...x64, epoll_event }), numbersOf(arm64));

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
