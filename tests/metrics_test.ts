import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createLab, labUnavailable } from "../bench/lab/lab.ts";
import { decodeMptcpInfo } from "../src/kernel/info.ts";
import { mptcpConnections } from "../src/kernel/sock_diag.ts";
import { surveyConnections } from "../src/kernel/socket_survey.ts";
import { DecisionLog } from "../src/path_manager/manage/decision_log.ts";
import { collectMetrics, type ManagedPaths, observeMetrics } from "../src/path_manager/mod.ts";
import { connectMptcp, listenMptcp, mptcpSupport } from "../mod.ts";
import { test } from "./harness.ts";
import { missingProgram, ROOT } from "./processes.ts";
import { bytesOf, connectedPair, delay, readUpTo } from "./sockets.ts";

const noMptcp = mptcpSupport().supported ? null : mptcpSupport().fallback!.detail;
const noLab = noMptcp ?? labUnavailable();

/** The value of the first line that begins with a text; `undefined` without one. */
function valueOf(metrics: string, start: string): number | undefined {
  const line = metrics.split("\n").find((line) => line.startsWith(start));
  return line === undefined ? undefined : Number(line.split(" ").at(-1));
}

/** What `look` gives once it gives something. */
async function until<T>(look: () => T | null): Promise<T> {
  for (;;) {
    const found = look();
    if (found !== null) return found;
    await delay(10);
  }
}

test("metrics count the connections, subflows and bytes of all processes", {
  skip: noMptcp,
}, async () => {
  const connections = 'mptcp_connections{family="ipv4",state="established"}';
  const before = valueOf(collectMetrics(), connections) ?? 0;
  using pair = await connectedPair();
  assertEquals(pair.client.protocol, "mptcp");
  await pair.client.write(bytesOf("hello"));
  await readUpTo(pair.server, 5);
  const metrics = collectMetrics({ connections: 1000 });
  assertEquals(valueOf(metrics, connections), before + 2);
  assert(valueOf(metrics, "mptcp_subflows{")! >= 2, metrics);
  assert(valueOf(metrics, "mptcp_subflow_sent_bytes{")! >= 5);
  const token = Number(pair.client.info()!.token).toString(16).padStart(8, "0");
  const sent = `mptcp_connection_sent_bytes_total{token="${token}",address="127.0.0.1"}`;
  assertEquals(valueOf(metrics, sent), 5);
  assertEquals(valueOf(metrics, 'mptcp_ext_total{counter="MPCapableSYNTX"}')! >= 1, true);
  assert(metrics.endsWith("# EOF\n"));
});

test("there is a series for each interface and role, however many connections there are", {
  skip: noLab,
}, async () => {
  await using lab = await createLab();
  const netns = lab.server.name;
  using listener = listenMptcp({ netns, hostname: "0.0.0.0" });
  using stack = new DisposableStack();
  let opened = 0;
  const seriesOf = async (connections: number) => {
    for (let i = 0; i < connections; i++) {
      const [conn, accepted] = await Promise.all([
        connectMptcp({
          netns: lab.client.name,
          hostname: lab.server.address(),
          port: listener.addr.port,
        }),
        listener.accept(),
      ]);
      opened++;
      stack.use(conn);
      stack.use(accepted);
    }
    return await until(() => {
      const metrics = collectMetrics({ netns });
      const counts = ["path1", "path2"].map((name) =>
        valueOf(metrics, `mptcp_subflows{interface="${name}"`)
      );
      const isSettled = !/^mptcp_subflows\{.*state="(?!established")/m.test(metrics);
      return isSettled && counts.every((count) => count === opened) ? metrics : null;
    });
  };
  const one = await seriesOf(1);
  const subflow = 'mptcp_subflows{interface="path2",endpoint="1",address="10.77.2.2",family="ipv4"';
  assertStringIncludes(one, `${subflow},role="regular",state="established"} 1`);
  const flags = 'address="10.77.2.2",interface="path2",flags="signal"';
  assertStringIncludes(one, `mptcp_endpoint_info{endpoint="1",${flags}} 1`);
  const four = await seriesOf(3);
  assertEquals(four.split("\n").length, one.split("\n").length);
  assertStringIncludes(four, 'mptcp_connections_by_subflows{subflows="2"} 4');
});

test("connections that became TCP are counted by themselves, and not as MPTCP", {
  skip: noMptcp,
}, async () => {
  for (const [localAddress, dualStack] of [["127.0.7.1", true], ["127.0.7.2", false]] as const) {
    using pair = await connectedPair({ mptcp: "off" }, { localAddress, dualStack });
    assertEquals([pair.client.protocol, pair.client.fallback?.reason], ["tcp", "peer"]);
    const found: boolean[] = [];
    surveyConnections(({ end, fallback }) => {
      if (end.address === localAddress) found.push(fallback);
    });
    assertEquals(found, [true]);
    const metrics = collectMetrics({ connections: 1_000_000 });
    assert(valueOf(metrics, 'mptcp_fallback_connections{family="ipv4"}')! >= 1);
    assert(!new RegExp(`^mptcp_connection_.*${localAddress}`, "m").test(metrics), metrics);
  }
});

