// Lines by step, as SVG. A chart is one element as long as a part is shown: what the pointer is at stays while it grows.
import { el, svg } from "./dom.js";
import { number } from "./format.js";

const WIDTH = 600, HEIGHT = 170, LEFT = 52, RIGHT = 8, TOP = 10, BOTTOM = 22;
const charts = new Map();

// `lines`: [{ name, x: [...], y: [number or null, ...], kind }]; the first is read out where there are several.
export function chart(id, title, lines) {
  if (!charts.has(id)) charts.set(id, new Chart());
  return charts.get(id).draw(title, lines);
}

export function forget() {
  charts.clear();
}

class Chart {
  constructor() {
    this.reading = el("span", { class: "reading" });
    this.title = el("span");
    this.image = svg("svg", { preserveAspectRatio: "none", role: "img" });
    this.figure = el("figure", { class: "chart" }, el("figcaption", {}, this.title, this.reading), this.image);
    this.pointer = null;
    this.image.addEventListener("pointermove", event => { this.pointer = event.offsetX; this.read(); });
    this.image.addEventListener("pointerleave", () => { this.pointer = null; this.read(); });
    new ResizeObserver(() => this.paint()).observe(this.image);
  }

  draw(title, lines) {
    this.lines = lines.map(line => ({ ...line, points: points(line) })).filter(line => line.points.length);
    this.title.textContent = title;
    this.image.setAttribute("aria-label", title);
    this.paint();
    return this.figure;
  }

  paint() {
    const width = this.image.clientWidth || WIDTH;
    const all = this.lines.flatMap(line => line.points);
    this.image.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    if (!all.length) { this.image.replaceChildren(); return; }
    const [x0, x1] = range(all.map(([x]) => x), 0), [y0, y1] = range(all.map(([, y]) => y), 0.06);
    this.x = value => LEFT + (value - x0) / (x1 - x0) * (width - LEFT - RIGHT);
    this.y = value => TOP + (y1 - value) / (y1 - y0) * (HEIGHT - TOP - BOTTOM);
    this.cursor = svg("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
    const grid = [y0, (y0 + y1) / 2, y1].flatMap(value => [
      svg("line", { class: "gridline", x1: LEFT, x2: width - RIGHT, y1: this.y(value), y2: this.y(value) }),
      svg("text", { x: LEFT - 6, y: this.y(value) + 4, "text-anchor": "end" }, short(value)),
    ]);
    const steps = [svg("text", { x: LEFT, y: HEIGHT - 6 }, number(x0)),
      svg("text", { x: width - RIGHT, y: HEIGHT - 6, "text-anchor": "end" }, `step ${number(x1)}`)];
    const drawn = [...this.lines].reverse().flatMap(line => this.line(line));
    this.image.replaceChildren(...grid, ...steps, ...drawn, this.cursor);
    this.read();
  }

  line({ points, kind = "" }) {
    const path = points.map(([x, y], at) => `${at ? "L" : "M"}${this.x(x).toFixed(1)} ${this.y(y).toFixed(1)}`).join("");
    const [x, y] = points.at(-1);
    const isSparse = points.length < 25;
    const dots = isSparse ? points : [[x, y]];
    return [svg("path", { class: `line ${kind}`, d: path }),
      ...dots.map(([x, y]) => svg("circle", { class: `dot ${kind}`, cx: this.x(x), cy: this.y(y), r: 2.5 }))];
  }

  // What the first line is at the pointer, else at its end.
  read() {
    const line = this.lines[0];
    if (!line || !this.x) return;
    const nearest = this.pointer === null ? line.points.at(-1) : line.points.reduce((best, point) =>
      Math.abs(this.x(point[0]) - this.pointer) < Math.abs(this.x(best[0]) - this.pointer) ? point : best);
    const [step, value] = nearest;
    this.reading.textContent = `${line.name ? `${line.name}: ` : ""}${number(value)} at step ${number(step)}`;
    for (const end of ["x1", "x2"]) this.cursor.setAttribute(end, this.x(step));
    this.cursor.setAttribute("visibility", this.pointer === null ? "hidden" : "visible");
  }
}

function points({ x, y }) {
  return x.map((step, at) => [step, y[at]]).filter(([, value]) => typeof value === "number");
}

function range(values, margin) {
  const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
  if (low === high) return [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  const room = (high - low) * margin;
  // No loss below 0 and no share above 1 on an axis, where there is none in the figures.
  return [low >= 0 ? Math.max(0, low - room) : low - room, high <= 1 ? Math.min(1, high + room) : high + room];
}

function short(value) {
  return Math.abs(value) >= 10000 || (value !== 0 && Math.abs(value) < 0.001)
    ? value.toExponential(1) : String(Number(value.toPrecision(3)));
}
