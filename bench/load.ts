/**
 * The load generator where there is no C compiler: `load.c` in TypeScript, on calls of libc that
 * block. Same arguments, same modes, same output; slower, so the rows with many connections say
 * more about it than about the server.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";
import {
  AF_INET,
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  epoll_event,
  EPOLLERR,
  EPOLLET,
  EPOLLIN,
  EPOLLOUT,
  IPPROTO_MPTCP,
  IPPROTO_TCP,
  MPTCP_INFO,
  mptcp_info,
  MPTCP_INFO_FLAG_FALLBACK,
  MSG_NOSIGNAL,
  SHUT_WR,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_MPTCP,
  SOL_TCP,
  TCP_NODELAY,
} from "../ffi/linux/abi.ts";
import { ERRNO } from "../ffi/linux/errno.ts";
import { libc } from "../ffi/runtime.ts";
import { encodeSockaddr, parseIp } from "../ffi/linux/sockaddr.ts";
import { getOption, setIntOption, takeSocketError } from "../src/poll/socket.ts";
import type { Result } from "./rows.ts";
import { check } from "../src/error.ts";

const STALL_MS = 10_000;
const BULK_SIZE = 256 * 1024;
/** Bytes of a bulk receive that are looked at. */
const VERIFIED = 4 * 1024 * 1024;
/** Connections at once whose first message is not back; see `load.c`. */
const OPENING = 128;
/** Connections of `idle` before the memory is measured. */
const REHEARSAL = 100;
const MAX_EVENTS = 256;
const PAGE_SIZE = 4096;

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    mptcp: { type: "boolean", default: false },
    connections: { type: "string", default: "1" },
    idle: { type: "string", default: "0" },
    size: { type: "string", default: "64" },
    pause: { type: "string", default: "0" },
    warmup: { type: "string", default: "0.3" },
    seconds: { type: "string", default: "1" },
    pid: { type: "string", default: "self" },
  },
});
const [mode, address = "", port] = positionals;
/** What connections do: that of `mode`, but while those that are to rest are opened. */
let doing = mode;
const connections = Number(values.connections);
const size = Number(values.size);
const pause = Number(values.pause) * 1e3;
const warmup = Number(values.warmup) * 1e3;
const seconds = Number(values.seconds) * 1e3;
const server = encodeSockaddr(parseIp(address)!.bytes, Number(port));

const pattern = Uint8Array.from(
  { length: Math.max(size, BULK_SIZE) + 256 },
  () => Math.random() * 256,
);
const scratch = new Uint8Array(pattern.byteLength);

/** Nobody wakes this. */
const sleeper = new Int32Array(new SharedArrayBuffer(4));

let operations = 0;
let bytes = 0;
let memory = 0;
let samples: number[] = [];

/** What is measured starts here: at the end of the warm-up. */
class Clock {
  readonly #measureAt = performance.now() + warmup;
  #beganAt = 0;
  #serverCpu = 0;
  #loadCpu = 0;

