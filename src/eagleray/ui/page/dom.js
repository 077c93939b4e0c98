// How elements are made: from text, never from HTML, so nothing that a record says is run.

export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

// A table in a box of its own that scrolls: the page never gets wider than the screen.
export function table(heads, rows) {
  const cells = heads.map(([text, kind = ""]) => el("th", { class: kind, scope: "col" }, text));
  const body = rows.map(({ cells, kind = "" }) =>
    el("tr", { class: kind }, cells.map((cell, at) => el("td", { class: heads[at][1] ?? "" }, cell))));
  return el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, cells)), el("tbody", {}, body)));
}

export function tiles(facts) {
  const shown = facts.filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return el("dl", { class: "tiles" }, shown.map(([name, value, note]) =>
    el("div", {}, el("dt", {}, name), el("dd", {}, value), note ? el("dd", { class: "muted" }, note) : null)));
}

export function section(title, ...children) {
  return el("section", {}, title ? el("h2", {}, title) : null, ...children);
}

export function titled(title, ...beside) {
  return el("div", { class: "titled" }, el("h1", {}, title), ...beside);
}

export function phase(name, shown = name) {
  return el("span", { class: `phase phase-${name}` }, shown);
}

export function link(parts, text) {
  return el("a", { href: `#/${parts.map(encodeURIComponent).join("/")}` }, text);
}

// What is folded open or shut stays so when the page is drawn anew.
const isOpen = new Map();
export function folded(id, title, ...children) {
  const details = el("details", {}, el("summary", {}, title), ...children);
  details.open = isOpen.get(id) ?? false;
  details.addEventListener("toggle", () => isOpen.set(id, details.open));
  return el("section", {}, details);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(2).filter(child => child !== null && child !== undefined && child !== ""));
  return element;
}
