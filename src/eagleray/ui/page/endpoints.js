// What the endpoints that follow aliases have decided last.
import { el, folded, link, phase, section, table, titled } from "./dom.js";
import { count, few, number, when } from "./format.js";

const SENTENCES = {
  stable: "answers with it alone",
  proving: "proves a candidate before it loads it",
  loading: "loads a candidate beside it",
  shadow: "sends a candidate copies of the requests",
  shifting: "turns over to a candidate",
  "rolled-back": "has refused the version that the alias pointed to",
};

export const endpoints = {
  path: () => "/api/endpoints",
  every: list => list.some(each => each.now && !["stable", "rolled-back"].includes(each.now.phase)) ? 2 : 8,
  draw: list => [
    titled("Endpoints"),
    section("", list.length ? endpointRows(list)
      : el("p", { class: "muted" }, "No model has an alias: there is nothing that an endpoint could follow.")),
    ...list.filter(each => each.decisions.length > 1).map(each =>
      folded(`decisions ${each.model} ${each.alias}`, `What ${each.model}@${each.alias} did before`, decisions(each.decisions))),
  ],
};

export function endpointRows(list, { withModel = true } = {}) {
  if (!list.length) return el("p", { class: "muted" }, "It has no alias that an endpoint could follow.");
  const heads = [["alias"], ["endpoint"], ["state"], ["answers with"], ["candidate"], ["since", "tight wide"], ["why", "wide"]];
  return table(heads, list.map(({ model, alias, points_to, now, heard, is_silent }) => {
    const name = withModel ? link(["models", model], `${model}@${alias}`) : alias;
    if (!now) return { cells: [name, phase("none", "nothing heard"), "", "", "", "", "no endpoint has followed it yet"] };
    const lags = points_to !== null && points_to !== now.stable && now.phase === "stable";
    return { cells: [name, life(heard, is_silent), el("span", {}, phase(now.phase), el("span", { class: "muted small wide" }, ` ${SENTENCES[now.phase] ?? ""}`)),
      `version ${now.stable}`, candidate(now, lags ? points_to : null), when(now.at), now.reason] };
  }));
}

function life(heard, isSilent) {
  if (!heard) return phase("none", "nothing heard");
  if (isSilent) return el("span", {}, phase("silent", "silent"), el("span", { class: "muted small" }, " ", when(heard.at)));
  return heard.num_replicas ? phase("running", count(heard.num_replicas, "replica")) : phase("silent", "no replica");
}

function candidate(now, awaited) {
  if (awaited) return el("span", { class: "muted" }, `version ${awaited} was promoted, and is not seen yet`);
  return now.candidate === null ? "" : `version ${now.candidate}, ${number(now.share * 100)} % of the requests`;
}

function decisions(list) {
  return table([["when", "tight"], ["state"], ["versions"], ["why"], ["measured", "wide"]], list.map(each => ({
    cells: [when(each.at), phase(each.phase),
      each.candidate === null ? `${each.stable}` : `${each.stable}, ${each.candidate} at ${number(each.share * 100)} %`,
      each.reason, few(Object.fromEntries(Object.entries(each.facts).filter(([, value]) => typeof value === "number")), 3)],
  })));
}
