import { assertMatch } from "@std/assert";
import { labUnavailable } from "../bench/lab/lab.ts";
import { mptcpSupport } from "../mod.ts";
import { test } from "./harness.ts";
import { missingProgram, ROOT, runToEnd } from "./processes.ts";

const skip = (mptcpSupport().supported ? null : mptcpSupport().fallback!.detail) ??
  labUnavailable(["tc"]) ?? missingProgram("gcc") ?? missingProgram("python3");

const SCRIPT = "mount -t tmpfs none /run && exec python3 docs/kernel/wrong_bytes.py --seconds 5";

for (const option of ["--first-backup", "--direction down"]) {
  test(`the reproducer of the kernel's wrong bytes delivers none of them with ${option}`, {
    skip,
    long: true,
  }, async () => {
    const { stdout, stderr } = await runToEnd([
      ...["unshare", "-nm", "sh", "-c", `cd ${ROOT} && ${SCRIPT} ${option}`],
    ]);
    assertMatch(`${stdout}${stderr}`, /: \d+ transfers, \d+ joins, 0 wrong, 0 not whole/);
  });
}
