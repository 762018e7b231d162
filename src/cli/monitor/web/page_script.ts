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
let colors = null;
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => colors = null);
function color(index) {
  const style = getComputedStyle(document.documentElement);
  colors ??= [0, 1, 2, 3, 4, 5].map((i) => style.getPropertyValue("--c" + i).trim());
  return colors[index % 6];
}
function write(element, text) {
  // Even the same text would cause a new layout.
  if (element.textContent !== String(text)) element.textContent = text;
}

const visible = new Set();
const observer = new IntersectionObserver((entries) => {
  for (const { target: { card }, isIntersecting } of entries) {
    if (!isIntersecting) { visible.delete(card); continue; }
    visible.add(card);
    card.show();
  }
}, { rootMargin: "300px" });

class Card {
  constructor(token) {
    this.paths = new Map();
    this.samples = [];
    this.peak = 1;
    this.title = make("b");
    this.sum = make("span");
    this.canvas = make("canvas", { role: "img", "aria-label": "Traffic of each path in the last 30 seconds" });
    this.body = make("tbody");
    const heads = ["path", "interface", "state", "sending", "receiving", "RTT", "retransmitted"];
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
    this.connection = connection;
    const values = new Map();
    for (const { key, sent, received } of connection.subflows) values.set(key, sent + received);
    this.samples.push({ time: now, values });
    while (this.samples.length > 2 && this.samples[1].time < now - WINDOW - 2000) this.samples.shift();
    for (const subflow of connection.subflows) {
      let path = this.paths.get(subflow.key);
      if (path === undefined) this.paths.set(subflow.key, path = this.addPath(subflow));
      path.seen = now;
    }
    for (const [key, path] of this.paths) {
      if (now - path.seen > WINDOW) { path.row.remove(); this.paths.delete(key); }
    }
    if (visible.has(this)) this.show();
  }
  show() {
    const { connection, seen } = this;
    write(this.title, connection.local + " \u2192 " + connection.remote);
    write(this.sum, plural(connection.subflows.length, "path") + ", sending " +
      rate(connection.sent) + ", receiving " + rate(connection.received));
    for (const subflow of connection.subflows) {
      const { row, cells } = this.paths.get(subflow.key);
      row.className = "";
      write(cells[1], subflow.interface);
      write(cells[2].firstChild, subflow.backup ? "backup" : subflow.state);
      cells[2].firstChild.className = subflow.backup ? "tag" : "";
      write(cells[3], rate(subflow.sent));
      write(cells[4], rate(subflow.received));
      write(cells[5], milliseconds(subflow.rtt));
      write(cells[6], subflow.retransmissions);
      row.dataset.rate = Math.round(subflow.sent + subflow.received);
      row.dataset.interface = subflow.interface;
    }
    for (const { row, cells, seen: last } of this.paths.values()) {
      if (last === seen) continue;
      row.className = "gone";
      row.dataset.rate = 0;
      write(cells[2].firstChild, "ended");
      write(cells[3], "");
      write(cells[4], "");
    }
  }
  addPath(subflow) {
    const index = this.paths.size === 0 ? 0 : Math.max(...[...this.paths.values()].map((p) => p.index)) + 1;
    const swatch = make("span", { class: "swatch", style: "background: var(--c" + index % 6 + ")" });
    const cells = [make("td", {}, swatch, subflow.local + " \u2192 " + subflow.remote),
      make("td", { class: "wide" }), make("td", {}, make("span")),
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
    const isNew = card === undefined;
    if (isNew) cards.set(connection.token, card = new Card(connection.token));
    card.update(connection, now);
    if (isNew) card.show();
  }
  for (const [token, card] of cards) {
    // With more than are shown it may not have ended, but carry less.
    const wait = more > 0 ? 0 : GONE;
    if (now - card.seen > wait) { card.remove(); cards.delete(token); }
  }
  $("more").hidden = more === 0;
  $("more").textContent = "and " + plural(more, "connection") + " more with less traffic";
  $("fallbacks").tBodies[0].replaceChildren(...(fallbacks.length === 0
    ? [make("tr", {}, make("td", { class: "dim" }, "none"))]
    : fallbacks.map(({ reason, count }) =>
      make("tr", {}, make("td", {}, reason), make("td", { class: "n" }, count)))));
  onDecisions(state.decisions);
}
function note({ time, text }) {
  return make("li", {}, make("time", {}, new Date(time).toLocaleTimeString()), text);
}
let lastDecisions = "";
function onDecisions(decisions) {
  const all = JSON.stringify(decisions);
  if (all === lastDecisions) return;
  lastDecisions = all;
  $("policy").hidden = decisions === null;
  if (decisions !== null) $("decisions").replaceChildren(...decisions.toReversed().map(note));
}
function onNote(message) {
  $("events").prepend(note(message));
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
source.onerror = () => { $("totals").textContent = "The program has ended or is unreachable."; };
let drawn = 0;
(function frame(now) {
  requestAnimationFrame(frame);
  if (now - drawn < 33) return;
  drawn = now;
  for (const card of visible) card.draw(now);
})(0);
`;
