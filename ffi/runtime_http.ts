/**
 * Chooses between the twins `deno/http.ts`, `bun/http.ts` and `node/http.ts`. Apart from `runtime.ts`, so that a
 * program without HTTP does not load `node:http`.
 *
 * @module
 */

import type { RuntimeHttp } from "./http.ts";
import { bunHttp } from "./bun/http.ts";
import { denoHttp } from "./deno/http.ts";
import { nodeHttp } from "./node/http.ts";
import { isDeno, isNode } from "./runtime.ts";

/** The HTTP of the runtime that this is. */
export const runtimeHttp: RuntimeHttp = isDeno ? denoHttp : isNode ? nodeHttp : bunHttp;
