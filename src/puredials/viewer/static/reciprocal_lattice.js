// The page of the reciprocal lattice viewer: what is shown, and how it follows the controls, the mouse and the keys.

import { $, arrays, ask, download, forControl, guarded, pending, ratio, send, unit } from "./common.js";
import { drawLines } from "./lattice_lines.js";
import { OUTLIERS, Points, WHICH, colourOf } from "./lattice_points.js";
import { drawPeriodicity, judgement, periodicity } from "./lattice_projection.js";
import { IDENTITY, column, detectorShift, dot, imageAt, inverse, lookDown, product, rlpOf, rotation, row, times, transposed, unit as normalized } from "./lattice_space.js";

const main = $("view"), canvas = $("points"), over = $("over").getContext("2d"), HIGHEST = 65535, ENOUGH = 100_000; // points that tell of a period as well as all
const gl = canvas.getContext("webgl2", { antialias: false, alpha: false });
const points = gl && new Points(gl);
const number = (id) => Number($(id).value);
const look = {
  view: IDENTITY, scale: 1, pan: [0, 0], fitted: true, hidden: new Set(), which: "all", outliers: "all",
  get turn() { return $("invert").checked ? -1 : 1; },
  get panel() { return number("panel"); },
  get shift() { const home = homeBeam(); return [number("beam_x") - home[0], number("beam_y") - home[1]]; },
  get dMin() { return number("d_min"); },
  get z() { return [number("z_min"), number("z_max")]; },
  get count() { return [number("n_min"), $("n_max").value === "" ? HIGHEST : number("n_max")]; },
  get part() { return [number("p_min") - 1e-5, number("p_max") + 1e-5]; },
  get size() { return number("size") * unit(); },
  get colouring() { return $("colouring").value; },
  get ground() { return $("ground").value === "white" ? [1, 1, 1] : [0, 0, 0]; },
  get showCell() { return $("cell").checked; }, get showAxis() { return $("axis").checked; }, get showBeam() { return $("beam").checked; },
  get cellSize() { return number("cell_size"); }, get unit() { return unit(); },
  frame: (model) => ($("crystal_frame").checked && model.U ? transposed(model.U) : IDENTITY),
};
const state = { data: null, ready: 0, drawn: 0, work: 0, label: null, found: null };
window.viewer = { state, look, rlp, shown, picture, busy: () => waiting || later !== 0 || pending.count > 0 }; // what tests look at
let waiting = false, later = 0;

// --- the data

const homeBeam = () => { const { panels } = state.data.about.models[0]; return panels[Math.min(look.panel, panels.length - 1)].beam; };
const models = () => state.data.about.models;
const shownModels = () => [...new Set(state.data.about.batches.filter((b) => !look.hidden.has(b.id)).map((b) => b.model))].map((k) => models()[k]);
const crystalModel = () => shownModels().find((m) => m.A) ?? models().find((m) => m.A);

const batchOf = (n) => state.data.about.batches.find((b) => n >= b.first && n < b.first + b.count);
function rlp(n) { return placer(models()[batchOf(n).model])(n); }

// Where the points of a model are, as the controls say now: reading controls takes longer than placing a point.
function placer(model) {
  const { position, phi } = state.data, { turn } = look, shift = detectorShift(model, look.panel, look.shift);
  return (n) => rlpOf(model, position.subarray(3 * n, 3 * n + 3), phi[n], shift, turn);
}
const place = (n) => times(look.frame(models()[batchOf(n).model]), rlp(n));

// What passes the filters, of all points or of every so many: numbers of points, as the shader decides.
function shown(act, every = 1) {
  const { status, pixels, partiality, phi, about } = state.data, longest = look.dMin > 0 ? 1 / look.dMin : Infinity;
  const [z, count, part, which, outliers] = [look.z, look.count, look.part, WHICH.indexOf(look.which), OUTLIERS.indexOf(look.outliers)];
  for (const batch of about.batches) {
    if (look.hidden.has(batch.id)) continue;
    const model = models()[batch.model], placed = placer(model);
    for (let n = batch.first; n < batch.first + batch.count; n += every) {
      const image = imageAt(model, phi[n]), s = status[n], p = pixels ? pixels[n] : HIGHEST, share = partiality ? partiality[n] / HIGHEST : 1;
      if (image < z[0] - 1e-3 || image > z[1] + 1e-3 || p < count[0] || p > count[1] || share < part[0] || share > part[1]) continue;
      if ((which === 1 && !(s & 1)) || (which === 2 && s & 1) || (which === 3 && !(s & 2)) || (outliers && (outliers === 2) !== Boolean(s & 4))) continue;
      const at = placed(n);
      if (Math.hypot(...at) <= longest) act(n, at, model, image);
    }
  }
}