test("the socket diagnosis lists connections of both families in one answer", {
  skip: noMptcp,
}, async () => {
  using four = await connectedPair({}, { dualStack: false });
  using six = await connectedPair({ hostname: "::1" });
  const tokens = mptcpConnections().map(({ info }) => decodeMptcpInfo(info).token);
  const counts = new Map(tokens.map((token) => [token, 0]));
  surveyConnections(({ token, fallback }) => {
    if (!fallback) counts.set(token, (counts.get(token) ?? 0) + 1);
  });
  for (const { client, server } of [four, six]) {
    for (const conn of [client, server]) {
      const token = conn.info()!.token;
      assertEquals(tokens.filter((other) => other === token).length, 1);
      assertEquals(counts.get(token), 1);
    }
  }
});

test("promtool finds nothing wrong with the text, and neither format lacks a head", {
  skip: noMptcp ?? missingProgram("promtool"),
}, async () => {
  using _pair = await connectedPair();
  const input = collectMetrics({ format: "prometheus", connections: 10 });
  const { status, stdout, stderr } = spawnSync("promtool", ["check", "metrics"], {
    input,
    encoding: "utf8",
  });
  assertEquals([status, stdout, stderr], [0, "", ""]);
  for (const format of ["prometheus", "openmetrics"] as const) {
    const text = collectMetrics({ format });
    const heads = new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name!));
    for (const [, name] of text.matchAll(/^(\w+)/gm)) {
      const base = format === "openmetrics" ? name!.replace(/_total$/, "") : name!;
      assert(heads.has(base), `${name} has no TYPE`);
    }
  }
});

test("a count of connections that is none is refused", () => {
  assertThrows(() => collectMetrics({ connections: -1 }), RangeError, "Invalid connections");
});

test(
  "OpenTelemetry gets the same values by observable instruments",
  { skip: noMptcp },
  async () => {
    using _pair = await connectedPair();
    const seen = new Map<string, number>();
    const callbacks: ((observer: { observe(...args: never[]): void }) => void)[] = [];
    const instrument = (name: string) => ({ name, addCallback() {} });
    const meter = {
      createObservableGauge: instrument,
      createObservableCounter: instrument,
      addBatchObservableCallback: (callback: never) => void callbacks.push(callback),
      removeBatchObservableCallback: () => void callbacks.pop(),
    };
    {
      using _observing = observeMetrics(meter);
      const observe = ({ name }: { name: string }, value: number) => {
        seen.set(name, (seen.get(name) ?? 0) + value);
      };
      for (const callback of callbacks) callback({ observe } as never);
    }
    assertEquals(callbacks.length, 0);
    assert(seen.get("mptcp.connections")! >= 2);
    assert(seen.get("mptcp.ext")! > 0);
  },
);

test("no series is there twice, though sockets of both families are on one address", {
  skip: noMptcp,
}, async () => {
  using _pair = await connectedPair({}, { dualStack: true });
  using _plain = await connectedPair({}, { dualStack: false });
  const series = collectMetrics().split("\n").filter((line) => !line.startsWith("#"))
    .map((line) => line.replace(/ \S+$/, ""));
  assertEquals(series.filter((name, i) => series.indexOf(name) !== i), []);
});

test("decisions about paths are counted by policy, action and interface, at most some hundred kinds", () => {
  const log = new DecisionLog();
  const decision = { time: 0, path: "10.0.0.1", reason: "", token: undefined, error: undefined };
  for (let i = 0; i < 1000; i++) {
    log.add({ ...decision, by: "adaptive", device: `ppp${i}`, action: "promote" });
    log.add({ ...decision, by: "adaptive", device: "eth0", action: "demote" });
  }
  assertEquals(log.last().length, 200);
  const paths = { decisionCounts: () => log.counts() } as ManagedPaths;
  const metrics = collectMetrics({ paths });
  const start = 'mptcp_path_decisions_total{policy="adaptive",action=';
  assertEquals(valueOf(metrics, `${start}"demote",interface="eth0"}`), 1000);
  const series = metrics.split("\n").filter((line) => line.startsWith(start));
  assert(series.length < 300, String(series.length));
  assertEquals(series.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0), 2000);
});

test("the dashboard and the documentation name metrics that there are, and all of them", {
  skip: noMptcp,
}, async () => {
  using _pair = await connectedPair();
  const paths = { decisionCounts: () => [] as unknown } as ManagedPaths;
  const metrics = collectMetrics({ format: "prometheus", paths });
  const names = [...metrics.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name!);
  const dashboard = readFileSync(`${ROOT}docs/grafana.json`, "utf8");
  const used = [...dashboard.matchAll(/mptcp_\w+(?=[{,])/g)].map(([name]) => name);
  assert(used.length >= 8);
  assertEquals(used.filter((name) => !names.includes(name)), []);
  const page = readFileSync(`${ROOT}docs/observability.md`, "utf8");
  const described = names.filter((name) =>
    page.includes(`\`${name}\``) || page.includes(`\`_${name.split("_").slice(-2).join("_")}\``) ||
    /_rtt_(median|max)_/.test(name)
  );
  assertEquals(names.filter((name) => !described.includes(name)), []);
});
