// The lists of runs and of sweeps.
import { el, link, phase, section, table, titled } from "./dom.js";
import { between, count, number, scores, when } from "./format.js";

const PHASES = ["running", "succeeded", "failed", "stopped", "pending"];
const wanted = { text: "", phase: "" };

export const runs = {
  path: () => "/api/runs",
  every: list => list.some(run => run.is_going) ? 4 : 10,
  draw: list => drawn("Runs", list.filter(run => run.kind !== "Sweep"), "runs"),
};

export const sweeps = {
  ...runs,
  draw: list => drawn("Sweeps", list.filter(run => run.kind === "Sweep"), "sweeps"),
};

export function state(run) {
  if (run.is_silent) return phase("silent", "silent");
  return phase(run.phase, run.is_going && run.progress ? run.progress.phase : run.phase);
}

function drawn(title, list, part) {
  const body = el("div");
  const fill = () => body.replaceChildren(...rows(list, part));
  const field = el("input", { type: "search", placeholder: "Name", "aria-label": "Name", id: "by-name" });
  field.value = wanted.text;
  field.addEventListener("input", () => { wanted.text = field.value; fill(); });
  const choice = el("select", { "aria-label": "Phase", id: "by-phase" }, el("option", { value: "" }, "every phase"),
    PHASES.map(name => el("option", { value: name }, name)));
  choice.value = wanted.phase;
  choice.addEventListener("change", () => { wanted.phase = choice.value; fill(); });
  fill();
  const going = list.filter(run => run.is_going && !run.is_silent).length;
  return [titled(title, el("span", { class: "muted" }, `${number(list.length)}${going ? `, ${going} going on` : ""}`)),
    el("div", { class: "filters" }, field, choice), section("", body)];
}

function rows(list, part) {
  const shown = list.filter(run => run.run.includes(wanted.text.trim()) && (!wanted.phase || run.phase === wanted.phase));
  if (!list.length) return [el("p", { class: "muted" }, "There is none on this storage yet.")];
  if (!shown.length) return [el("p", { class: "muted" }, `None of ${count(list.length, "run")} is like that.`)];
  const heads = [["run"], ["phase"], ["step", "number"], ["metrics"], ["began", "tight wide"], ["took", "tight wide"]];
  return [table(heads, shown.map(run => ({
    cells: [link([part, run.run], run.run), state(run), steps(run), scores(run), when(run.started_at),
      between(run.started_at, run.ended_at)],
  })))];
}

function steps(run) {
  return run.total_steps ? `${number(run.step)} / ${number(run.total_steps)}` : number(run.step);
}
