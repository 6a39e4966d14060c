// The page of the image viewer: what is shown, and how it follows the controls, the mouse and the keys.

import { $, arrays, ask, download, forControl, guarded, pending, ratio, send, speed, unit } from "./common.js";
import { Layout } from "./geometry.js";
import { Marks, TINTS, tint } from "./marks.js";
import { drawMarks, drawOver, setMarks } from "./overlay.js";
import { Panels } from "./panels.js";
import { csv, drawPlot } from "./plot.js";
import { Frame, holding, seen, whole } from "./tiles.js";
import { Tools, along } from "./tools.js";

const KEPT = 3, FAST = 5e7, SLOW_DOWN = 80, RINGS = ["resolution", "ice", "powder"], REFETCH = ["indexed", "integrated", "threshold"];
const main = $("view"), canvas = $("image");
const view = {
  x: 0, y: 0, scale: 1, fitted: true,
  screen([u, v]) { return [u * this.scale + this.x, v * this.scale + this.y]; },
  place(x, y) { return [(x - this.x) / this.scale, (y - this.y) / this.scale]; },
};
const state = { sets: [], set: 0, image: 0, mode: "image", layout: null, frame: null, over: {}, rings: [], ready: 0, drawn: 0, work: 0, works: [], whites: {} };
const tools = new Tools({
  locate: (x, y) => state.layout.under(...view.place(x, y)),
  within: (panel, x, y) => state.layout.on(panel, ...view.place(x, y)),
  changed: () => { $("drawn").textContent = `Mask: ${tools.shapes.length || "nothing"} drawn`; draw(); },
  measured: () => showPlot(lineProfile),
});
window.viewer = { state, view, tools, get gl() { return gl; }, go: (image) => go(image), value: (...at) => value(...at), draw: () => draw(), busy: () => drawing || pending.count > 0 }; // what tests look at
let gl = null, panels = null, marks = null;
let following = null, resting = null, wanted = 0, overs = 0, ringed = 0, drawing = false, playing = false, direction = 1, plotted = null;

const value = (panel, i, j) => state.frame.value(state.layout, panel, Math.floor(i), Math.floor(j));
const checked = () => Object.fromEntries([...document.querySelectorAll(".checks input")].map((box) => [box.id, box.checked]));

// --- what is asked of the server

const packed = () => ({ compress: speed() > FAST ? 0 : 1 });

const frames = new Map(); // the last images asked for, and the next one ahead of time

function frameOf(query) {
  const key = String(new URLSearchParams(query)), found = frames.get(key) ?? new Frame(query, (tile) => panels.add(tile));
  frames.delete(key);
  frames.set(key, found);
  for (const [old, frame] of frames) if (frames.size > KEPT && frame !== state.frame) {
    frame.end();
    for (const tile of frame.tiles.values()) panels.remove(tile);
    frames.delete(old);
  }
  return found;
}

const inView = () => seen(state.layout, view, canvas.width, canvas.height);

// After the view has moved: have what is seen, and then a coarse picture of all of it. One request at a time, of what is seen by then.
async function follow() {
  if (following || !state.frame) return;
  const { frame } = state, tiles = [inView(), whole(state.layout, fitting())].find((each) => frame.missing(each).length);
  if (!tiles || frame.failed) return;
  following = frame;
  await guarded(() => frame.load(tiles, packed()), () => { frame.failed = true; }, false);
  following = null;
  draw();
}

function thresholds() {
  const number = (id) => Number($(id).value);
  const dispersion = { kernel_size: $("kernel_size").value.trim().split(/[\s,]+/).map(Number) };
  for (const id of ["sigma_background", "sigma_strong", "global_threshold", "min_local", "gain"]) dispersion[id] = number(id);
  const radial_profile = { n_iqr: number("n_iqr"), n_bins: number("n_bins"), blur: $("blur").value === "none" ? null : $("blur").value };
  return { algorithm: $("algorithm").value, dispersion, radial_profile };
}

function question(image) {
  const query = { set: state.set, image, kind: $("kind").value, stack: $("stack").value, how: $("how").value };
  if (state.mode !== "image") Object.assign(query, { mode: state.mode, threshold: JSON.stringify(thresholds()) });
  return query;
}

function fetchOver(image) {
  const query = { set: state.set, image, stack: $("stack").value, how: $("how").value, indexed: $("indexed").checked, integrated: $("integrated").checked };
  if ($("threshold").checked) query.threshold = JSON.stringify(thresholds());
  return arrays("overlay.bin", { ...query, ...packed() });
}

