/**
 * All commands at once, in the order of the help.
 *
 * @module
 */

import type { Command } from "./args/command.ts";
import { bench } from "./bench/command.ts";
import { check } from "./check/command.ts";
import { completionsOf } from "./completions/command.ts";
import { doctor } from "./doctor/command.ts";
import { endpoint } from "./endpoint/command.ts";
import { get } from "./get/command.ts";
import { limits } from "./limits/command.ts";
import { manOf } from "./man/command.ts";
import { monitor } from "./monitor/command.ts";
import { connect } from "./netcat/connect.ts";
import { listen } from "./netcat/listen.ts";
import { paths } from "./paths/command.ts";
import { proxyCommand } from "./proxy/command.ts";
import { serve } from "./serve/command.ts";

/** Each command of a program; `program` is that program, with these commands. */
export function allCommands(program: () => Command): readonly Command[] {
  return [
    check,
    doctor,
    get,
    serve,
    proxyCommand,
    connect,
    listen,
    bench,
    endpoint,
    limits,
    paths,
    monitor,
    completionsOf(program),
    manOf(program),
  ];
}
