import { assert } from "@std/assert";
import { fileURLToPath } from "node:url";
import { test } from "./harness.ts";
import { mutate } from "./mutants/mutate.ts";
import { MUTANTS } from "./mutants/table.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

test("every mistake of the table of mutants can still be made", () => {
  for (const mutant of MUTANTS) assert(mutate(ROOT, mutant).includes(mutant.replace));
});
