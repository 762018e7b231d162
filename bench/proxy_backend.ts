/** The backend of `proxy.ts`, on the port that it expects: `proxy_backend.ts TASK`. */

import process from "node:process";
import { listenMptcp } from "@multipath/mptcp";
import { serve } from "./servers/tasks.ts";

process.argv[3] = String(256 * 1024);
await serve(listenMptcp({ hostname: "127.0.0.1", port: 7001, mptcp: "off" }));
