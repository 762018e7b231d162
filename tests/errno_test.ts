import { assert, assertEquals } from "@std/assert";
import { eaiError, ERRNO, errnoClass, errnoName, errnoText } from "../ffi/linux/errno.ts";
import { evaluate, noCompiler, printed } from "./c_compiler.ts";
import { test } from "./harness.ts";

/** The `code` of each result of `getaddrinfo`: its own C name, or Node's for a name that is not there. */
const EAI_CODES: Readonly<Record<string, string>> = {
  EAI_BADFLAGS: "EAI_BADFLAGS",
  EAI_NONAME: "ENOTFOUND",
  EAI_AGAIN: "EAI_AGAIN",
  EAI_FAIL: "EAI_FAIL",
  EAI_NODATA: "ENOTFOUND",
  EAI_FAMILY: "EAI_FAMILY",
  EAI_SOCKTYPE: "EAI_SOCKTYPE",
  EAI_SERVICE: "EAI_SERVICE",
  EAI_MEMORY: "EAI_MEMORY",
  EAI_SYSTEM: "EAI_SYSTEM",
  EAI_OVERFLOW: "EAI_OVERFLOW",
};

const names = Object.keys(ERRNO);
const eaiNames = Object.keys(EAI_CODES);

/** musl words its messages its own way. */
const noGlibc = noCompiler ??
  (printed(['#ifdef __GLIBC__\nputs("glibc");\n#else\nputs("");\n#endif'])[0] === "glibc"
    ? null
    : "only glibc has these texts");

test("errno.h agrees with every number of errno.ts", { skip: noCompiler }, () => {
  const numbers = evaluate(Object.fromEntries(names.map((name) => [name, name])));
  assertEquals<Record<string, number>>(ERRNO, numbers);
});

test("every errno is called by its C name", () => {
  for (const [name, errno] of Object.entries(ERRNO)) assertEquals(errnoName(errno), name);
  assertEquals(errnoName(4095), "E4095");
});

test("every errno has the text of strerror", { skip: noGlibc }, () => {
  const numbers = [...Object.values(ERRNO), 4095];
  const texts = printed(numbers.map((errno) => `puts(strerror(${errno}));`));
  for (const [i, errno] of numbers.entries()) {
    // glibc adds the number to what it does not know.
    const text = texts[i]!.replace(/^(Unknown error) \d+$/, "$1");
    assertEquals(errnoText(errno), `${text} (os error ${errno})`);
  }
});

test("netdb.h agrees with every code of a failed getaddrinfo", { skip: noCompiler }, () => {
  const results = evaluate(Object.fromEntries(eaiNames.map((name) => [name, name])));
  for (const [name, code] of Object.entries(EAI_CODES)) {
    assertEquals(eaiError(results[name]!).code, code, name);
  }
  assertEquals(eaiError(-4095), { code: "EAI_FAIL", text: "Unknown error -4095" });
});

test("every result of getaddrinfo has the text of gai_strerror", { skip: noGlibc }, () => {
  // glibc has no words for EAI_OVERFLOW.
  const worded = eaiNames.filter((name) => name !== "EAI_OVERFLOW");
  const texts = printed(worded.map((name) => `puts(gai_strerror(${name}));`));
  const results = evaluate(Object.fromEntries(worded.map((name) => [name, name])));
  for (const [i, name] of worded.entries()) {
    assertEquals(eaiError(results[name]!).text, texts[i], name);
  }
});

test("every class of an errno is one of Deno.errors", {
  only: { runtime: "deno", reason: "they are Deno's classes" },
}, () => {
  const { errors } = (globalThis as unknown as { Deno: { errors: object } }).Deno;
  for (const name of names) {
    const errorClass = errnoClass(name);
    assert(errorClass === "MptcpError" || errorClass in errors, `${name}: ${errorClass}`);
  }
});
