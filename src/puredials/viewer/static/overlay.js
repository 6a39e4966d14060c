// What is drawn over the picture: marks of reflections, then lines and text on a canvas of its own.

const MARKS = [ // from the lowest to the topmost: kind, toggle, what is drawn
  ["threshold", { ink: [0, 0.66, 0.78, 0.75], shape: "fill" }],
  ["strong", { ink: [0, 0.63, 0.24, 0.6], shape: "fill" }],
  ["peak", { ink: [0.9, 0, 0.63, 0.8], shape: "fill" }],
  ["boxes", { ink: [0.04, 0.25, 1, 1], shape: "box", pad: 0.5 }],
  ["predicted", { ink: [0.69, 0.44, 0, 1], shape: "circle", pad: 5 }],
  ["observed", { ink: [0.82, 0, 0.13, 1], shape: "cross", pad: 3.5 }],
];
// Colours, and the corner towards which the labels of a kind stand, where lines cross at an angle.
const RINGS = { resolution: ["#0a7d33", 1, -1], ice: ["#0077aa", 1, 1], powder: ["#8a2be2", -1, -1] };
const MOST_LABELS = 1500, COUNTS_FROM = 30;

// Give the graphics card the marks of an image.
export function setMarks(marks, over, layout) {
  for (const [kind] of MARKS)
    marks.set(kind, over[kind] ?? [], layout, { box: kind === "boxes", size: ["threshold", "strong", "peak"].includes(kind) ? 1 : 0, owners: over[`${kind}_of`] });
}

export function drawMarks(marks, view, toggles, unit, byLattice) {
  for (const [kind, style] of MARKS)
    if (toggles[kind]) marks.draw(kind, view, { ...style, pad: (style.pad ?? 0) * unit, line: unit, byLattice });
}

export function drawOver(canvas, { view, layout, over, rings, toggles, valueAt, font, unit, shapes, path }) {
  const context = canvas.getContext("2d"), { width, height } = canvas;
  context.clearRect(0, 0, width, height);
  context.font = `${font * unit}px system-ui, "DejaVu Sans", sans-serif`;
  context.lineWidth = 1.5 * unit;
  const place = (panel, i, j) => view.screen(layout.flat(panel, i, j));
  const seen = ([x, y]) => x > -50 && y > -50 && x < width + 50 && y < height + 50;
  const stroke = (colour, draw) => { context.strokeStyle = colour; context.beginPath(); draw(); context.stroke(); };
  const text = (words, x, y, colour) => {
    context.save();
    context.lineWidth = 3 * unit;
    context.strokeStyle = "rgb(255 255 255 / 85%)";
    context.lineJoin = "round";
    context.strokeText(words, x, y);
    context.fillStyle = colour;
    context.fillText(words, x, y);
    context.restore();
  };
  for (const [kind, lines] of rings) drawRings(lines, ...RINGS[kind]);
  const { set } = layout;
  if (set.beam) {
    const [x, y] = place(...set.beam);
    if (toggles.axis && set.axis) {
      const { fast, slow } = set.panels[set.beam[0]], { along, down } = layout.places[set.beam[0]];
      const [f, s] = [fast, slow].map((d) => set.axis.reduce((sum, c, k) => sum + c * d[k], 0));
      const step = [0, 1].map((k) => (along[k] * f + down[k] * s) * 2e4);
      stroke("#c04000", () => { context.moveTo(x - step[0], y - step[1]); context.lineTo(x + step[0], y + step[1]); });
      const end = [0, 1].map((k) => [x, y][k] + step[k] / Math.hypot(...step) * 70 * unit);
      text("rotation axis", end[0], end[1] - 5 * unit, "#c04000");
    }
    if (toggles.beam) stroke("#0b3fff", () => {
      const r = 10 * unit;
      context.moveTo(x - r, y); context.lineTo(x + r, y); context.moveTo(x, y - r); context.lineTo(x, y + r);
    });
  }
  if (view.scale / unit >= COUNTS_FROM) drawCounts();
  if (toggles.hkl && over.hkl) drawLabels();
  for (const shape of shapes) drawShape(shape);
  if (path) stroke("#d00020", () => { context.moveTo(...place(...path[0])); context.lineTo(...place(...path[1])); });

  function drawRings({ d, panel, at }, colour, right, down) {
    const n = d.length ? panel.length / d.length : 0;
    const labels = [], towards = ([x, y]) => right * x + down * y;
    for (let r = 0; r < d.length; ++r) stroke(colour, () => {
      let pen = false, best = null;
      for (let k = r * n; k < (r + 1) * n; ++k) {
        if (panel[k] < 0) { pen = false; continue; }
        const q = place(panel[k], at[2 * k], at[2 * k + 1]);
        if (pen) context.lineTo(...q); else context.moveTo(...q);
        pen = true;
        const inside = q[0] > 0 && q[1] > font * unit && q[0] < width - 60 * unit && q[1] < height;
        if (inside && (!best || towards(q) > towards(best))) best = q;
      }
      if (best) labels.push([`${d[r].toFixed(2)} Å`, best]);
    });
    let last = null;
    for (const [words, [x, y]] of labels) {
      if (last && Math.hypot(x - last[0], y - last[1]) < 1.3 * font * unit) continue;
      text(words, x + 3 * unit, y - 3 * unit, colour);
      last = [x, y];
    }
  }

  function drawLabels() {
    let drawn = 0;
    for (let k = 0; 3 * k < over.labelled.length && drawn < MOST_LABELS; ++k) {
      const q = place(over.labelled[3 * k], over.labelled[3 * k + 1], over.labelled[3 * k + 2]);
      if (!seen(q)) continue;
      text(`${over.hkl[3 * k]} ${over.hkl[3 * k + 1]} ${over.hkl[3 * k + 2]}`, q[0] + 6 * unit, q[1] - 5 * unit, "#6a0dad");
      ++drawn;
    }
  }

  function drawCounts() {
    context.textAlign = "center";
    context.textBaseline = "middle";
    const corners = [[0, 0], [width, 0], [0, height], [width, height]].map((q) => view.place(...q));
    for (const [panel, { size }] of set.panels.entries()) {
      const at = corners.map((q) => layout.on(panel, ...q));
      const range = [0, 1].map((k) => [Math.max(0, Math.floor(Math.min(...at.map((q) => q[k])))), Math.min(size[k], Math.ceil(Math.max(...at.map((q) => q[k]))))]);
      for (let j = range[1][0]; j < range[1][1]; ++j) for (let i = range[0][0]; i < range[0][1]; ++i) {
        const value = valueAt(panel, i, j);
        if (value !== undefined) text(value === null ? "×" : String(+Number(value).toPrecision(4)), ...place(panel, i + 0.5, j + 0.5), "#00308f");
      }
    }
    context.textAlign = "start";
    context.textBaseline = "alphabetic";
  }

  function drawShape({ kind, panel, points }) {
    const at = points.map((q) => place(panel, ...q));
    context.fillStyle = "rgb(217 89 26 / 35%)";
    stroke("#b3400a", () => {
      if (kind === "circle") {
        if (at[1]) context.arc(...at[0], Math.hypot(at[1][0] - at[0][0], at[1][1] - at[0][1]), 0, 2 * Math.PI);
      } else if (kind === "rectangle") {
        if (at[1]) context.rect(...at[0], at[1][0] - at[0][0], at[1][1] - at[0][1]);
      } else {
        for (const [n, q] of at.entries()) { if (n) context.lineTo(...q); else context.moveTo(...q); }
        if (at.length > 2) context.closePath();
      }
      context.fill();
    });
  }
}
