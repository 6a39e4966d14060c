// The home page of a processing folder: it asks every second what has changed.
import { $, ask, download, guarded, send } from "./common.js";
import { log, make, overview } from "./home_parts.js";

const EVERY = 1000; // ms
const WORDS = { done: "", running: "running", failed: "failed", interrupted: "interrupted", killed: "was killed" };
const DAY = 86_400_000; // ms
let state = { steps: [], files: [], pairs: [], viewers: [] };
let chosen = null; // the name of a program; null: the overview
let tab = "log"; // or the name of a page
let shown = ""; // what the main part holds
let named = null; // files whose names hold what is asked for; null: nothing is

const clock = (seconds) => {
  const when = new Date(seconds * 1000);
  if (Date.now() - when < DAY) return when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
  return when.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
};
const size = (bytes) => (bytes < 1e4 ? `${bytes} B` : bytes < 1e6 ? `${(bytes / 1e3).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
const current = () => state.steps.find((step) => step.program === chosen);

function steps() {
  const now = current();
  $("home").setAttribute("aria-pressed", String(!now && tab === "log"));
  $("steps").replaceChildren(...state.steps.map((step) => {
    const button = make("button", { className: step.state, onclick: () => choose(step.program) },
      make("time", { textContent: clock(step.time) }), make("b", { textContent: step.program.replace(/^dials\./, "") }));
    button.title = [step.program, ...step.written].join("  ");
    button.setAttribute("aria-pressed", String(step === now));
    const words = [WORDS[step.state], step.sentence].filter(Boolean).join(": ") || step.findings.map((finding) => finding.said).filter(Boolean).join(" · ");
    if (words) button.append(make("small", { textContent: words }));
    if (step.state === "running" && step.total > 0) button.append(make("progress", { value: step.done, max: step.total }));
    if (step.concerns.length) button.append(make("small", { className: "look", textContent: "deserves a look" }));
    return button;
  }));
  if (!state.steps.length) $("steps").textContent = "No program has run here yet. This page follows when one does.";
  const running = state.steps.filter((step) => step.state === "running");
  $("now").textContent = running.map((step) => [step.program, step.sentence.toLowerCase(), step.total ? `${step.done} of ${step.total}` : ""].filter(Boolean).join(" ")).join(" · ") || "Nothing runs here now.";
  const name = state.folder.split("/").pop(), share = running.filter((step) => step.total).map((step) => `${Math.floor(100 * step.done / step.total)} % `).pop() ?? "";
  document.title = `${running.length ? `▶ ${share}` : state.overview.state === "failed" ? "✗ " : ""}${name} · puredials`;
}

function choose(program) {
  chosen = program;
  tab = current()?.pages[0] ?? "log";
  guarded(draw);
}

const viewing = (viewer, { experiments, reflections }) => {
  const files = [experiments, reflections].filter(Boolean).join(" + "), needed = viewer === "lattice" && !reflections;
  return make("button", { textContent: viewer, disabled: needed, title: needed ? "There are no reflections to show." : `Open ${files} in the viewer of ${viewer}`, onclick: () => open(viewer, experiments, reflections) });
};

function pairs() {
  $("pairs").replaceChildren(...state.pairs.map((pair) => {
    const stem = pair.experiments.replace(/\.expt$/, ""), refl = pair.reflections?.replace(/\.refl$/, "");
    return make("div", {}, make("span", { textContent: refl && refl !== stem ? `${stem} + ${refl}` : stem, title: [pair.experiments, pair.reflections].filter(Boolean).join(" + ") }), ...state.viewers.map((viewer) => viewing(viewer, pair)));
  }));
  if (!state.pairs.length) $("pairs").textContent = "There are no experiments yet.";
}

function open(viewer, experiments, reflections) {
  const page = window.open("", "_blank"); // at once, or it counts as a pop-up
  $("now").textContent = `Opening ${experiments} ...`;
  guarded(async () => {
    try {
      page.location = (await send("open", { viewer, experiments, reflections })).path;
      $("now").textContent = `Opened ${experiments}.`;
    } catch (error) {
      page.close();
      throw error;
    }
  });
}

function files() {
  const listed = named ?? state.files;
  $("files").replaceChildren(...listed.map((file) => make("tr", {},
    make("td", {}, make("button", { textContent: file.name, title: file.kind, onclick: () => get(file) })),
    make("td", { textContent: size(file.size) }), make("td", { textContent: clock(file.time) }))));
  $("n_files").textContent = named ? `${listed.length} found` : listed.length < state.n_files ? `the newest of ${state.n_files}` : `${state.n_files}`;
}

function get(file) {
  guarded(async () => {
    if (file.kind === "page") { tab = file.name; chosen = null; return draw(); }
    const reply = await fetch(`file?${new URLSearchParams({ name: file.name })}`);
    if (!reply.ok) throw new Error(await reply.text());
    download(await reply.blob(), file.name);
  });
}

function tabs(step) {
  const names = [...(step ? ["log", ...step.pages] : []), ...(tab === "log" || step?.pages.includes(tab) ? [] : [tab])];
  $("tabs").hidden = !names.length;
  $("tabs").replaceChildren(...names.map((name) => {
    const button = make("button", { textContent: name === "log" ? step.log : name, onclick: () => { tab = name; guarded(draw); } });
    button.setAttribute("aria-pressed", String(name === tab));
    return button;
  }));
  const pair = step && state.pairs.find(({ experiments }) => step.written.includes(experiments));
  if (pair) $("tabs").append(make("span", { className: "end", textContent: "Look at" }), ...state.viewers.map((viewer) => viewing(viewer, pair)));
}

// The overview, the log or the page that is chosen, if it is not what is shown already.
async function content(step) {
  const what = tab !== "log" ? "page" : step ? "log" : "overview";
  for (const id of ["overview", "log", "page"]) $(id).hidden = id !== what;
  if (what === "overview") {
    const now = JSON.stringify(state.overview);
    if (now !== shown) $("overview").replaceChildren(...overview(state.overview, choose));
    return void (shown = now);
  }
  const file = [...state.files, ...(named ?? [])].find((one) => one.name === (what === "log" ? step.log : tab));
  const wanted = `${file?.name} ${file?.time} ${file?.size}`;
  if (!file || wanted === shown) return;
  if (what === "log") {
    const box = $("log"), same = shown.startsWith(`${file.name} `), at = box.scrollTop, follows = at + box.clientHeight > box.scrollHeight - 30;
    const parts = log((await ask("log.json", { name: file.name })).blocks);
    if (chosen !== step.program || tab !== "log") return; // something else has been chosen meanwhile
    box.replaceChildren(...parts);
    box.scrollTop = same && !follows ? at : box.scrollHeight;
  } else $("page").src = `page?${new URLSearchParams({ name: file.name })}`;
  shown = wanted;
}

async function draw() {
  steps();
  pairs();
  files();
  $("folder").textContent = state.folder;
  tabs(current());
  await content(current());
}

async function search() {
  const like = $("like").value.trim(), found = like ? await ask("files.json", { like }) : null;
  if (like === $("like").value.trim()) { named = found; files(); }
}

async function watch() {
  await guarded(async () => {
    const now = await ask("state.json", { mark: state.mark ?? "" });
    if (now.mark === state.mark) return;
    state = now;
    if (named) await search();
    await draw();
  }, () => { state.mark = null; }, false);
  setTimeout(watch, EVERY);
}

$("home").onclick = () => choose(null);
$("like").addEventListener("input", () => guarded(search));
watch();