// --- drawing

function resize() {
  for (const c of [canvas, $("over")]) [c.width, c.height] = [Math.max(1, main.clientWidth * ratio()), Math.max(1, main.clientHeight * ratio())];
  if (state.data && look.fitted) fit(); else draw();
}

function draw() {
  if (waiting || !state.data) return;
  waiting = true;
  requestAnimationFrame(() => {
    const start = performance.now();
    waiting = false;
    render();
    state.work = performance.now() - start;
    ++state.drawn;
  });
  if (!$("drawer").hidden) { clearTimeout(later); later = setTimeout(project, 250); }
}

function render() {
  points.draw(look);
  $("matrix").textContent = [0, 1, 2].map((k) => row(look.view, k).map((v) => (Math.round(100 * v) / 100 || 0).toFixed(2)).join(" ")).join(" | ");
  const label = state.label && { ...state.label, place: place(state.label.n) };
  drawLines(over, look, shownModels().length ? shownModels() : models().slice(0, 1), state.data.about.furthest, $("label").checked ? label : null);
}

function fit() {
  const covered = $("drawer").offsetHeight * ratio();
  look.scale = 0.47 * Math.min(canvas.width, canvas.height - covered) / state.data.about.furthest;
  Object.assign(look, { pan: [0, covered / 2], fitted: true });
  draw();
}

function turn(axis, angle) { look.view = product(rotation(axis, angle), look.view); draw(); }
function move(x, y) { Object.assign(look, { pan: [look.pan[0] + x, look.pan[1] + y], fitted: false }); draw(); }
function zoom(factor, x = 0, y = 0) {
  const pan = [x + (look.pan[0] - x) * factor, y + (look.pan[1] - y) * factor];
  Object.assign(look, { scale: look.scale * factor, pan, fitted: false });
  draw();
}

function down(what) {
  const model = crystalModel(), first = shownModels()[0] ?? models()[0];
  const inFrame = (v) => times(look.frame(first), times(transposed(first.fixed), v));
  const reciprocal = (k) => times(look.frame(model), column(model.A, k));
  if (what === "axis" && !models().some((m) => m.rotates)) return tell("Nothing rotates here.");
  if (what === "axis") look.view = lookDown(inFrame(first.axis), inFrame(first.s0));
  else if (what === "beam") look.view = lookDown(inFrame(times(transposed(first.setting), first.s0.map((v) => -v))), inFrame(first.axis));
  else if (model) look.view = lookDown(reciprocal("abc".indexOf(what)), reciprocal(("abc".indexOf(what) + 2) % 3));
  else return tell("There is no crystal yet: index first.");
  draw();
}

const tell = (text) => { $("said").textContent = text; };

// --- the nearest point

let asked = 0;
async function nearest(x, y) {
  if (!state.data) return;
  const n = points.nearest(look, x, y), turnNumber = ++asked;
  if (n < 0) { if (state.label) { state.label = null; draw(); } return; }
  if (state.label?.n === n) return;
  const told = await ask("point.json", { n });
  if (turnNumber !== asked) return;
  const at = rlp(n), model = models()[batchOf(n).model], d = 1 / Math.hypot(...at);
  const index = model.A ? times(inverse(model.A), at).map((v) => v.toFixed(2)).join(" ") : null;
  const lines = [told.hkl ? `hkl ${told.hkl.join(" ")}` : "not indexed", `d ${d.toFixed(3)} Å`, `image ${told.image}`, `x ${told.xyz[0]} y ${told.xyz[1]} z ${told.xyz[2]}`];
  if (model.panels.length > 1) lines.push(`panel ${told.panel}`);
  if (index) lines.push(`by this geometry ${index}`);
  state.label = { n, lines, told };
  $("status").textContent = lines.join("   ");
  draw();
}

// --- projection

function direction() {
  const what = $("along").value, model = crystalModel();
  if (what === "right" || what === "up") return { screen: row(look.view, what === "right" ? 0 : 1) };
  return model ? { real: Number(what) } : { screen: row(look.view, 0) };
}

// What the points of a model are projected on; nothing where it has no crystal to tell.
function projector(along, model) {
  if (along.screen) return times(transposed(look.frame(model)), along.screen);
  return model.A ? normalized(row(inverse(model.A), along.real)) : null;
}

