/**
 * Small mistakes, each of which some test has to notice. `find` is text of the file that occurs once;
 * where it no longer does, the mutant has to be written anew.
 *
 * @module
 */

/** One mistake. */
export interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  /** Tests that are tried where the simulation and the torture do not notice it. */
  readonly tests: readonly string[];
  /** The commit that once mended the same mistake. */
  readonly mendedIn?: string;
}

const POLL_TESTS = ["tests/conn_test.ts", "tests/contract_test.ts", "tests/faults_test.ts"];
const PROXY_TESTS = ["tests/proxy_relay_test.ts", "tests/proxy_test.ts"];
const PATH_TESTS = ["tests/endpoints_test.ts", "tests/events_test.ts"];

/** All of them. */
export const MUTANTS: readonly Mutant[] = [
  {
    name: "the reactor sleeps though a source has asked for another round",
    file: "src/poll/pace.ts",
    find: "const looks = hasDeferred || this.#looks(waiters);",
    replace: "const looks = this.#looks(waiters);",
    tests: ["tests/watch_test.ts"],
    mendedIn: "1cb7f12",
  },
  {
    name: "a detached buffer is the end of the stream",
    file: "src/poll/fd.ts",
    find: "const isChanged = operation.buf.byteLength < operation.length;",
    replace: "const isChanged = false;",
    tests: POLL_TESTS,
    mendedIn: "bb17cd3",
  },
  {
    name: "a waker that is replaced is left alone while nobody waits",
    file: "ffi/waker.ts",
    find: "    this.#before.disarm();\n    if (this.#armed) better.arm(this.#refed);",
    replace:
      "    if (!this.#armed) return;\n    this.#before.disarm();\n    better.arm(this.#refed);",
    tests: ["tests/staged_waker_test.ts"],
    mendedIn: "a3a0aa5",
  },
  {
    name: "a stream of path events that fails stays open",
    file: "src/path_manager/event_stream.ts",
    find: "      this.#end(({ reject }) => reject(error));\n      throw error;",
    replace: "      throw error;",
    tests: PATH_TESTS,
    mendedIn: "d2da683",
  },
  {
    name: "an operation that is put off does not wake the reactor",
    file: "src/poll/reactor.ts",
    find: '    if (this.#state !== "armed") return;\n    this.#waker.disarm();\n    this.#run();',
    replace: "    return;",
    tests: POLL_TESTS,
  },
  {
    name: "the waker stays armed when the last operation ends",
    file: "src/poll/reactor.ts",
    find:
      "    source.waits--;\n    if (source.refed) this.#refed--;\n    else this.#unrefed--;\n    this.#follow();",
    replace: "    source.waits--;\n    if (source.refed) this.#refed--;\n    else this.#unrefed--;",
    tests: POLL_TESTS,
  },
  {
    name: "unref counts the wrong way round",
    file: "src/poll/reactor.ts",
    find: "this.#unrefed += refed ? -source.waits : source.waits;",
    replace: "this.#unrefed += refed ? source.waits : -source.waits;",
    tests: POLL_TESTS,
  },
  {
    name: "the reactor forgets to look after it was woken",
    file: "src/poll/reactor.ts",
    find: '    this.#state = "running";\n    this.#round();',
    replace: '    this.#state = "running";\n    this.#proceed();',
    tests: POLL_TESTS,
  },
  {
    name: "a hang-up is not remembered, so a short read hides the end",
    file: "src/poll/epoll.ts",
    find: "      if (events & END_EVENTS) source.ended = true;\n",
    replace: "",
    tests: POLL_TESTS,
  },
  {
    name: "an event for reading is one for nobody",
    file: "src/poll/epoll.ts",
    find: "const READ_EVENTS = EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR;",
    replace: "const READ_EVENTS = EPOLLRDHUP | EPOLLHUP | EPOLLERR;",
    tests: POLL_TESTS,
  },
  {
    name: "of reads that wait an event serves one alone",
    file: "src/poll/fd.ts",
    find: "while (this.readable && !this.#reads.isEmpty && this.#retry(this.#reads));",
    replace: "if (this.readable && !this.#reads.isEmpty) this.#retry(this.#reads);",
    tests: POLL_TESTS,
  },
  {
    name: "a write that has waited claims to have written all",
    file: "src/poll/fd.ts",
    find: 'else resolve(result === 0 && syscall === "recv" ? null : result);',
    replace:
      'else resolve(syscall === "send" ? operation.length : result === 0 && syscall === "recv" ? null : result);',
    tests: POLL_TESTS,
  },
  {
    name: "the end of the stream overtakes writes that wait",
    file: "src/poll/fd.ts",
    find:
      '    if (!this.#writes.isEmpty) {\n      await this.#wait(this.#writes, "shutdown", NO_BUF);\n      return;\n    }\n',
    replace: "",
    tests: POLL_TESTS,
  },
  {
    name: "an interrupted recv is an error",
    file: "src/poll/fd.ts",
    find: "do result = libc().recv(this.fd, buf, length, 0); while (isInterrupted(result));",
    replace: "result = libc().recv(this.fd, buf, length, 0);",
    tests: POLL_TESTS,
  },
  {
    name: "closing leaves operations that wait waiting",
    file: "src/poll/fd.ts",
    find: "    for (const queue of [this.#reads, this.#writes]) {",
    replace: "    for (const queue of [this.#reads]) {",
    tests: POLL_TESTS,
  },
  {
    name: "closing a listener leaves its accept waiting",
    file: "src/poll/acceptor.ts",
    find:
      '    if (this.#waiting !== null) this.#take().reject(closedError("Listener has been closed"));\n',
    replace: "",
    tests: POLL_TESTS,
  },
  {
    name: "an aborted connection fails the accept",
    file: "src/poll/acceptor.ts",
    find: "  -ERRNO.ECONNABORTED,\n",
    replace: "",
    tests: POLL_TESTS,
  },
  {
    name: "of two attempts that connect at once one is lost",
    file: "src/net/happy_eyeballs.ts",
    find: "    if (this.#over) connection[Symbol.dispose]();\n",
    replace: "",
    tests: ["tests/connect_test.ts"],
  },
  {
    name: "attempts that have lost are not given up",
    file: "src/net/happy_eyeballs.ts",
    find:
      "      for (const contender of this.#contenders.slice(0, this.#next)) contender.cancel();\n",
    replace: "",
    tests: ["tests/connect_test.ts"],
  },
  {
    name: "protocol is what it was at first",
    file: "src/net/conn.ts",
    find: '    return this.#origin.fallback === null ? wireProtocol(this.#stream.fd) : "tcp";',
    replace:
      '    return this.#finalProtocol = this.#origin.fallback === null ? wireProtocol(this.#stream.fd) : "tcp";',
    tests: ["tests/truth_test.ts"],
  },
  {
    name: "a copy forgets what a short write has left",
    file: "src/net/copy.ts",
    find: "        await writeAll(to, unwritten, onWritten);\n",
    replace: "",
    tests: ["tests/streams_test.ts", "tests/contract_test.ts"],
  },
  {
    name: "a stream that fails leaves its connection open",
    file: "src/net/streams.ts",
    find: "    this.#failure ??= { error };\n    this.#channel.finish();",
    replace: "    this.#failure ??= { error };",
    tests: ["tests/streams_test.ts", "tests/contract_test.ts"],
  },
  {
    name: "what a relay could not write is left in the buffer of all",
    file: "src/proxy/relay.ts",
    find: "bytes === way.rest ? bytes.subarray(written) : bytes.slice(written)",
    replace: "bytes.subarray(written)",
    tests: PROXY_TESTS,
  },
  {
    name: "a relay does not pass on the end of a stream",
    file: "src/proxy/relay.ts",
    find: "    if (!this.#areOver && this.#broken === null) way.to.tryCloseWrite();\n",
    replace: "",
    tests: PROXY_TESTS,
  },
  {
    name: "a reset overtakes the data before it",
    file: "src/proxy/session.ts",
    find: "      await this.#delivery;\n",
    replace: "",
    tests: [...PROXY_TESTS, "tests/proxy_shutdown_test.ts"],
    mendedIn: "a2f8b23",
  },
  {
    name: "a proxy that was full takes nobody any more",
    file: "src/proxy/proxy.ts",
    find: "    this.#sessions.delete(session);\n    this.#makeRoom();",
    replace: "    this.#sessions.delete(session);",
    tests: PROXY_TESTS,
  },
  {
    name: "a backend keeps the connections that it had",
    file: "src/proxy/session.ts",
    find: "    if (this.#backend !== null) this.#backend.active--;\n",
    replace: "",
    tests: PROXY_TESTS,
  },
  {
    name: "changing a flag of an endpoint drops the others",
    file: "src/kernel/endpoints.ts",
    find: "const wanted = { ...current, ...onlyGiven(flags) };",
    replace: "const wanted = onlyGiven(flags);",
    tests: PATH_TESTS,
  },
  {
    name: "the limits are mixed up",
    file: "src/kernel/limits.ts",
    find: "    subflows: answer?.u32(MPTCP_PM_ATTR_SUBFLOWS) ?? 0,",
    replace: "    subflows: answer?.u32(MPTCP_PM_ATTR_RCV_ADD_ADDRS) ?? 0,",
    tests: PATH_TESTS,
  },
  {
    name: "lost path events are not told of",
    file: "src/path_manager/event_stream.ts",
    find: "      this.#lost = true;\n",
    replace: "",
    tests: PATH_TESTS,
  },
];
