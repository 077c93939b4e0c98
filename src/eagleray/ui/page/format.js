// How numbers, times and sizes are told: as the browser's language has it.
import { el } from "./dom.js";

const digits = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 4 });
const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const exactly = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const ago = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];

export function number(value) {
  if (typeof value !== "number") return "";
  if (value !== 0 && Math.abs(value) < 0.001) return Number(value.toPrecision(3)).toExponential();
  return Number.isInteger(value) ? whole.format(value) : digits.format(value);
}

export function count(value, noun) {
  return `${whole.format(value)} ${noun}${value === 1 ? "" : "s"}`;
}

export function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (bytes >= 1000 && unit < units.length - 1) { bytes /= 1024; unit += 1; }
  return `${digits.format(Number(bytes.toPrecision(3)))} ${units[unit]}`;
}

export function duration(seconds) {
  if (seconds < 60) return `${whole.format(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function between(from, to) {
  return from && to ? duration((Date.parse(to) - Date.parse(from)) / 1000) : "";
}

// How long ago; the exact time is in its title.
export function when(iso) {
  if (!iso) return "";
  const seconds = (Date.now() - Date.parse(iso)) / 1000;
  const [unit, length] = UNITS.find(([, length]) => seconds >= length) ?? ["second", 1];
  const text = unit === "second" ? "just now" : ago.format(-Math.floor(seconds / length), unit);
  return el("time", { datetime: iso, title: exactly.format(new Date(iso)) }, text);
}

export function moment(iso) {
  return el("time", { datetime: iso }, exactly.format(new Date(iso)));
}

// The first few of a dictionary of numbers: "f1_macro 0.91, loss 0.3".
export function few(metrics, most = 2) {
  return Object.entries(metrics ?? {}).slice(0, most).map(([name, value]) => `${name} ${number(value)}`).join(", ");
}

export function scores(run) {
  return few(run.metrics.test ?? run.metrics.validation);
}

export function plain(value) {
  if (typeof value === "number") return number(value);
  return typeof value === "string" ? value : JSON.stringify(value);
}