function project() {
  later = 0;
  if ($("drawer").hidden) return;
  const along = direction(), t = [], images = [];
  let last = null, towards = null;
  shown((n, at, model, image) => {
    if (model !== last) [last, towards] = [model, projector(along, model)];
    if (!towards) return;
    t.push(dot(towards, at));
    images.push(image);
  }, Math.ceil(state.data.phi.length / ENOUGH));
  const plot = $("plot");
  [plot.width, plot.height] = [plot.clientWidth * ratio(), plot.clientHeight * ratio()];
  const found = (state.found = periodicity(Float64Array.from(t), Float64Array.from(images), Math.max(number("longest"), 5)));
  $("found").textContent = t.length < 20 ? "Too few points." : `${judgement(found)} Period ${found.period.toFixed(2)} Å, sharpness ${found.sharpness.toFixed(2)} of 1 (by image ${found.local.toFixed(2)}).`;
  drawPeriodicity(plot, found);
}

function toggleProjection() {
  $("drawer").hidden = !$("drawer").hidden;
  $("projection").setAttribute("aria-pressed", String(!$("drawer").hidden));
  if (look.fitted) fit(); else draw();
}

// --- controls

function choices(id, set) {
  $(id).addEventListener("click", ({ target }) => {
    if (!target.value) return;
    for (const button of $(id).children) button.setAttribute("aria-pressed", String(button === target));
    set(target.value);
    draw();
  });
}
choices("which", (value) => { look.which = value; });
choices("outliers", (value) => { look.outliers = value; });

function experimentButtons() {
  const ids = [...new Set(state.data.about.batches.map((b) => b.id))].sort((a, b) => a - b);
  $("ids").replaceChildren(...ids.map((id) => {
    const button = document.createElement("button"), { batch, model } = ofExperiment(id);
    button.textContent = button.value = id;
    button.title = id < 0 ? "Spots of no experiment" : `${model.name}${model.cell ? `, cell ${model.cell.join(" ")}` : ""}`;
    button.style.borderLeftColor = colourOf($("colouring").value, batch, model);
    button.onclick = () => show((each) => (each === id ? look.hidden.has(id) : !look.hidden.has(each)));
    return button;
  }));
  show((id) => !look.hidden.has(id));
}

const ofExperiment = (id) => { const batch = state.data.about.batches.find((b) => b.id === id); return { batch, model: models()[batch.model] }; };

// Which experiments are shown: whether one is, by its number.
function show(chosen) {
  const buttons = [...$("ids").children];
  look.hidden = new Set(buttons.map((b) => Number(b.value)).filter((id) => !chosen(id)));
  for (const button of buttons) button.setAttribute("aria-pressed", String(!look.hidden.has(Number(button.value))));
  $("n_ids").textContent = buttons.length > 1 ? `${buttons.length - look.hidden.size} of ${buttons.length}` : "";
  draw();
}

function resetGeometry() {
  const [x, y] = homeBeam();
  [$("beam_x").value, $("beam_y").value, $("invert").checked] = [x.toFixed(4), y.toFixed(4), false];
  state.label = null;
  draw();
}

async function saveGeometry() {
  const [x, y] = look.shift;
  await guarded(async () => tell(`Saved ${await send("save", { name: $("file").value, panel: look.panel, x, y, invert: $("invert").checked })}`));
}

function picture() {
  render(); // the buffer is kept until the browser draws: copy it at once
  const copy = document.createElement("canvas");
  [copy.width, copy.height] = [canvas.width, canvas.height];
  const context = copy.getContext("2d");
  context.drawImage(canvas, 0, 0);
  context.drawImage($("over"), 0, 0);
  return copy;
}

function savePng() { picture().toBlob((blob) => download(blob, "reciprocal_lattice.png")); }

for (const what of ["a", "b", "c", "axis", "beam"]) $(`down_${what}`).onclick = () => down(what);
$("fit").onclick = fit;
$("every_id").onclick = () => show(() => true);
$("no_id").onclick = () => show(() => false);
$("png").onclick = savePng;
$("help").onclick = () => $("keys").showModal();
$("projection").onclick = toggleProjection;
$("reset").onclick = resetGeometry;
$("save").onclick = saveGeometry;
$("panel").addEventListener("input", resetGeometry);
$("colouring").addEventListener("input", () => {
  for (const button of $("ids").children) { const { batch, model } = ofExperiment(Number(button.value)); button.style.borderLeftColor = colourOf($("colouring").value, batch, model); }
});
document.addEventListener("input", draw);
new ResizeObserver(resize).observe(main);

