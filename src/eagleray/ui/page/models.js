// The registered models; of one its versions, and who moved its aliases.
import { endpointRows } from "./endpoints.js";
import { el, link, section, table, titled } from "./dom.js";
import { few, number, size, when } from "./format.js";

export const models = {
  path: () => "/api/models",
  every: () => 10,
  draw: list => [
    titled("Models", el("span", { class: "muted" }, number(list.length))),
    section("", list.length ? names(list)
      : el("p", { class: "muted" }, "None is registered: `eagleray register RUN` makes one.")),
  ],
};

export const model = {
  path: name => `/api/models/${encodeURIComponent(name)}`,
  every: () => 5,
  draw: found => [
    titled(found.name, aliases(found.aliases)),
    section("Versions", found.versions.length ? versions(found) : el("p", { class: "muted" }, "None is finished.")),
    ...Object.entries(found.histories).map(([alias, changes]) => section(`History of ${alias}`, history(changes))),
    section("Endpoints", endpointRows(found.endpoints, { withModel: false })),
  ],
};

function names(list) {
  const heads = [["model"], ["versions", "number"], ["newest", "number"], ["aliases"], ["metrics", "wide"], ["made", "tight"]];
  return table(heads, list.map(each => ({
    cells: [link(["models", each.name], each.name), number(each.num_versions), number(each.newest?.version),
      aliases(each.aliases), few(each.newest?.metrics.test ?? each.newest?.metrics.validation), when(each.newest?.created_at)],
  })));
}

function aliases(found) {
  return Object.values(found).map(change => [el("span", { class: "tag" }, `${change.alias} → ${change.version}`), " "]);
}

function versions(found) {
  const heads = [["version", "number"], ["aliases"], ["metrics"], ["run"], ["method", "wide"], ["size", "number wide"], ["made", "tight wide"]];
  return table(heads, found.versions.map(each => ({
    cells: [number(each.version), each.aliases.map(alias => [el("span", { class: "tag tag-best" }, alias), " "]),
      few(each.metrics.test ?? each.metrics.validation, 3), link(["runs", each.run], each.run),
      Object.keys(each.onnx).length ? `${each.method}, onnx` : each.method, size(each.size_bytes), when(each.created_at)],
  })));
}

function history(changes) {
  const heads = [["when", "tight"], ["change"], ["by"], ["reason", "wide"]];
  return table(heads, changes.map(each => ({
    cells: [when(each.at), change(each), each.by, each.reason],
  })));
}

function change(each) {
  if (each.action === "remove") return `removed, was version ${each.version}`;
  const from = each.previous === null ? "" : `, from ${each.previous}`;
  return `${each.action} to version ${each.version}${from}`;
}
