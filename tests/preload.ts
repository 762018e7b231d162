/**
 * Opens libc and the epoll before a test begins: they stay open, which the sanitizers of `deno test`
 * take for a leak if a test is the first to need them.
 *
 * @module
 */

import { reactor } from "../src/poll/reactor.ts";

reactor();