async function show(image) {
  const set = state.sets[state.set], ticket = ++wanted, latest = ++overs;
  image = Math.max(0, Math.min(set.images - 1, image));
  direction = image < state.image ? -1 : 1;
  $("jump").value = image;
  $("number").value = image + set.first;
  const frame = frameOf(question(image));
  let over = {}, failure = null;
  frame.failed = false;
  try {
    [, over] = await Promise.all([frame.load(inView(), packed()), fetchOver(image)]);
  } catch (error) {
    failure = error;
    frame.failed = true;
  }
  if (ticket !== wanted) return; // a later request has overtaken this one
  state.got = performance.now();
  Object.assign(state, { image, frame, over });
  setMarks(marks, over, state.layout);
  legend();
  if (frame.about) setWhite(state.whites[brightness()] ?? frame.about.high);
  draw();
  state.ready++;
  if (failure) throw failure;
  if (latest !== overs) await refreshOver(); // what is marked has been chosen anew meanwhile
  if (plotted) showPlot(plotted);
  const next = image + direction;
  if (state.mode === "image" && next >= 0 && next < set.images) frameOf(question(next)).load(inView(), packed()).catch(() => {});
}

async function refreshOver() {
  const { set, image } = state, latest = ++overs, over = await fetchOver(image);
  if (latest !== overs || set !== state.set || image !== state.image) return;
  state.over = over;
  setMarks(marks, over, state.layout);
  draw();
}

async function refreshRings() {
  const queries = RINGS.filter((kind) => $(kind).checked), latest = ++ringed;
  const found = await Promise.all(queries.map((kind) => arrays("rings.bin", { set: state.set, kind, cell: $("cell").value, space_group: $("group").value })));
  if (latest !== ringed) return;
  state.rings = queries.map((kind, k) => [kind, { ...found[k], d: found[k].about.d }]);
  draw();
}

async function chooseSet(number) {
  if (number !== state.set) {
    Object.assign(state, { set: number, frame: null, over: {}, whites: {} });
    tools.shapes.length = 0;
    tools.shape = tools.path = plotted = null;
    $("drawer").hidden = true;
    tools.changed();
  }
  const set = state.sets[number];
  $("name").textContent = set.name.split("/").pop();
  $("name").title = set.name;
  document.title = `${$("name").textContent} - image viewer`;
  $("jump").max = set.images - 1;
  $("of").textContent = `of ${set.first + set.images - 1}`;
  state.layout = new Layout(set, $("projection").value);
  if (view.fitted) fit();
  await Promise.all([show(Math.min(state.image, set.images - 1)), refreshRings()]);
}

// --- drawing

function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => { drawing = false; paint(); });
}

function paint() {
  if (!state.frame) return;
  const begin = performance.now(), toggles = checked();
  gl.viewport(0, 0, canvas.width, canvas.height);
  gl.clearColor(0.81, 0.84, 0.87, 1);
  gl.clear(gl.COLOR_BUFFER_BIT);
  const look = { low: Number($("low").value), high: Number($("high").value), colours: $("colours").value, scaling: $("scaling").selectedIndex, marked: toggles.mask };
  const tiles = inView(), { frame } = state, coarse = [...frame.tiles.values()].filter(({ reduce }) => reduce >= tiles[0]?.reduce);
  const drawn = frame.missing(tiles).length ? coarse.sort((a, b) => b.reduce - a.reduce) : tiles.map(({ key }) => frame.tiles.get(key));
  panels.draw(drawn, state.layout, view, look, frame.about?.valid);
  drawMarks(marks, view, toggles, unit(), $("marking").value === "lattice");
  drawOver($("over"), { view, layout: state.layout, over: state.over, rings: state.rings, toggles, valueAt: value, font: Number($("font").value), unit: unit(), shapes: tools.all(), path: tools.path });
  state.work = performance.now() - begin;
  state.works.push(state.work);
  if (state.works.length > 200) state.works.shift();
  $("caption").textContent = caption();
  state.drawn++;
  setTimeout(follow);
}

// Which colour stands for which lattice.
function legend() {
  $("lattices").hidden = $("marking").value !== "lattice";
  $("lattices").replaceChildren(...[-1, ...(state.over.about?.lattices ?? []).slice(0, TINTS.length - 1)].map((lattice) => {
    const item = document.createElement("span"), patch = document.createElement("i");
    patch.style.background = tint(lattice);
    item.append(patch, lattice < 0 ? "not indexed" : `experiment ${lattice}`);
    return item;
  }));
}

