/** The server on Deno's own sockets: `deno run -A bench/servers/deno.ts TASK SIZE`. */

import { serve } from "./tasks.ts";

await serve(Deno.listen({ hostname: "127.0.0.1", port: 0 }));
