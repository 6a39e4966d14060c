// What is drawn over the picture: rings, the beam, reflections, and counts where pixels are large enough.

const STYLE = { resolution: "#0a7d33", ice: "#0077aa", powder: "#8a2be2" };
const INDEXED = 4, INTEGRATED = 256 | 512;

export function drawOver(canvas, view, { set, over, rings, toggles, panels, values }) {
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.font = `${canvas.width > 2800 ? 24 : 12}px system-ui, sans-serif`;
  context.lineWidth = canvas.width > 2800 ? 3 : 1.5;
  const place = (number, i, j) => {
    const p = panels[number];
    return [0, 1].map((k) => (p.corner[k] + p.along[k] * i + p.down[k] * j) * view.scale + [view.x, view.y][k]);
  };
  const seen = ([x, y]) => x > -50 && y > -50 && x < canvas.width + 50 && y < canvas.height + 50;
  for (const [kind, lines] of rings) drawRings(context, lines, STYLE[kind], place, seen);
  if (set.beam_centre) {
    const [x, y] = set.beam_centre.map((c, k) => c * view.scale + [view.x, view.y][k]);
    if (toggles.axis && set.axis) {
      const p = panels[0], along = ["fast", "slow"].map((d) => set.axis.reduce((s, c, k) => s + c * p[d][k], 0));
      stroke(context, "#c04000", () => {
        context.moveTo(x - along[0] * 1e4, y - along[1] * 1e4);
        context.lineTo(x + along[0] * 1e4, y + along[1] * 1e4);
      });
    }
    if (toggles.beam) stroke(context, "#0b3fff", () => {
      context.moveTo(x - 9, y); context.lineTo(x + 9, y); context.moveTo(x, y - 9); context.lineTo(x, y + 9);
    });
  }
  drawReflections(context, over.reflections, toggles, place, seen, view);
  if (view.scale > 28) drawCounts(context, canvas, values, panels, view);
}

function stroke(context, colour, path) {
  context.strokeStyle = colour;
  context.beginPath();
  path();
  context.stroke();
}

function drawRings(context, lines, colour, place, seen) {
  context.fillStyle = colour;
  for (const { d, points } of lines) {
    let pen = false, labelled = false;
    stroke(context, colour, () => {
      for (const point of points) {
        if (!point) { pen = false; continue; }
        const at = place(...point);
        if (pen) context.lineTo(...at); else context.moveTo(...at);
        pen = true;
        if (!labelled && seen(at)) { context.fillText(`${d.toFixed(2)} Å`, at[0] + 3, at[1] - 3); labelled = true; }
      }
    });
  }
}

function drawReflections(context, found, toggles, place, seen, view) {
  const n = found.panel?.length ?? 0;
  const chosen = (k) => !found.flags || ((!toggles.indexed || found.flags[k] & INDEXED) && (!toggles.integrated || found.flags[k] & INTEGRATED));
  const each = (colour, list, path) => list && stroke(context, colour, () => {
    for (let k = 0; k < n; ++k) if (list[k] && chosen(k)) path(list[k], found.panel[k], k);
  });
  if (toggles.boxes) each("#0b3fff", found.box, ([x0, x1, y0, y1], p) => {
    const corners = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]].map(([i, j]) => place(p, i, j));
    if (!corners.some(seen)) return;
    context.moveTo(...corners[3]);
    for (const corner of corners) context.lineTo(...corner);
  });
  const cells = (list, fill) => {
    context.fillStyle = fill;
    for (const [k, pixels] of (list ?? []).entries()) if (pixels && chosen(k)) for (const [i, j] of pixels) {
      const [x, y] = place(found.panel[k], i, j);
      if (seen([x, y])) context.fillRect(x, y, Math.max(view.scale, 1), Math.max(view.scale, 1));
    }
  };
  if (toggles.strong) cells(found.strong, "rgb(0 160 60 / 60%)");
  if (toggles.peak) cells(found.peak, "rgb(230 0 160 / 80%)");
  const cross = (s) => ([i, j], p) => {
    const [x, y] = place(p, i, j);
    if (!seen([x, y])) return;
    context.moveTo(x - s, y - s); context.lineTo(x + s, y + s); context.moveTo(x - s, y + s); context.lineTo(x + s, y - s);
  };
  if (toggles.observed) each("#d00020", found.observed, cross(3));
  if (toggles.predicted) each("#b07000", found.predicted, ([i, j], p) => {
    const [x, y] = place(p, i, j);
    if (seen([x, y])) context.rect(x - 4, y - 4, 8, 8);
  });
  if (toggles.hkl && found.hkl) {
    context.fillStyle = "#6a0dad";
    const where = found.predicted ?? found.observed ?? [];
    for (let k = 0; k < n; ++k) if (where[k] && chosen(k) && found.hkl[k].some((h) => h !== 0)) {
      const at = place(found.panel[k], ...where[k]);
      if (seen(at)) context.fillText(found.hkl[k].join(" "), at[0] + 6, at[1] - 5);
    }
  }
}

function drawCounts(context, canvas, values, panels, view) {
  context.textAlign = "center";
  for (const p of panels) {
    const from = [0, 1].map((k) => Math.max(0, Math.floor(-[view.x, view.y][k] / view.scale - p.corner[k])));
    const to = [canvas.width, canvas.height].map((w, k) => Math.min(p.size[k], Math.ceil((w - [view.x, view.y][k]) / view.scale - p.corner[k])));
    for (let j = from[1]; j < to[1]; ++j) for (let i = from[0]; i < to[0]; ++i) {
      const at = [0, 1].map((k) => (p.corner[k] + p.along[k] * (i + 0.5) + p.down[k] * (j + 0.5)) * view.scale + [view.x, view.y][k]);
      const text = String(+Number(values[p.start + j * p.size[0] + i]).toPrecision(4));
      context.strokeStyle = "#fff";
      context.strokeText(text, at[0], at[1] + 4);
      context.fillStyle = "#00308f";
      context.fillText(text, at[0], at[1] + 4);
    }
  }
  context.textAlign = "start";
}
