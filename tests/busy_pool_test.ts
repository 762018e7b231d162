import { assert, assertEquals } from "@std/assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";
import { Limiter } from "../ffi/limiter.ts";
import { test } from "./harness.ts";
import { missingNamespaces, missingProgram, ROOT, run, runProgram } from "./processes.ts";

const only = { runtime: "deno", reason: "Bun waits for nothing by threads of its pool" } as const;

/** Takes more threads than Deno's pool has, for good. */
const BLOCK = `
import { open } from "node:fs";
for (let i = 0; i < 40; i++) open(process.argv.at(-1), "r", () => {});
await new Promise((resolve) => setTimeout(resolve, 20));`;

/** Says something 30 times over, by address, and prints how long it took at the longest. */
const ECHO = `
const listener = listenMptcp({ hostname: "127.0.0.1" });
const [client, server] = await Promise.all([
  connectMptcp({ port: listener.addr.port }),
  listener.accept(),
]);
const buf = new Uint8Array(1);
let longest = 0;
for (let i = 0; i < 30; i++) {
  const start = performance.now();
  setTimeout(() => client.write(buf), 5);
  await server.read(buf);
  longest = Math.max(longest, performance.now() - start);
}
console.log(longest < 1000 ? "in time" : longest);`;

const HEAD = `
import process from "node:process";
import { connectMptcp, listenMptcp } from "./mod.ts";`;

const PLACES = {
  "the main thread": (program: string) => `${program}\nprocess.exit(0);`,
  "a Worker": (program: string) => {
    const lines = program.replaceAll("./mod.ts", `file://${ROOT}mod.ts`)
      .replace("console.log(", "postMessage(");
    return `
import process from "node:process";
const source = new Blob([${JSON.stringify(lines)}], { type: "application/typescript" });
const worker = new Worker(URL.createObjectURL(source), { type: "module" });
worker.onmessage = ({ data }) => {
  console.log(data);
  process.exit(0);
};`;
  },
};

for (const [place, wrap] of Object.entries(PLACES)) {
  for (const noGuest of ["", "1"]) {
    const how = noGuest === "" ? "in the runtime's epoll" : "by threads alone";
    test(`sockets in ${place} that are waited for ${how} work while all of Deno's threads block`, {
      only,
      skip: missingProgram("mkfifo"),
    }, async () => {
      const folder = mkdtempSync(`${tmpdir()}/mptcp-`);
      try {
        run("mkfifo", [`${folder}/fifo`]);
        const program = wrap(
          `${HEAD}${BLOCK.replace("process.argv.at(-1)", `"${folder}/fifo"`)}${ECHO}`,
        );
        const env = { MPTCP_NO_GUEST: noGuest };
        const { stdout, stderr } = await runProgram(program, { env });
        assertEquals([stdout, stderr], ["in time\n", ""]);
      } finally {
        rmSync(folder, { recursive: true });
      }
    });
  }
}

/** Has names looked up by a server that does not answer. */
const MUTE_DNS = `
ip link set lo up
echo "hosts: dns" > $1/nss; mount --bind $1/nss /etc/nsswitch.conf
printf 'nameserver 127.0.0.1\\noptions timeout:30 attempts:1\\n' > $1/resolv
mount --bind $1/resolv /etc/resolv.conf
exec "$2" run -A --quiet "$1/program.ts"`;

test("40 look-ups that are not answered leave threads to files, and sockets working", {
  only,
  skip: missingNamespaces() ?? missingProgram("unshare"),
}, async () => {
  const folder = mkdtempSync(`${tmpdir()}/mptcp-`);
  try {
    const { writeFileSync } = await import("node:fs");
    writeFileSync(
      `${folder}/program.ts`,
      `${HEAD.replace("./mod.ts", `${ROOT}mod.ts`)}
import { createSocket } from "node:dgram";
import { readFile } from "node:fs/promises";
const dns = createSocket("udp4").bind(53, "127.0.0.1");
await new Promise((resolve) => dns.on("listening", resolve));
for (let i = 0; i < 40; i++) connectMptcp({ hostname: "name" + i, port: 1 }).catch(() => {});
await new Promise((resolve) => setTimeout(resolve, 20));
const start = performance.now();
await readFile("/etc/hosts");
console.log(performance.now() - start < 2000 ? "read" : "late");
${ECHO}
process.exit(0);`,
    );
    const args = ["-nm", "sh", "-c", MUTE_DNS, "sh", folder, process.execPath];
    assertEquals(run("unshare", args), "read\nin time\n");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a limiter runs as many actions as it may, in their order, and goes on after a failure", async () => {
  const limiter = new Limiter(2);
  const begun: number[] = [];
  let running = 0;
  const results = await Promise.allSettled([0, 1, 2, 3, 4].map((i) =>
    limiter.run(async () => {
      begun.push(i);
      assert(++running <= 2);
      await Promise.resolve();
      running--;
      if (i === 1) throw new Error("failed");
      return i;
    })
  ));
  assertEquals(begun, [0, 1, 2, 3, 4]);
  assertEquals(results.map(({ status }) => status[0]), ["f", "r", "f", "f", "f"]);
});
