/**
 * The live page: one document without dependencies. What the server sends is shown as text, never as
 * markup.
 *
 * @module
 */

import { SCRIPT } from "./page_script.ts";
import { STYLE } from "./page_style.ts";

/** The document. */
export const PAGE: string = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>MPTCP, live</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>MPTCP, live</h1>
<p id="totals">Waiting for the first figures</p>
<p id="warning" role="alert" hidden></p>
</header>
<section id="demo" hidden aria-label="Controls of the demonstration">
<div id="buttons"></div>
<p id="gap" role="status"></p>
</section>
<main id="connections" aria-label="Connections"></main>
<p id="more" hidden></p>
<section class="columns">
<div><h2>Connections that became TCP</h2><table id="fallbacks"><tbody></tbody></table></div>
<div id="policy" hidden><h2>Decisions about paths</h2><ol id="decisions"></ol></div>
<div><h2>Events</h2><ol id="events"></ol></div>
</section>
<script>${SCRIPT}</script>
</body>
</html>
`;
