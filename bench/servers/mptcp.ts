/** The server on this module, on either runtime: `mptcp.ts TASK SIZE off|require`. */

import process from "node:process";
import { listenMptcp } from "@multipath/mptcp";
import { serve } from "./tasks.ts";

const mptcp = process.argv[4] === "require" ? "require" : "off";
await serve(listenMptcp({ hostname: "127.0.0.1", port: 0, mptcp }));
