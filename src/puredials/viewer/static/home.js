// The home page of a processing folder: it asks every second what has changed.
import { $, ask, download, guarded, send } from "./common.js";

const EVERY = 1000; // ms
const WORDS = { done: "", running: "running", failed: "failed", interrupted: "interrupted", killed: "was killed" };
let state = { steps: [], files: [], pairs: [], viewers: [] };
let chosen = null; // the name of a program; null: the one that ran last
let tab = "log"; // or the name of a page
let shown = ""; // what the main part holds

const make = (tag, content = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), content);
  element.append(...children);
  return element;
};
const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
const size = (bytes) => (bytes < 1e4 ? `${bytes} B` : bytes < 1e6 ? `${(bytes / 1e3).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
const latest = () => [...state.steps].sort((a, b) => (b.state === "running") - (a.state === "running") || b.time - a.time)[0];
const current = () => state.steps.find((step) => step.program === chosen) ?? latest();

function steps() {
  const now = current();
  $("steps").replaceChildren(...state.steps.map((step) => {
    const button = make("button", { className: step.state, onclick: () => choose(step.program) },
      make("time", { textContent: clock(step.time) }), make("b", { textContent: step.program }));
    button.setAttribute("aria-pressed", step === now);
    const words = [WORDS[step.state], step.sentence].filter(Boolean).join(": ");
    if (words) button.append(make("small", { textContent: words }));
    if (step.state === "running" && step.total > 0) button.append(make("progress", { value: step.done, max: step.total }));
    else if (step.written.length) button.append(make("small", { textContent: step.written.join("  ") }));
    return button;
  }));
  if (!state.steps.length) $("steps").textContent = "No program has run here yet. This page follows when one does.";
  const running = state.steps.filter((step) => step.state === "running");
  $("now").textContent = running.map((step) => `${step.program} ${step.sentence.toLowerCase()}${step.total ? ` ${step.done} of ${step.total}` : ""}`).join(" · ") || "Nothing runs here now.";
}

function choose(program) {
  chosen = program;
  tab = current().pages[0] ?? "log";
  guarded(draw);
}

function pairs() {
  $("pairs").replaceChildren(...state.pairs.map(({ experiments, reflections }) => make("div", {},
    make("span", { textContent: [experiments, reflections].filter(Boolean).join(" + ") }),
    ...state.viewers.map((viewer) => make("button", { textContent: viewer, title: `Open the ${viewer} viewer`, onclick: () => open(viewer, experiments, reflections) })))));
  if (!state.pairs.length) $("pairs").textContent = "There are no experiments yet.";
}

function open(viewer, experiments, reflections) {
  const page = window.open("", "_blank"); // at once, or it counts as a pop-up
  $("now").textContent = `Opening ${experiments} ...`;
  guarded(async () => {
    try {
      page.location = (await send("open", { viewer, experiments, reflections })).path;
    } catch (error) {
      page.close();
      throw error;
    }
  });
}

function files() {
  $("files").replaceChildren(...state.files.map((file) => make("tr", {},
    make("td", {}, make("button", { textContent: file.name, title: file.kind, onclick: () => get(file) })),
    make("td", { textContent: size(file.size) }), make("td", { textContent: clock(file.time) }))));
}

function get(file) {
  guarded(async () => {
    if (file.kind === "page") return void (tab = file.name), draw();
    const reply = await fetch(`file?${new URLSearchParams({ name: file.name })}`);
    if (!reply.ok) throw new Error(await reply.text());
    download(await reply.blob(), file.name);
  });
}

function tabs(step) {
  const names = ["log", ...new Set([...step.pages, ...(tab === "log" ? [] : [tab])])];
  $("tabs").replaceChildren(...names.map((name) => {
    const button = make("button", { role: "tab", textContent: name === "log" ? step.log : name, onclick: () => { tab = name; guarded(draw); } });
    button.setAttribute("aria-selected", name === tab);
    button.setAttribute("aria-pressed", name === tab);
    return button;
  }));
}

// The log or the page that is chosen, if it is not what is shown already.
async function content(step) {
  $("log").hidden = tab !== "log";
  $("page").hidden = tab === "log";
  const file = state.files.find((one) => one.name === (tab === "log" ? step.log : tab));
  const wanted = `${file?.name} ${file?.time} ${file?.size}`;
  if (!file || wanted === shown) return;
  if (tab === "log") {
    const log = $("log"), follows = log.scrollTop + log.clientHeight > log.scrollHeight - 30 || !shown.startsWith(file.name);
    log.textContent = (await ask("log.json", { name: file.name })).text;
    if (follows) log.scrollTop = log.scrollHeight;
  } else $("page").src = `page?${new URLSearchParams({ name: file.name })}`;
  shown = wanted;
}

async function draw() {
  steps();
  pairs();
  files();
  $("folder").textContent = state.folder;
  document.title = `${state.folder.split("/").pop()} · puredials`;
  const step = current();
  if (step) {
    tabs(step);
    await content(step);
  }
}

let before = "";
async function watch() {
  await guarded(async () => {
    state = await ask("state.json");
    const now = JSON.stringify(state);
    if (now === before) return;
    before = now;
    await draw();
  });
  setTimeout(watch, EVERY);
}

watch();