let held = null, hover = 0;
const fromCentre = (event) => {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) * ratio() - canvas.width / 2, canvas.height / 2 - (event.clientY - box.top) * ratio()];
};
const surface = $("over");
surface.addEventListener("pointerdown", (event) => { held = event; surface.setPointerCapture(event.pointerId); main.focus(); });
surface.addEventListener("pointerup", () => { held = null; });
surface.addEventListener("contextmenu", (event) => event.preventDefault());
surface.addEventListener("pointermove", (event) => {
  if (held) {
    const [x, y] = [(event.clientX - held.clientX), (held.clientY - event.clientY)], move_ = event.shiftKey || held.button === 2;
    if (move_) move(x * ratio(), y * ratio());
    else if (event.ctrlKey || event.metaKey) { const [a, b] = [fromCentre(held), fromCentre(event)]; turn([0, 0, 1], Math.atan2(b[1], b[0]) - Math.atan2(a[1], a[0])); }
    else if (x || y) turn([-y, x, 0], Math.hypot(x, y) / 200);
    Object.defineProperty(event, "button", { value: held.button });
    held = event;
  } else if ($("label").checked) {
    clearTimeout(hover);
    const [x, y] = fromCentre(event);
    hover = setTimeout(() => guarded(() => nearest(x + canvas.width / 2, y + canvas.height / 2)), 40);
  }
});
surface.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY / 500), ...fromCentre(event)); }, { passive: false });

const toggle = (id) => { $(id).checked = !$(id).checked; draw(); };
const KEYS = {
  a: () => down("a"), b: () => down("b"), c: () => down("c"), x: () => down("axis"), z: () => down("beam"), 0: fit, "+": () => zoom(1.2), "=": () => zoom(1.2), "-": () => zoom(1 / 1.2),
  ",": () => turn([0, 0, 1], 0.0873), ".": () => turn([0, 0, 1], -0.0873), f: () => toggle("crystal_frame"), l: () => toggle("label"), e: () => toggle("cell"), p: toggleProjection, s: savePng, "?": () => $("keys").showModal(),
};
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
document.addEventListener("keydown", (event) => {
  const arrow = ARROWS[event.key];
  if (!state.data || forControl(event)) return;
  if (arrow) {
    const [x, y] = arrow;
    if (event.shiftKey) move(40 * x * ratio(), 40 * y * ratio());
    else turn([-y, x, 0], (event.ctrlKey ? 0.5 : 5) * Math.PI / 180);
  } else if (KEYS[event.key] && !event.ctrlKey) KEYS[event.key]();
  else return;
  event.preventDefault();
});

// --- start

async function start() {
  if (!gl) throw new Error("This browser has no WebGL2.");
  const from = performance.now(), data = await arrays("points.bin");
  state.data = data;
  points.fill(data);
  const { about } = data, count = data.phi.length;
  const names = [...new Set(models().map((m) => m.name))];
  $("name").textContent = `${names[0].split("/").pop()}${names.length > 1 ? ` and ${names.length - 1} more` : ""}`;
  $("name").title = names.slice(0, 50).join("\n");
  $("file").value = about.name;
  [$("z_min").value, $("z_max").value] = about.z;
  $("d_min").value = Math.floor(100 / about.furthest) / 100;
  $("n_max").value = data.pixels ? data.pixels.reduce((a, b) => Math.max(a, b), 0) : "";
  for (const [id, there] of [["n_min", data.pixels], ["n_max", data.pixels], ["p_min", data.partiality], ["p_max", data.partiality]]) $(id).disabled = !there;
  for (const [ids, there] of [[["cell", "cell_size", "crystal_frame"], crystalModel()], [["axis", "invert"], models().some((m) => m.rotates)]])
    for (const id of ids) $(id).disabled = !there;
  for (const option of $("along").options) option.disabled = option.value.length === 1 && !crystalModel();
  $("panel").max = models()[0].panels.length - 1;
  if (crystalModel())
    [$("along").value, $("longest").value] = ["0", Math.ceil(0.16 * Math.max(...crystalModel().cell.slice(0, 3))) * 10];
  $("size").value = count > 200_000 ? 1 : count > 20_000 ? 2 : 3;
  resetGeometry();
  experimentButtons();
  resize();
  if (models()[0].rotates) down("beam");
  fit();
  render();
  gl.finish();
  state.loaded = performance.now() - from;
  tell(count < about.rows ? `${count.toLocaleString("en")} of ${about.rows.toLocaleString("en")} points` : `${count.toLocaleString("en")} points`);
  main.focus();
  ++state.ready;
}
guarded(start);
