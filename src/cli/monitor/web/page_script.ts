/**
 * The script of the live page. It runs in a browser, as text, so nothing checks its types.
 *
 * @module
 */

/** JavaScript. */
export const SCRIPT: string = String.raw`"use strict";
const WINDOW = 30_000, GONE = 8_000;
const $ = (id) => document.getElementById(id);
const cards = new Map();

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
function rate(bytes) {
  const bits = 8 * bytes;
  if (bits >= 1e9) return (bits / 1e9).toFixed(2) + " Gbit/s";
  if (bits >= 1e6) return (bits / 1e6).toFixed(1) + " Mbit/s";
  return (bits / 1e3).toFixed(bits < 1e4 ? 1 : 0) + " kbit/s";
}
function milliseconds(us) { return us === null ? "" : (us / 1000).toFixed(us < 10_000 ? 2 : 0) + " ms"; }
function plural(count, word) { return count + " " + word + (count === 1 ? "" : "s"); }
function color(index) {
  return getComputedStyle(document.documentElement).getPropertyValue("--c" + index % 6).trim();
}

const visible = new Set();
const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) visible.add(target.card); else visible.delete(target.card);
  }
});

class Card {
  constructor(token) {
    this.paths = new Map();
    this.samples = [];
    this.peak = 1;
    this.title = make("b");
    this.sum = make("span");
    this.canvas = make("canvas", { role: "img", "aria-label": "What each path carries, 30 seconds" });
    this.body = make("tbody");
    const heads = ["path", "interface", "state", "sending", "receiving", "RTT", "sent again"];
    const head = make("tr", {}, ...heads.map((text, i) =>
      make("th", { class: i > 2 ? "n" : i === 1 ? "wide" : "" }, text)));
    this.element = make("article", { class: "card", "data-token": token },
      make("h2", {}, this.title, this.sum), this.canvas,
      make("table", {}, make("thead", {}, head), this.body));
    this.element.card = this;
    observer.observe(this.element);
    $("connections").append(this.element);
  }
  update(connection, now) {
    this.seen = now;
    this.title.textContent = connection.local + " \u2192 " + connection.remote;
    this.sum.textContent = plural(connection.subflows.length, "path") + ", sending " +
      rate(connection.sent) + ", receiving " + rate(connection.received);
    const values = new Map();
    for (const subflow of connection.subflows) {
      let path = this.paths.get(subflow.key);
      if (path === undefined) this.paths.set(subflow.key, path = this.addPath(subflow));
      path.seen = now;
      path.row.className = "";
      values.set(subflow.key, subflow.sent + subflow.received);
      path.cells[1].textContent = subflow.interface;
      path.cells[2].replaceChildren(subflow.backup ? make("span", { class: "tag" }, "backup") : subflow.state);
      path.cells[3].textContent = rate(subflow.sent);
      path.cells[4].textContent = rate(subflow.received);
      path.cells[5].textContent = milliseconds(subflow.rtt);
      path.cells[6].textContent = subflow.retransmissions;
      path.row.dataset.rate = Math.round(subflow.sent + subflow.received);
      path.row.dataset.interface = subflow.interface;
    }
    for (const [key, path] of this.paths) {
      if (path.seen === now) continue;
      path.row.className = "gone";
      path.row.dataset.rate = 0;
      path.cells[2].textContent = "ended";
      path.cells[3].textContent = path.cells[4].textContent = "";
      if (now - path.seen > WINDOW) { path.row.remove(); this.paths.delete(key); }
    }
    this.samples.push({ time: now, values });
    while (this.samples.length > 2 && this.samples[1].time < now - WINDOW - 2000) this.samples.shift();
  }
  addPath(subflow) {
    const index = this.paths.size === 0 ? 0 : Math.max(...[...this.paths.values()].map((p) => p.index)) + 1;
    const swatch = make("span", { class: "swatch", style: "background: var(--c" + index % 6 + ")" });
    const cells = [make("td", {}, swatch, subflow.local + " \u2192 " + subflow.remote),
      make("td", { class: "wide" }), make("td"),
      ...[3, 4, 5, 6].map(() => make("td", { class: "n" }))];
    const row = make("tr", { "data-path": subflow.key }, ...cells);
    this.body.append(row);
    return { index, row, cells, seen: 0 };
  }
  draw(now) {
    const { canvas, samples } = this;
    const scale = devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * scale), height = Math.round(canvas.clientHeight * scale);
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    if (samples.length < 2) return;
    let top = 1;
    for (const { values } of samples) {
      let sum = 0;
      for (const value of values.values()) sum += value;
      top = Math.max(top, sum);
    }
    this.peak += (top * 1.1 - this.peak) * (top * 1.1 > this.peak ? 0.3 : 0.03);
    const x = (time) => width - (now - time) / WINDOW * width;
    const base = samples.map(() => 0);
    for (const [key, { index }] of [...this.paths].sort((a, b) => a[1].index - b[1].index)) {
      context.beginPath();
      samples.forEach(({ time, values }, i) => {
        const y = height * (1 - (base[i] + (values.get(key) || 0)) / this.peak);
        if (i === 0) context.moveTo(x(time), y); else context.lineTo(x(time), y);
      });
      for (let i = samples.length - 1; i >= 0; i--) {
        context.lineTo(x(samples[i].time), height * (1 - base[i] / this.peak));
        base[i] += samples[i].values.get(key) || 0;
      }
      context.closePath();
      context.fillStyle = color(index);
      context.globalAlpha = 0.85;
      context.fill();
    }
    context.globalAlpha = 1;
  }
  remove() { observer.unobserve(this.element); visible.delete(this); this.element.remove(); }
}

let offset = 0;
function onState(state) {
  const now = performance.now();
  const { totals, connections, more, fallbacks, warning } = state;
  $("totals").textContent = plural(totals.connections, "connection") + ", " +
    plural(totals.subflows, "subflow") + ", sending " + rate(totals.sent) + ", receiving " + rate(totals.received);
  $("warning").hidden = warning === null;
  $("warning").textContent = warning || "";
  for (const connection of connections) {
    let card = cards.get(connection.token);
    if (card === undefined) cards.set(connection.token, card = new Card(connection.token));
    card.update(connection, now);
  }
  for (const [token, card] of cards) {
    if (now - card.seen > GONE) { card.remove(); cards.delete(token); }
  }
  $("more").hidden = more === 0;
  $("more").textContent = "and " + plural(more, "connection") + " more that carry less";
  $("fallbacks").tBodies[0].replaceChildren(...(fallbacks.length === 0
    ? [make("tr", {}, make("td", { class: "dim" }, "none"))]
    : fallbacks.map(({ reason, count }) =>
      make("tr", {}, make("td", {}, reason), make("td", { class: "n" }, count)))));
}
function onNote({ time, text }) {
  const item = make("li", {}, make("time", {}, new Date(time).toLocaleTimeString()), text);
  $("events").prepend(item);
  while ($("events").childElementCount > 100) $("events").lastChild.remove();
}
function onDemo({ paths, gap }) {
  $("demo").hidden = false;
  $("gap").textContent = gap;
  paths.forEach(({ path, actions }) => actions.forEach(({ name, label, pressed }) => {
    const id = "do-" + name + "-" + path;
    let button = $(id);
    if (button === null) {
      button = make("button", { id, type: "button" });
      button.onclick = () => fetch("demo" + location.search, { method: "POST",
        headers: { "content-type": "application/json" }, body: JSON.stringify({ path, name }) });
      $("buttons").append(button);
    }
    button.textContent = label;
    button.setAttribute("aria-pressed", pressed);
  }));
}
const source = new EventSource("events" + location.search);
const on = (name, action) => source.addEventListener(name, ({ data }) => action(JSON.parse(data)));
on("state", onState);
on("note", onNote);
on("demo", onDemo);
source.onerror = () => { $("totals").textContent = "The program has ended, or cannot be reached."; };
let drawn = 0;
(function frame(now) {
  requestAnimationFrame(frame);
  if (now - drawn < 33) return;
  drawn = now;
  for (const card of visible) card.draw(now);
})(0);
`;
