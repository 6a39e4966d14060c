// The page of the image viewer: what is shown, and how it follows the controls, the mouse and the keys.

import { ask, arrays } from "./common.js";
import { Panels } from "./panels.js";
import { drawOver } from "./overlay.js";

const $ = (id) => document.getElementById(id);
const panels = new Panels($("image"));
const view = { x: 0, y: 0, scale: 1 };
const state = { sets: [], set: 0, image: 0, values: null, usable: null, over: null, rings: {}, ready: 0, work: 0 };
window.viewer = { state, view }; // what tests look at
let wanted = 0, drawing = false, playing = false;

async function guarded(action) {
  try { await action(); $("error").textContent = ""; } catch (error) { $("error").textContent = error.message; playing = false; }
}

async function chooseSet(number) {
  state.set = number;
  state.rings = {};
  const set = state.sets[number];
  $("name").textContent = set.name.split("/").pop();
  document.title = `${$("name").textContent} - image viewer`;
  $("jump").max = set.images - 1;
  state.usable = (await arrays("mask.bin", { set: number })).usable;
  panels.layout(set.panels, state.usable);
  await show(Math.min(state.image, set.images - 1));
  fit();
}

async function show(image) {
  const set = state.sets[state.set], ticket = ++wanted;
  image = Math.max(0, Math.min(set.images - 1, image));
  const query = { set: state.set, image, stack: $("stack").value, how: $("how").value };
  const [{ values }, over] = await Promise.all([arrays("image.bin", query), ask("overlay.json", query)]);
  if (ticket !== wanted) return; // a later request has overtaken this one
  Object.assign(state, { image, values, over });
  panels.fill(values);
  $("jump").value = image;
  $("number").value = image + set.first;
  draw();
  state.ready++;
}

async function rings(kind) {
  const key = kind === "powder" ? kind + $("cell").value : kind;
  state.rings[key] ??= await ask("rings.json", { set: state.set, kind, cell: $("cell").value });
  return state.rings[key];
}

function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(async () => {
    drawing = false;
    const chosen = [];
    await guarded(async () => {
      for (const kind of ["resolution", "ice", "powder"]) if ($(kind).checked) chosen.push([kind, await rings(kind)]);
    });
    if (!state.over) return;
    const begin = performance.now();
    const high = 10 ** Number($("high").value);
    $("high_value").textContent = high.toPrecision(3);
    panels.draw(view, { high, colours: $("colours").value, scaling: $("scaling").selectedIndex, marked: $("mask").checked });
    const toggles = Object.fromEntries([...document.querySelectorAll("aside input[type=checkbox]")].map((b) => [b.id, b.checked]));
    drawOver($("over"), view, { set: state.sets[state.set], over: state.over, rings: chosen, toggles, panels: panels.panels, values: state.values });
    state.work = performance.now() - begin;
  });
}

function extent() {
  const points = state.sets[state.set].panels.flatMap((p) => [[0, 0], [p.size[0], 0], [0, p.size[1]], p.size].map(
    ([i, j]) => [0, 1].map((k) => p.corner[k] + p.along[k] * i + p.down[k] * j)));
  return [0, 1].map((k) => [Math.min(...points.map((q) => q[k])), Math.max(...points.map((q) => q[k]))]);
}

function fit() {
  const [x, y] = extent(), { width, height } = $("image");
  view.scale = 0.98 * Math.min(width / (x[1] - x[0]), height / (y[1] - y[0]));
  view.x = width / 2 - (view.scale * (x[0] + x[1])) / 2;
  view.y = height / 2 - (view.scale * (y[0] + y[1])) / 2;
  draw();
}

function zoom(factor, x = $("image").width / 2, y = $("image").height / 2) {
  const scale = Math.max(0.01, Math.min(200, view.scale * factor)), change = scale / view.scale;
  Object.assign(view, { scale, x: x - (x - view.x) * change, y: y - (y - view.y) * change });
  draw();
}

function under(x, y) {
  const u = (x - view.x) / view.scale, v = (y - view.y) / view.scale;
  for (const [number, p] of panels.panels.entries()) {
    const du = u - p.corner[0], dv = v - p.corner[1], det = p.along[0] * p.down[1] - p.along[1] * p.down[0];
    const i = (du * p.down[1] - dv * p.down[0]) / det, j = (dv * p.along[0] - du * p.along[1]) / det;
    if (i >= 0 && j >= 0 && i < p.size[0] && j < p.size[1]) return { number, p, i, j };
  }
  return null;
}

