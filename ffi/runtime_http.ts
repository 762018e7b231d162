/**
 * Chooses between the twins `http_deno.ts` and `http_bun.ts`. Apart from `runtime.ts`, so that a
 * program without HTTP does not load `node:http`.
 *
 * @module
 */

import type { RuntimeHttp } from "./http.ts";
import { bunHttp } from "./http_bun.ts";
import { denoHttp } from "./http_deno.ts";
import { isDeno } from "./runtime.ts";

/** The HTTP of the runtime that this is. */
export const runtimeHttp: RuntimeHttp = isDeno ? denoHttp : bunHttp;
