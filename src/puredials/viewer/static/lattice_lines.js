// Lines and letters over the points: reciprocal cells, rotation axis, beam, the point that is labelled.

import { column, times, transposed, unit } from "./lattice_space.js";
import { COLOURS, inkOf } from "./lattice_points.js";

const MOST_CELLS = 50; // of more crystals the first
const EDGES = [0, 1, 2].flatMap((k) => [0, 1, 2, 3].map((n) => {
  const others = [0, 1, 2].filter((j) => j !== k), start = [0, 0, 0];
  start[others[0]] = n & 1;
  start[others[1]] = n >> 1;
  const end = [...start];
  end[k] = 1;
  return [start, end];
}));

// Place on the canvas (pixels, y down) of a point of the space that is shown.
export const placed = (look, canvas, v) => {
  const at = times(look.view, v);
  return [canvas.width / 2 + look.pan[0] + at[0] * look.scale, canvas.height / 2 - look.pan[1] - at[1] * look.scale];
};

const inked = (hex, look) => `rgb(${[1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16) * inkOf(look)).join(" ")})`;

function line(context, look, from, to, colour, label) {
  const [a, b] = [placed(look, context.canvas, from), placed(look, context.canvas, to)];
  context.strokeStyle = context.fillStyle = colour;
  context.beginPath();
  context.moveTo(...a);
  context.lineTo(...b);
  context.stroke();
  if (label) context.fillText(label, b[0] + 5 * look.unit, b[1] - 5 * look.unit);
}

export function drawLines(context, look, models, furthest, label) {
  const { canvas } = context;
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.lineWidth = 1.5 * look.unit;
  context.font = `${13 * look.unit}px system-ui, "DejaVu Sans", sans-serif`;
  const [first] = models, ink = look.ground[0] > 0.5 ? "#161b22" : "#ffffff";
  if (look.showCell) {
    const drawn = new Set(), many = new Set(models.map((model) => model.crystal)).size > 1;
    for (const model of models) {
      if (!model.A || drawn.has(model.crystal) || drawn.size === MOST_CELLS) continue;
      drawn.add(model.crystal);
      const axes = [0, 1, 2].map((k) => times(look.frame(model), column(model.A, k)).map((v) => v * look.cellSize));
      const corner = (n) => [0, 1, 2].map((j) => n[0] * axes[0][j] + n[1] * axes[1][j] + n[2] * axes[2][j]);
      const colour = many ? inked(COLOURS[model.crystal % COLOURS.length], look) : ink;
      for (const [from, to] of EDGES) line(context, look, corner(from), corner(to), colour);
      for (const k of [0, 1, 2]) line(context, look, [0, 0, 0], axes[k], colour, `${"abc"[k]}*`);
    }
  }
  const toFrame = (v) => times(look.frame(first), times(transposed(first.fixed), v));
  if (look.showAxis) {
    const axis = toFrame(first.axis.map((v) => v * look.turn * furthest * 1.1));
    line(context, look, axis.map((v) => -v), axis, ink, "rotation axis");
  }
  if (look.showBeam) {
    const beam = toFrame(times(transposed(first.setting), unit(first.s0)).map((v) => v * furthest * 1.1));
    line(context, look, [0, 0, 0], beam, inked("#ff8f6b", look), "beam");
  }
  if (label) {
    const at = placed(look, canvas, label.place);
    context.strokeStyle = ink;
    context.beginPath();
    context.arc(...at, 7 * look.unit, 0, 2 * Math.PI);
    context.stroke();
    const width = Math.max(...label.lines.map((text) => context.measureText(text).width)), high = 17 * look.unit;
    const x = Math.min(at[0] + 12 * look.unit, canvas.width - width - 12 * look.unit), y = Math.max(at[1] - high * label.lines.length, 8 * look.unit);
    context.fillStyle = "rgba(20, 25, 32, 0.85)";
    context.fillRect(x - 6 * look.unit, y - 4 * look.unit, width + 12 * look.unit, high * label.lines.length + 8 * look.unit);
    context.fillStyle = "#ffffff";
    label.lines.forEach((text, k) => context.fillText(text, x, y + high * (k + 0.8)));
  }
}
