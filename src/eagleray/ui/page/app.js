// Which part is shown, and how it stays as the storage is: each is asked for again every few seconds while it is seen.
import { forget } from "./chart.js";
import { el } from "./dom.js";
import { endpoints } from "./endpoints.js";
import { model, models } from "./models.js";
import { run } from "./run.js";
import { runs, sweeps } from "./runs.js";
import { sweep } from "./sweep.js";

const PARTS = { runs: [runs, run], sweeps: [sweeps, sweep], models: [models, model], endpoints: [endpoints] };
const KEY = "eagleray-ui-key";
const AGAIN_S = 5;
const at = id => document.getElementById(id);

let turn = 0;  // of what is shown: an answer that comes after another part was opened is dropped
let timer;
let drawn = "";

class Refused extends Error {}

async function get(path) {
  const key = sessionStorage.getItem(KEY);
  const response = await fetch(path, { headers: key ? { Authorization: `Bearer ${key}` } : {} });
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  const told = problem.detail ?? `the answer was ${response.status}`;
  throw response.status === 401 || response.status === 403 ? new Refused(told) : new Error(told);
}

async function show() {
  const [name = "runs", ...rest] = wanted();
  const part = (PARTS[name] ?? PARTS.runs)[Math.min(rest.length, 1)] ?? PARTS[name][0];
  const mine = ++turn;
  clearTimeout(timer);
  drawn = "";
  forget();
  for (const link of document.querySelectorAll("nav a")) {
    link.hash === `#/${name}` ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  }
  document.title = `${rest[0] ?? name} · eagleray`;
  at("main").replaceChildren(el("p", { class: "muted" }, "Looking…"));
  await look(part, rest[0], mine);
}

function wanted() {
  try {
    return location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);
  } catch {  // an address that somebody has cut off
    return [];
  }
}

async function look(part, id, mine) {
  let pause = AGAIN_S;
  try {
    const answers = await Promise.all([part.path, part.more].filter(Boolean).map(path => get(path(id))));
    if (mine !== turn) return;
    draw(part, answers);
    pause = part.every(...answers);
    trouble("");
  } catch (error) {
    if (mine !== turn) return;
    if (error instanceof Refused) return ask(error.message);
    trouble(`${error instanceof TypeError ? "eagleray ui does not answer" : error.message}. Trying again.`);
  }
  timer = setTimeout(() => document.hidden ? awake(part, id, mine) : look(part, id, mine), pause * 1000);
}

// A page that nobody sees asks for nothing.
function awake(part, id, mine) {
  document.addEventListener("visibilitychange", () => { if (mine === turn) look(part, id, mine); }, { once: true });
}

function draw(part, answers) {
  const now = JSON.stringify(answers);
  at("main").removeAttribute("aria-busy");
  if (now === drawn && !at("main").querySelector("time")) return;
  drawn = now;
  const focused = document.activeElement;
  // Not under the hands of somebody who types, chooses or marks a text: at the next look.
  if (focused?.matches("main input, main select") || String(getSelection())) return;
  const again = focused?.closest("main") ? focused.getAttribute("href") : null;
  at("main").replaceChildren(...part.draw(...answers).filter(Boolean));
  if (again) [...at("main").querySelectorAll("a")].find(link => link.getAttribute("href") === again)?.focus();
}

function trouble(message) {
  at("trouble").hidden = !message;
  at("trouble").textContent = message;
}

function ask(why) {
  trouble("");
  at("access-note").textContent = sessionStorage.getItem(KEY) ? `That key was refused: ${why}.` : "It stays in this tab.";
  sessionStorage.removeItem(KEY);
  at("main").replaceChildren();
  at("access").hidden = false;
  at("key").focus();
}

at("access").addEventListener("submit", event => {
  event.preventDefault();
  sessionStorage.setItem(KEY, at("key").value.trim());
  at("key").value = "";
  at("access").hidden = true;
  begin();
});

function begin() {
  get("/api/storage").then(({ storage }) => { at("storage").textContent = storage; }, () => {});
  show();
}

addEventListener("hashchange", show);
begin();
