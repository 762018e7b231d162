/**
 * The scenarios: a seed chooses one.
 *
 * @module
 */

import { chaos } from "./chaos.ts";
import { connecting } from "./connecting.ts";
import { exchange } from "./exchange.ts";
import { paths } from "./paths.ts";
import { proxying } from "./proxying.ts";
import { streaming } from "./streaming.ts";
import type { Scenario } from "./support.ts";
import { trickling } from "./trickling.ts";

/** By their names. */
export const scenarios: Readonly<Record<string, Scenario>> = {
  chaos,
  connecting,
  exchange,
  paths,
  proxying,
  streaming,
  trickling,
};
