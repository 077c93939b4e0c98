// One sweep: its trials, the best first, and how each came along.
import { chart } from "./chart.js";
import { el, link, phase, section, table, tiles, titled } from "./dom.js";
import { count, duration, number, plain, when } from "./format.js";
import { state } from "./runs.js";

export const sweep = {
  path: id => `/api/sweeps/${encodeURIComponent(id)}`,
  every: found => found.is_going && !found.is_silent ? 3 : 15,
  draw: found => [
    titled(found.run, state(found)),
    found.error ? el("p", { class: "trouble" }, found.error) : null,
    facts(found),
    found.objective ? section("Trials by step", curves(found)) : null,
    section("Trials", found.trials.length ? trials(found) : el("p", { class: "muted" }, "None yet.")),
    section("How it ended", winner(found)),
  ],
};

function facts(found) {
  const going = found.trials.filter(trial => trial.state === "running").length;
  const best = found.trials.find(trial => trial.place === 1);
  const by = found.objective;
  return tiles([
    ["Trials", number(found.trials.length), going ? `${going} going on` : ""],
    [by ? `Best ${by.metric}` : "Best", best ? number(best.value) : "", by ? `${by.mode === "max" ? "more" : "less"} is better` : ""],
    ["Steps", el("span", { id: "step" }, number(found.num_steps)), `${number(found.device_hours)} ${found.device}-hours`],
    ["Search took", duration(found.seconds)],
    ["Began", when(found.started_at)],
  ]);
}

function curves(found) {
  const best = found.trials.filter(trial => trial.steps.length);
  const lines = best.map((trial, at) => ({
    name: `trial ${trial.trial}`, x: trial.steps, y: trial.values, kind: at ? `is-${trial.state}` : "is-first",
  }));
  return lines.length ? chart(found.run, found.objective.metric, lines)
    : el("p", { class: "muted" }, "No trial was evaluated yet.");
}

function trials(found) {
  const keys = [...new Set(found.trials.flatMap(trial => Object.keys(trial.params)))];
  const heads = [["trial", "number"], ["state"], [found.objective?.metric ?? "value", "number"], ["at step", "number wide"],
    ["steps", "number wide"], ...keys.map(key => [key.split(".").at(-1), "number"]), ["", "wide"]];
  return table(heads, found.trials.map(trial => ({
    kind: trial.place === 1 ? "is-best" : "",
    cells: [number(trial.trial), phase(trial.state), number(trial.value), number(trial.value_step),
      `${number(trial.step)} / ${number(found.trial_steps)}`, ...keys.map(key => plain(trial.params[key] ?? "")),
      trial.error ? el("span", { class: "muted small" }, trial.error.split("\n")[0]) : ""],
  })));
}

function winner(found) {
  if (found.phase !== "succeeded") return el("p", { class: "muted" }, found.end_reason || "It has not ended yet.");
  return el("p", {}, `${found.end_reason}. The best of ${count(found.trials.length, "trial")} is the model of `, link(["runs", found.run], found.run),
    ": its checkpoint and its metrics are there.");
}