  /** True when the measured time is over. */
  tick(at = performance.now()): boolean {
    if (this.#beganAt !== 0) return at >= this.#beganAt + seconds;
    if (at >= this.#measureAt) this.begin();
    return false;
  }

  begin(): void {
    operations = bytes = 0;
    samples = [];
    this.#serverCpu = cpuSeconds(values.pid);
    this.#loadCpu = cpuSeconds("self");
    this.#beganAt = performance.now();
  }

  report(): void {
    samples.sort((a, b) => a - b);
    const percentile = (part: number) => 1e3 * (samples[Math.floor(samples.length * part)] ?? 0);
    const result: Result = {
      operations,
      bytes,
      seconds: (performance.now() - this.#beganAt) / 1e3,
      serverCpu: cpuSeconds(values.pid) - this.#serverCpu,
      loadCpu: cpuSeconds("self") - this.#loadCpu,
      p50: percentile(0.5),
      p99: percentile(0.99),
      serverMemory: memory,
    };
    console.log(JSON.stringify(result));
  }
}

/** CPU time of a process, from clock ticks: proc_pid_stat(5). */
function cpuSeconds(pid: string): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function residentBytes(): number {
  return Number(readFileSync(`/proc/${values.pid}/statm`, "utf8").split(" ")[1]) * PAGE_SIZE;
}

function fail(message: string): never {
  console.error(`load: ${message}`);
  process.exit(1);
}

let opened = 0;

function openSocket(flags: number): number {
  const protocol = values.mptcp ? IPPROTO_MPTCP : IPPROTO_TCP;
  const fd = check("socket", libc().socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, protocol));
  setIntOption(fd, SOL_TCP, TCP_NODELAY, 1);
  // A source address has 28 000 ports and each rests in TIME_WAIT: use many of 127/8.
  const host = opened++ % 0x3f00;
  const source = encodeSockaddr(Uint8Array.of(127, 0, 1 + (host >> 8), host & 0xff), 0);
  check("bind", libc().bind(fd, source));
  return fd;
}

function checkMptcp(fd: number): void {
  if (!values.mptcp) return;
  const info = new Uint8Array(mptcp_info.size);
  if (getOption(fd, SOL_MPTCP, MPTCP_INFO, info) < 0) fail("the connection is not MPTCP");
  if (info[mptcp_info.mptcpi_flags]! & MPTCP_INFO_FLAG_FALLBACK) {
    fail("the connection fell back to TCP");
  }
}

function connectBlocking(): number {
  const fd = openSocket(0);
  check("connect", libc().connect(fd, server));
  checkMptcp(fd);
  return fd;
}

/** A connection that sends messages and waits for their echoes. */
class Connection {
  fd = -1;
  #connected = false;
  #answered = false;
  #message = pattern;
  #sent = 0;
  #received = 0;
  #began = 0;

  open(): void {
    this.fd = openSocket(SOCK_NONBLOCK);
    this.#connected = this.#answered = false;
    this.#began = performance.now();
    const result = libc().connect(this.fd, server);
    if (result !== -ERRNO.EINPROGRESS) check("connect", result);
    watch(this.fd);
    byFd.set(this.fd, this);
    opening++;
  }

  onEvent(events: number): void {
    if (!this.#connected) return this.#onConnected(events);
    this.#push();
    if (this.#received < size && this.#pull()) this.#finish();
  }

  #onConnected(events: number): void {
    if ((events & (EPOLLOUT | EPOLLERR)) === 0) return;
    check("connect", takeSocketError(this.fd));
    checkMptcp(this.fd);
    this.#connected = true;
    if (doing !== "connect") this.#began = performance.now();
    this.#begin();
  }

  #begin(): void {
    this.#sent = this.#received = 0;
    const start = operations % 251;
    this.#message = pattern.subarray(start, start + size);
    this.#push();
  }

  #push(): void {
    while (this.#sent < size) {
      const rest = this.#sent === 0 ? this.#message : this.#message.subarray(this.#sent);
      const count = libc().send(this.fd, rest, rest.byteLength, MSG_NOSIGNAL);
      if (count === -ERRNO.EAGAIN) return;
      this.#sent += check("send", count);
    }
  }

  /** True when the whole message is back. */
  #pull(): boolean {
    while (this.#received < size) {
      const count = libc().recv(this.fd, scratch, size, 0);
      if (count === -ERRNO.EAGAIN) return false;
      if (check("recv", count) === 0) fail("the server closed the connection before the echo");
      if (this.#received + count > this.#sent) fail("more came back than was sent");
      for (let i = 0; i < count; i++) {
        if (scratch[i] === this.#message[this.#received + i]) continue;
        fail("other bytes came back than were sent");
      }
      this.#received += count;
      this.#push();
    }
    return true;
  }

  #finish(): void {
    const at = performance.now();
    operations++;
    bytes += size;
    samples.push(at - this.#began);
    if (!this.#answered) opening--;
    this.#answered = true;
    if (doing === "idle") return;
    if (doing === "connect") {
      this.close();
      this.open();
    } else {
      if (pause > 0) Atomics.wait(sleeper, 0, 0, pause);
      this.#began = pause > 0 ? performance.now() : at;
      this.#begin();
    }
  }

  close(): void {
    byFd.delete(this.fd);
    libc().close(this.fd);
  }
}

const epfd = libc().epoll_create1(EPOLL_CLOEXEC);
const byFd = new Map<number, Connection>();
const events = new DataView(new ArrayBuffer(MAX_EVENTS * epoll_event.size));
let opening = 0;

function watch(fd: number): void {
  const event = new DataView(new ArrayBuffer(epoll_event.size));
  event.setInt32(epoll_event.events, EPOLLIN | EPOLLOUT | EPOLLET, true);
  event.setInt32(epoll_event.data, fd, true);
  const bytes = new Uint8Array(event.buffer);
  check("epoll_ctl", libc().epoll_ctl(epfd, EPOLL_CTL_ADD, fd, bytes));
}

function waitForEvents(): void {
  const count = libc().epoll_wait(epfd, new Uint8Array(events.buffer), MAX_EVENTS, STALL_MS);
  if (check("epoll_wait", count) === 0) fail(`nothing came for ${STALL_MS / 1e3} s`);
  for (let at = 0; at < count * epoll_event.size; at += epoll_event.size) {
    const fd = events.getInt32(at + epoll_event.data, true);
    byFd.get(fd)?.onEvent(events.getInt32(at + epoll_event.events, true));
  }
}

function openConnections(count: number): Connection[] {
  const opened: Connection[] = [];
  while (opened.length < count) {
    while (opened.length < count && opening < OPENING) {
      const connection = new Connection();
      connection.open();
      opened.push(connection);
    }
    waitForEvents();
  }
  return opened;
}

function runMessages(): void {
  doing = "idle";
  openIdle(Number(values.idle));
  doing = mode;
  openConnections(connections);
  const clock = new Clock();
  while (!clock.tick()) waitForEvents();
  clock.report();
}

async function runIdle(): Promise<void> {
  const rehearsal = openIdle(REHEARSAL);
  for (const connection of rehearsal) connection.close();
  await rest(warmup);
  const before = residentBytes();
  openIdle(connections);
  await rest(warmup);
  const clock = new Clock();
  clock.begin();
  await rest(seconds);
  memory = residentBytes() - before;
  clock.report();
}

function openIdle(count: number): Connection[] {
  operations = 0;
  const opened = openConnections(count);
  while (operations < count) waitForEvents();
  return opened;
}

function rest(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function runSend(): void {
  const fd = connectBlocking();
  const clock = new Clock();
  const length = pause > 0 ? size : BULK_SIZE;
  let total = 0;
  while (!clock.tick()) {
    const count = check("send", libc().send(fd, pattern, length, MSG_NOSIGNAL));
    total += count;
    bytes += count;
    operations++;
    if (pause > 0) Atomics.wait(sleeper, 0, 0, pause);
  }
  clock.report();
  check("shutdown", libc().shutdown(fd, SHUT_WR));
  const answer = new BigUint64Array(1);
  const counted = libc().recv(fd, new Uint8Array(answer.buffer), 8, 0);
  if (counted !== 8 || Number(answer[0]) !== total) {
    fail(`the server received ${answer[0]} bytes of ${total}`);
  }
}

function runReceive(): void {
  const fd = connectBlocking();
  const clock = new Clock();
  let total = 0;
  while (!clock.tick()) {
    const count = check("recv", libc().recv(fd, scratch, BULK_SIZE, 0));
    if (count === 0) fail("the server closed the connection");
    for (let i = 0; total < VERIFIED && i < count; i++) {
      if (scratch[i] !== ((total + i) & 0xff)) fail(`byte ${total + i} is wrong`);
    }
    total += count;
    bytes += count;
    operations++;
  }
  clock.report();
}

switch (mode) {
  case "echo":
  case "connect":
    runMessages();
    break;
  case "send":
    runSend();
    break;
  case "receive":
    runReceive();
    break;
  case "idle":
    await runIdle();
    break;
  default:
    fail(`unknown mode ${mode}`);
}
process.exit(0);
