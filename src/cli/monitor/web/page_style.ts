/**
 * The style sheet of the live page.
 *
 * @module
 */

/** CSS. */
export const STYLE: string = `
:root { color-scheme: light dark; --back: #f6f7f9; --card: #fff; --text: #1c2330; --dim: #667085;
  --line: #e2e6ec; --bad: #c0362c; --good: #1f7a4d;
  --c0: #2f6fed; --c1: #f08c2e; --c2: #16a37b; --c3: #b455d6; --c4: #d6455d; --c5: #6b7a90; }
@media (prefers-color-scheme: dark) { :root { --back: #10141b; --card: #181e28; --text: #e6eaf1;
  --dim: #93a0b4; --line: #2a3342; --bad: #ff8277; --good: #61d29b;
  --c0: #6c9bff; --c1: #ffb266; --c2: #4fd6ac; --c3: #d391ee; --c4: #ff8095; --c5: #9aa8bd; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 70rem; background: var(--back); color: var(--text);
  font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.3rem; margin: 0; }
h2 { font-size: 1rem; margin: 0 0 .4rem; }
p { margin: .3rem 0; }
header p, #more, .dim { color: var(--dim); }
#warning { color: var(--bad); font-weight: 600; }
#demo, .card, .columns > div { background: var(--card); border: 1px solid var(--line);
  border-radius: 10px; padding: .8rem 1rem; margin: .8rem 0; }
#buttons { display: flex; flex-wrap: wrap; gap: .5rem; }
button { font: inherit; padding: .45rem .9rem; border-radius: 8px; border: 1px solid var(--line);
  background: var(--back); color: inherit; cursor: pointer; }
button[aria-pressed="true"] { border-color: var(--bad); color: var(--bad); font-weight: 600; }
button:focus-visible { outline: 2px solid var(--c0); outline-offset: 2px; }
#gap { font-size: 1.1rem; font-variant-numeric: tabular-nums; }
.card { content-visibility: auto; contain-intrinsic-size: auto 14rem; }
.card h2 { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 1rem;
  overflow-wrap: anywhere; }
.card h2 span { font-weight: 400; color: var(--dim); }
canvas { width: 100%; height: 110px; display: block; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
td, th { text-align: left; padding: .15rem .6rem .15rem 0; font-weight: 400; overflow-wrap: anywhere; }
th { color: var(--dim); font-size: .85rem; }
td.n, th.n { text-align: right; white-space: nowrap; }
tr.gone { opacity: .45; text-decoration: line-through; }
.swatch { display: inline-block; width: .8em; height: .8em; border-radius: 3px; margin-right: .4em; }
.tag { border: 1px solid currentColor; border-radius: 99px; padding: 0 .5em; font-size: .8rem;
  color: var(--dim); }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 0 1rem; }
#events, #decisions { list-style: none; margin: 0; padding: 0; max-height: 14rem; overflow-y: auto;
  font-size: .9rem; }
.columns time { color: var(--dim); margin-right: .5em; }
@media (max-width: 40rem) { body { padding: .6rem; } .wide { display: none; } }
`;
