/**
 * Which release of the program this is.
 *
 * @module
 */

import project from "../../deno.json" with { type: "json" };

/** As "1.2.3". */
export const VERSION: string = project.version;
