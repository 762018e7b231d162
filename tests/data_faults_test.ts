import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { readFileSync, writeFileSync } from "node:fs";
import { libc } from "../ffi/runtime.ts";
import { mptcpSupport } from "../mod.ts";
import { dataWarnings } from "../src/kernel/data_faults.ts";
import { watchDataFaults } from "../src/path_manager/mod.ts";
import { mptcp } from "./cli.ts";
import { stubLibc } from "./faults.ts";
import { test } from "./harness.ts";
import { temporaryFolder } from "./temporary.ts";

const noMptcp = mptcpSupport().fallback?.detail ?? null;
const { open } = libc();

/** The kernel's counters with another DSSNotMatching. */
function withMismatches(count: number): string {
  const lines = readFileSync("/proc/self/net/netstat", "utf8").split("\n");
  const at = lines.findIndex((line) => line.startsWith("MPTcpExt:"));
  const names = lines[at]!.split(" ");
  const values = lines[at + 1]!.split(" ");
  values[names.indexOf("DSSNotMatching")] = String(count);
  lines[at + 1] = values.join(" ");
  return lines.join("\n");
}

test("kernels are warned about that are known, or suspected, to deliver wrong bytes", () => {
  const warned = (kernel: string | null) => dataWarnings(kernel, {}).length === 1;
  for (const kernel of ["6.18.44", "6.18.15+deb14-amd64", "6.14.0", "7.2.1"]) {
    assert(warned(kernel), kernel);
  }
  for (
    const kernel of ["5.10.0-32", "6.1.0", "6.12.117", "6.13.0", "7.3.4", "8.0", null, "strange"]
  ) {
    assert(!warned(kernel), String(kernel));
  }
  assertStringIncludes(dataWarnings("6.18.1", {})[0]!, "Linux 6.18 can deliver");
  assertStringIncludes(dataWarnings("6.19.1", {})[0]!, "Linux 6.19 may deliver");
});

test("mptcpSupport and mptcp check show contradictory mappings, and what they hint at", {
  skip: noMptcp,
}, async () => {
  using folder = temporaryFolder();
  writeFileSync(folder.at("netstat"), withMismatches(3));
  using _ = stubLibc({
    open: (path, flags) => open(path.includes("netstat") ? folder.at("netstat") : path, flags),
  });
  const { warnings, kernel } = mptcpSupport();
  assertStringIncludes(warnings.at(-1)!, "contradicted one another 3 times");
  assertEquals(warnings.length, dataWarnings(kernel, {}).length + 1);
  const { stdout } = await mptcp(["check", "--json"]);
  assertEquals(Array.isArray(JSON.parse(stdout).warnings), true);
});

test("a running program is told when the counter rises, once for each rise", {
  skip: noMptcp,
}, async () => {
  using folder = temporaryFolder();
  const path = folder.at("netstat");
  writeFileSync(path, withMismatches(5));
  using _ = stubLibc({
    open: (name, flags) => open(name.includes("netstat") ? path : name, flags),
  });
  const controller = new AbortController();
  const faults = watchDataFaults({ interval: 5, signal: controller.signal });
  const first = faults.next();
  writeFileSync(path, withMismatches(7));
  assertEquals((await first).value, { count: 2, total: 7 });
  const second = faults.next();
  writeFileSync(path, withMismatches(8));
  assertEquals((await second).value, { count: 1, total: 8 });
  const last = faults.next();
  controller.abort();
  assertEquals(await last, { value: undefined, done: true });
  const wrong = watchDataFaults({ interval: 0 });
  await assertRejects(() => wrong.next(), RangeError, "interval");
});
