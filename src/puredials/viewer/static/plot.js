// A curve on a canvas, and its numbers as text.

const STEPS = [1, 2, 5, 10];

function ticks(low, high, about) {
  const rough = (high - low) / about, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * STEPS.find((s) => s * power >= rough);
  const found = [];
  for (let t = Math.ceil(low / step); t * step <= high + 1e-9 * step; ++t) found.push(+(t * step).toPrecision(12));
  return found;
}

// `label`: position -> text of a tick of the horizontal axis.
export function drawPlot(canvas, { x, y, xTitle, yTitle, label = String }, unit) {
  const context = canvas.getContext("2d");
  [canvas.width, canvas.height] = [canvas.clientWidth * devicePixelRatio, canvas.clientHeight * devicePixelRatio];
  const { width, height } = canvas, left = 70 * unit, right = 15 * unit, top = 10 * unit, bottom = 42 * unit;
  context.clearRect(0, 0, width, height);
  context.font = `${11.5 * unit}px system-ui, "DejaVu Sans", sans-serif`;
  const values = y.filter((v) => v !== null);
  if (!values.length) { context.fillText("No pixel here may be used.", left, height / 2); return; }
  const least = (list) => list.reduce((a, b) => Math.min(a, b)), most = (list) => list.reduce((a, b) => Math.max(a, b));
  const [x0, x1] = [least(x), most(x) || 1], y0 = Math.min(0, least(values)), y1 = Math.max(most(values) * 1.05, y0 + 1e-9);
  const px = (v) => left + ((v - x0) / (x1 - x0 || 1)) * (width - left - right), py = (v) => height - bottom - ((v - y0) / (y1 - y0)) * (height - top - bottom);
  context.strokeStyle = "#d5dbe1";
  context.fillStyle = "#161b22";
  context.lineWidth = unit;
  context.textAlign = "center";
  for (const t of ticks(x0, x1, 7)) {
    line([[px(t), top], [px(t), height - bottom]]);
    context.fillText(label(t), px(t), height - bottom + 14 * unit);
  }
  context.fillText(xTitle, (left + width - right) / 2, height - 7 * unit);
  context.textAlign = "right";
  for (const t of ticks(y0, y1, 5)) {
    line([[left, py(t)], [width - right, py(t)]]);
    context.fillText(String(t), left - 5 * unit, py(t) + 4 * unit);
  }
  context.save();
  context.translate(14 * unit, (top + height - bottom) / 2);
  context.rotate(-Math.PI / 2);
  context.textAlign = "center";
  context.fillText(yTitle, 0, 0);
  context.restore();
  context.strokeStyle = "#0b57d0";
  context.lineWidth = 1.5 * unit;
  let part = [];
  for (let k = 0; k <= x.length; ++k) {
    if (k < x.length && y[k] !== null) part.push([px(x[k]), py(y[k])]);
    else { line(part); part = []; }
  }

  function line(points) {
    context.beginPath();
    for (const [n, q] of points.entries()) { if (n) context.lineTo(...q); else context.moveTo(...q); }
    context.stroke();
  }
}

export const csv = ({ x, y, xTitle, yTitle }) => [`"${xTitle}","${yTitle}"`, ...x.map((v, k) => `${v},${y[k] ?? ""}`)].join("\n") + "\n";