function status(x, y) {
  const here = state.values && under(x, y);
  if (!here) { $("status").textContent = ""; return; }
  const { number, p, i, j } = here, set = state.sets[state.set], n = p.start + Math.floor(j) * p.size[0] + Math.floor(i);
  const lab = [0, 1, 2].map((k) => p.origin[k] + p.fast[k] * i * p.pixel[0] + p.slow[k] * j * p.pixel[1]);
  const q = lab.map((c, k) => c / Math.hypot(...lab) / set.wavelength - set.s0[k]);
  const hkl = state.over.hkl_matrices.map((m) => m.map((row) => (row[0] * q[0] + row[1] * q[1] + row[2] * q[2]).toFixed(2)).join(" "));
  $("status").textContent = [`x ${i.toFixed(1)} y ${j.toFixed(1)}`, panels.panels.length > 1 ? `panel ${number}` : "",
    `value ${state.values[n]}${state.usable[n] ? "" : " (masked)"}`, `resolution ${(1 / Math.hypot(...q)).toFixed(3)} Å`,
    `lab ${lab.map((c) => c.toFixed(2)).join(" ")} mm`, ...hkl.slice(0, 3).map((h) => `hkl ${h}`)].filter(Boolean).join("   ");
}

function play() {
  playing = !playing;
  $("play").textContent = playing ? "Stop" : "Play";
  const step = async () => {
    if (playing && state.image + 1 < state.sets[state.set].images) {
      await guarded(() => show(state.image + 1));
      setTimeout(step, 50);
    } else { playing = false; $("play").textContent = "Play"; }
  };
  step();
}

function png() {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [$("image").width, $("image").height];
  for (const id of ["image", "over"]) canvas.getContext("2d").drawImage($(id), 0, 0);
  canvas.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `image_${$("number").value}.png`;
    link.click();
    URL.revokeObjectURL(link.href);
  });
}

const go = (image) => guarded(() => show(image));
const ratio = () => window.devicePixelRatio || 1;
const actions = {
  previous: () => go(state.image - 1), next: () => go(state.image + 1), play, fit, png,
  full: () => zoom(1 / view.scale),
  clear: () => { for (const box of document.querySelectorAll("aside input[type=checkbox]")) box.checked = false; draw(); },
};
for (const [id, action] of Object.entries(actions)) $(id).addEventListener("click", action);
const keys = { ArrowLeft: actions.previous, ArrowRight: actions.next, " ": play, f: fit, 1: actions.full, "+": () => zoom(1.25), "-": () => zoom(0.8) };
document.addEventListener("keydown", (event) => {
  if (!keys[event.key] || event.target.closest("input, select, button")) return;
  event.preventDefault();
  keys[event.key]();
});
document.querySelector("aside").addEventListener("input", draw);
$("set").addEventListener("change", () => guarded(() => chooseSet(Number($("set").value))));
$("jump").addEventListener("input", () => go(Number($("jump").value)));
$("number").addEventListener("change", () => go(Number($("number").value) - state.sets[state.set].first));
for (const id of ["stack", "how"]) $(id).addEventListener("change", () => go(state.image));
const main = $("view");
main.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY / 400), event.offsetX * ratio(), event.offsetY * ratio());
}, { passive: false });
main.addEventListener("pointerdown", (event) => main.setPointerCapture(event.pointerId));
main.addEventListener("pointermove", (event) => {
  status(event.offsetX * ratio(), event.offsetY * ratio());
  if (event.buttons & 1) { view.x += event.movementX * ratio(); view.y += event.movementY * ratio(); draw(); }
});
new ResizeObserver(() => {
  for (const id of ["image", "over"]) [$(id).width, $(id).height] = [main.clientWidth * ratio(), main.clientHeight * ratio()];
  draw();
}).observe(main);

guarded(async () => {
  state.sets = await ask("sets.json", {});
  $("set").replaceChildren(...state.sets.map((set, k) => new Option(set.name.split("/").pop(), k)));
  $("set").hidden = state.sets.length < 2;
  for (const id of ["image", "over"]) [$(id).width, $(id).height] = [main.clientWidth * ratio(), main.clientHeight * ratio()];
  await chooseSet(0);
});
