// One run: how far it is, its curves, what it scores, what happened.
import { chart } from "./chart.js";
import { el, folded, section, table, tiles, titled } from "./dom.js";
import { between, moment, number, plain, size, when } from "./format.js";
import { state } from "./runs.js";

const FIRST = ["loss", "learning_rate", "gradient_norm", "samples_per_s", "tokens_per_s"];

export const run = {
  path: id => `/api/runs/${encodeURIComponent(id)}`,
  more: id => `/api/runs/${encodeURIComponent(id)}/curves`,
  every: found => found.is_going && !found.is_silent ? 2 : 15,
  draw: (found, curves) => [
    titled(found.run, state(found)),
    found.is_silent ? el("p", { class: "trouble" }, "Nothing was heard of this run since ", when(found.heard_at),
      ": it seems dead. Started again, its command goes on where it was saved last.") : null,
    found.error ? el("p", { class: "trouble" }, found.error) : null,
    facts(found),
    section("Curves", drawnCurves(found.run, curves.splits)),
    Object.keys(found.metrics).length ? section("Metrics", metrics(found.metrics)) : null,
    found.checkpoints.length ? section("Checkpoints", checkpoints(found.checkpoints)) : null,
    section("Events", events(found.events)),
    folded(`document ${found.run}`, "Document", el("pre", {}, found.document)),
    folded(`lock ${found.run}`, "Made with", el("pre", {}, JSON.stringify(found.lock, null, 2))),
  ],
};

export function facts(found) {
  const going = found.progress;
  const of = found.total_steps ? ` of ${number(found.total_steps)}` : "";
  const left = found.total_steps && found.is_going
    ? el("progress", { max: found.total_steps, value: found.step, "aria-label": "Steps" }) : null;
  return tiles([
    ["Step", el("span", { id: "step" }, `${number(found.step)}${of}`), left],
    ["Loss", going ? number(going.loss) : ""],
    ["Speed", going && going.samples_per_s ? `${number(Math.round(going.samples_per_s))} samples/s` : ""],
    ["Epoch", going ? number(going.epoch) : ""],
    ["Best step", number(found.best_step)],
    ["Began", when(found.started_at)],
    ["Took", between(found.started_at, found.ended_at)],
    ["Restarts", found.restarts || ""],
    ["Forked from", found.forked_from ? `${found.forked_from.run}, step ${found.forked_from.step}` : ""],
  ]);
}

function drawnCurves(id, splits) {
  const { train = { step: [] }, ...evaluated } = splits;
  const names = Object.keys(train).filter(name => name !== "step" && name !== "epoch");
  names.sort((a, b) => (FIRST.indexOf(a) + 1 || 99) - (FIRST.indexOf(b) + 1 || 99));
  const drawn = names.map(name => chart(`${id} train ${name}`, `train ${name}`, [{ x: train.step, y: train[name] }]));
  for (const [split, found] of Object.entries(evaluated)) {
    for (const name of Object.keys(found).filter(name => name !== "step")) {
      const line = { x: found.step, y: found[name], kind: "is-evaluated" };
      drawn.push(chart(`${id} ${split} ${name}`, `${split} ${name}`, [line]));
    }
  }
  return drawn.length ? el("div", { class: "charts" }, drawn)
    : el("p", { class: "muted" }, "No figures yet: they are written every few seconds once the training has begun.");
}

function metrics(found) {
  const splits = Object.keys(found);
  const names = [...new Set(splits.flatMap(split => Object.keys(found[split])))];
  return table([["metric"], ...splits.map(split => [split, "number"])],
    names.map(name => ({ cells: [name, ...splits.map(split => number(found[split][name]))] })));
}

function checkpoints(found) {
  const heads = [["step", "number"], ["written", "tight"], ["size", "number"], ["metrics", "wide"], [""]];
  return table(heads, found.map(each => ({
    kind: each.is_best ? "is-best" : "",
    cells: [number(each.step), when(each.created_at), size(each.size_bytes),
      Object.entries(each.metrics).slice(0, 3).map(([name, value]) => `${name} ${number(value)}`).join(", "),
      each.is_best ? el("span", { class: "tag tag-best" }, "best") : ""],
  })));
}

export function events(found) {
  if (!found.length) return el("p", { class: "muted" }, "None yet.");
  return el("ul", { class: "log" }, found.map(event => el("li", {},
    el("span", { class: "muted small" }, moment(event.at)), el("span", {}, event.kind),
    el("span", { class: "muted small" }, Object.entries(event.fields).map(([name, value]) =>
      `${name}=${told(value)}`).join("  ")))));
}

function told(value) {
  return value && typeof value === "object" && !Array.isArray(value)
    ? Object.entries(value).slice(0, 4).map(([name, each]) => `${name} ${plain(each)}`).join(", ") : plain(value);
}