// What is shown, where it is not simply the pixels of the image.
function caption() {
  const set = state.sets[state.set], first = state.image + set.first, last = Math.min(first + Number($("stack").value) - 1, set.first + set.images - 1);
  const image = last > first ? `${$("how").value} of images ${first} to ${last}` : `image ${first}`, words = [];
  if (state.mode !== "image") words.push(`${state.mode} of ${image}`); else if (last > first) words.push(image);
  if (view.scale < 0.999) words.push("a screen pixel shows the largest value beneath it");
  return words.join("; ");
}

// Sums need another white than images.
const brightness = () => [state.mode, $("kind").value, ...(Number($("stack").value) > 1 ? [$("stack").value, $("how").value] : [])].join();

function setWhite(high) {
  state.whites[brightness()] = high;
  $("high").value = +high.toPrecision(4);
  $("brightness").value = 4 - Math.log10(high);
}

// --- moving about

function zoomShown() {
  const option = [...$("zoom").options].find((o) => (view.fitted ? o.value === "fit" : Number(o.value) === view.scale));
  $("other").hidden = Boolean(option);
  $("other").text = `${(100 * view.scale).toPrecision(3)} %`;
  $("zoom").value = option ? option.value : "";
}

function fitting() {
  const [x, y] = state.layout.extent();
  return 0.98 * Math.min(canvas.width / (x[1] - x[0]), canvas.height / (y[1] - y[0]));
}

function fit() {
  const [x, y] = state.layout.extent(), { width, height } = canvas;
  view.scale = fitting();
  view.x = width / 2 - (view.scale * (x[0] + x[1])) / 2;
  view.y = height / 2 - (view.scale * (y[0] + y[1])) / 2;
  view.fitted = true;
  zoomShown();
  draw();
}

function zoom(factor, x = canvas.width / 2, y = canvas.height / 2) {
  const scale = Math.max(0.01, Math.min(200, view.scale * factor)), change = scale / view.scale;
  Object.assign(view, { scale, x: x - (x - view.x) * change, y: y - (y - view.y) * change, fitted: false });
  zoomShown();
  draw();
}

// What is under a place of the screen. A value that has not come is asked for where the mouse rests.
function status(x, y) {
  clearTimeout(resting);
  const here = state.frame && state.layout.under(...view.place(x, y));
  if (!here) { $("status").textContent = ""; return; }
  const { panel, i, j } = here, { frame, layout } = state, v = value(panel, i, j), lab = layout.lab(panel, i, j), q = layout.scattering(lab);
  if (v === undefined && !frame.failed) resting = setTimeout(async () => {
    if (await guarded(() => frame.load([holding(layout, panel, Math.floor(i), Math.floor(j))], packed()), undefined, false) && frame === state.frame) status(...pointer);
  }, SLOW_DOWN);
  const [low, high] = frame.about?.valid[panel] ?? [0, 0];
  const note = v === undefined ? "..." : v === null ? "masked" : `${+v.toPrecision(6)}${v < low || v > high ? " (out of range)" : ""}`;
  const hkl = (state.over.about?.hkl_matrices ?? []).slice(0, 3).map((m) => m.map((row) => (row[0] * q[0] + row[1] * q[1] + row[2] * q[2]).toFixed(2)).join(" "));
  $("status").textContent = [`x ${i.toFixed(1)}  y ${j.toFixed(1)}`, layout.set.panels.length > 1 ? `panel ${panel}` : "",
    `${state.mode === "image" ? "value" : state.mode} ${note}`, `resolution ${(1 / Math.hypot(...q)).toFixed(3)} Å`,
    `lab ${lab.map((c) => c.toFixed(2)).join(" ")} mm`, ...hkl.map((h) => `hkl ${h}`)].filter(Boolean).join("   ");
}

function play() {
  playing = !playing;
  $("play").textContent = playing ? "Stop" : "Play";
  const step = async () => {
    if (playing && state.image + 1 < state.sets[state.set].images) {
      await go(state.image + 1); // one that cannot be read is told and left behind
      if (pending.ended) playing = false; else setTimeout(step, 50);
    } else playing = false;
    if (!playing) $("play").textContent = "Play";
  };
  if (playing) step();
}

// --- what is measured and saved

async function lineProfile() {
  const points = along(tools.path, state.layout), tiles = points.map(({ at }) => holding(state.layout, ...at));
  await state.frame.load([...new Map(tiles.map((tile) => [tile.key, tile])).values()], packed());
  return { title: "Values along the line", x: points.map(({ x }) => x), y: points.map(({ at }) => value(...at)), xTitle: "distance (px)", yTitle: state.mode === "image" ? "counts" : state.mode };
}

