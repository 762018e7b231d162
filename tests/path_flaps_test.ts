import { assert, assertEquals } from "@std/assert";
import { test } from "./harness.ts";
import { flap } from "./path_flaps.ts";
import { noPaths } from "./path_lab.ts";

test("links, addresses and routes that come and go leave no stale endpoint, and a transfer whole", {
  skip: noPaths,
}, async () => {
  const { bytes, wrong, mismatches } = await flap(30, 7);
  assert(bytes > 1 << 20, `Only ${bytes} bytes came`);
  // Where the receiving kernel itself says that it mixed up mappings, no program can do better.
  if (mismatches === 0) assertEquals(wrong, 0);
});