async function radialAverage() {
  const { q, mean } = await arrays("radial.bin", { set: state.set, image: state.image, stack: $("stack").value, how: $("how").value, kind: $("kind").value });
  return { title: "Mean of the pixels at a resolution", x: [...q], y: [...mean], xTitle: "1/d (1/Å), and d (Å)", yTitle: $("kind").value === "raw" ? "mean counts" : "mean photons", label: (t) => (t ? `${t}  (${(1 / t).toFixed(2)})` : "0") };
}

async function showPlot(kind) {
  plotted = kind;
  await guarded(async () => {
    const curve = await kind();
    $("drawer").hidden = false;
    $("plot_title").textContent = curve.title;
    drawPlot($("plot"), curve, unit());
    state.curve = curve;
  });
}

function png() {
  paint(); // what WebGL has drawn is only there until the browser has shown it
  const whole = document.createElement("canvas");
  [whole.width, whole.height] = [canvas.width, canvas.height];
  for (const id of ["image", "over"]) whole.getContext("2d").drawImage($(id), 0, 0);
  whole.toBlob((blob) => download(blob, `image_${$("number").value}.png`));
}

async function saveAs(name, what) {
  await guarded(async () => { $("said").textContent = `Saved ${await send(name, what)}`; });
}

// --- controls

const go = (image) => guarded(() => show(image));
const press = (id) => $(id).click();
function toggled(id) {
  if (RINGS.includes(id)) guarded(refreshRings);
  else if (REFETCH.includes(id)) guarded(refreshOver);
  else draw();
}
function pressed(group, button) {
  for (const b of $(group).querySelectorAll("button[value]")) b.setAttribute("aria-pressed", b === button);
}
function useTool(kind) {
  pressed("tools", $("tools").querySelector(`[value=${kind}]`));
  main.classList.toggle("drawing", kind !== "pan");
  tools.choose(kind);
}
function setMode(button) {
  state.mode = button.value;
  pressed("modes", button);
  go(state.image);
}
function algorithmChosen() {
  const radial = $("algorithm").value === "radial_profile";
  $("of_dispersion").hidden = radial;
  $("of_radial_profile").hidden = !radial;
  for (const button of $("modes").querySelectorAll("button")) button.disabled = radial && ["sigma_b", "sigma_s", "global"].includes(button.value);
  if (radial && $("modes").querySelector("[aria-pressed=true]").disabled) press_mode("threshold");
}
const press_mode = (mode) => setMode($("modes").querySelector(`[value=${mode}]`));
function thresholdsChanged() {
  algorithmChosen();
  if (state.mode !== "image") go(state.image);
  else if ($("threshold").checked) guarded(refreshOver);
}

const actions = {
  previous: () => go(state.image - 1), next: () => go(state.image + 1), play, png,
  auto: () => { if (state.frame?.about) setWhite(state.frame.about.high); draw(); },
  clear: () => { for (const box of document.querySelectorAll(".checks input")) box.checked = false; guarded(refreshRings); guarded(refreshOver); },
  help: () => $("keys").showModal(),
  undo: () => tools.undo(),
  radial: () => showPlot(radialAverage),
  close: () => { $("drawer").hidden = true; plotted = null; tools.path = null; draw(); },
  csv: () => download(new Blob([csv(state.curve)], { type: "text/csv" }), "curve.csv"),
  save_phil: () => saveAs("find_spots", { name: $("phil").value, threshold: thresholds() }),
  save_mask: () => saveAs("mask", { name: $("mask_file").value, set: state.set, shapes: tools.shapes }),
};
for (const [id, action] of Object.entries(actions)) $(id).addEventListener("click", action);
for (const box of document.querySelectorAll(".checks input")) box.addEventListener("change", () => toggled(box.id));
for (const button of $("modes").querySelectorAll("button")) button.addEventListener("click", () => setMode(button));
for (const button of $("tools").querySelectorAll("button[value]")) button.addEventListener("click", () => useTool(button.value));
for (const id of ["algorithm", "sigma_background", "sigma_strong", "global_threshold", "min_local", "gain", "kernel_size", "n_iqr", "n_bins", "blur"]) $(id).addEventListener("change", thresholdsChanged);
for (const id of ["colours", "scaling", "low", "font"]) $(id).addEventListener("input", draw);
$("high").addEventListener("input", () => { state.whites[brightness()] = Number($("high").value); $("brightness").value = 4 - Math.log10(Number($("high").value)); draw(); });
$("brightness").addEventListener("input", () => { setWhite(10 ** (4 - $("brightness").value)); draw(); });
$("marking").addEventListener("change", () => { legend(); draw(); });
for (const id of ["cell", "group"]) $(id).addEventListener("change", () => guarded(refreshRings));
for (const id of ["stack", "how", "kind"]) $(id).addEventListener("change", () => go(state.image));
$("projection").addEventListener("change", () => guarded(() => chooseSet(state.set)));
$("set").addEventListener("change", () => guarded(() => chooseSet(Number($("set").value))));
$("jump").addEventListener("input", () => go(Number($("jump").value)));
$("number").addEventListener("change", () => go(Number($("number").value) - state.sets[state.set].first));
$("zoom").addEventListener("change", () => { if ($("zoom").value === "fit") fit(); else zoom(Number($("zoom").value) / view.scale); });

const brighter = (factor) => { setWhite(Number($("high").value) / factor); draw(); };
const last = () => state.sets[state.set].images - 1;
const keys = {
  ArrowLeft: (e) => go(state.image - (e.shiftKey ? 10 : 1)), ArrowRight: (e) => go(state.image + (e.shiftKey ? 10 : 1)),
  Home: () => go(0), End: () => go(last()), " ": play, f: fit, 1: () => zoom(1 / view.scale), 2: () => zoom(2 / view.scale),
  "+": () => zoom(1.25), "-": () => zoom(0.8), "[": () => brighter(1 / 1.25), "]": () => brighter(1.25), a: actions.auto, s: png, "?": actions.help,
  Escape: () => useTool("pan"),
};
for (const [key, id] of Object.entries({ r: "resolution", i: "ice", w: "powder", c: "beam", x: "axis", o: "observed", b: "boxes", p: "predicted", h: "hkl", t: "threshold", m: "mask" })) keys[key] = () => press(id);
document.addEventListener("keydown", (event) => {
  if (!keys[event.key] || event.ctrlKey || forControl(event)) return;
  event.preventDefault();
  keys[event.key](event);
});

let pointer = [0, 0];
const at = (event) => [event.offsetX * ratio(), event.offsetY * ratio()];
const onPicture = (event) => event.target === $("over");
main.addEventListener("wheel", (event) => {
  if (!onPicture(event)) return;
  event.preventDefault();
  zoom(Math.exp(-event.deltaY / 400), ...at(event));
}, { passive: false });
main.addEventListener("pointerdown", (event) => {
  if (!onPicture(event) || !state.frame) return;
  $("over").setPointerCapture(event.pointerId);
  if (event.button === 0) tools.down(...at(event));
});
main.addEventListener("pointermove", (event) => {
  if (!onPicture(event) || !state.frame) return;
  pointer = at(event);
  status(...pointer);
  if (tools.move(...at(event))) return;
  if (event.buttons & 1) {
    Object.assign(view, { x: view.x + event.movementX * ratio(), y: view.y + event.movementY * ratio(), fitted: false });
    zoomShown();
    draw();
  }
});
main.addEventListener("pointerup", (event) => { if (onPicture(event)) tools.up(); });
main.addEventListener("dblclick", () => tools.finish());
// Canvases have exactly the pixels of the screen: a browser that had to stretch them would blur single pixels.
function resized([entry]) {
  const exact = entry.devicePixelContentBoxSize?.[0];
  const size = exact ? [exact.inlineSize, exact.blockSize] : [main.clientWidth, main.clientHeight].map((n) => Math.round(n * ratio()));
  for (const id of ["image", "over"]) [$(id).width, $(id).height] = size;
  if (!state.layout) return;
  if (view.fitted) fit(); else draw();
}
const sized = new Promise((known) => {
  const watcher = new ResizeObserver((entries) => { resized(entries); known(); });
  try { watcher.observe(main, { box: "device-pixel-content-box" }); } catch { watcher.observe(main); }
});

guarded(async () => {
  [state.sets] = await Promise.all([ask("sets.json"), sized]);
  state.layout = new Layout(state.sets[0], $("projection").value);
  fit();
  frameOf(question(0)).load(inView(), packed()).catch(() => {}); // comes while the graphics card is made ready
  gl = canvas.getContext("webgl2", { antialias: false, alpha: false });
  if (!gl) throw new Error("This browser offers no WebGL2.");
  [panels, marks] = [new Panels(gl), new Marks(gl)];
  $("set").replaceChildren(...state.sets.map((set, k) => new Option(set.name.split("/").pop(), k)));
  $("set").hidden = state.sets.length < 2;
  $("name").hidden = !$("set").hidden;
  await chooseSet(0);
});
