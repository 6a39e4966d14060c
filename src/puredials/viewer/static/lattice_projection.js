// Points projected on a direction: their periodicity, and whether the layers that it makes are straight.

const BINS = 16384, LENGTHS = 600, IMAGES = 60, PHASES = 40;

// `t`: projections (1/Angstrom); `image`: of each point. Power of exp(2 pi i t L) for lengths L up to `longest` Angstrom,
// the length of the highest peak, and how the phases at that length spread over the images.
export function periodicity(t, image, longest) {
  const n = t.length;
  let reach = 1e-9;
  for (let k = 0; k < n; k++) reach = Math.max(reach, Math.abs(t[k]));
  const counts = new Float64Array(BINS), step = 2 * reach / (BINS - 1);
  for (let k = 0; k < n; k++) counts[Math.round((t[k] + reach) / step)]++;
  const filled = [...counts.keys()].filter((k) => counts[k]);
  const strength = (length) => {
    let re = 0, im = 0;
    for (const k of filled) {
      const angle = 2 * Math.PI * (k * step - reach) * length;
      re += counts[k] * Math.cos(angle);
      im += counts[k] * Math.sin(angle);
    }
    return Math.hypot(re, im) / Math.max(n, 1);
  };
  const lengths = Float64Array.from({ length: LENGTHS }, (_, k) => (k + 1) * longest / LENGTHS), power = lengths.map(strength);
  // Short lengths are the shape of the whole cloud: look beyond the first minimum, for five layers at least.
  let from = 0;
  while (from < LENGTHS - 1 && lengths[from] * reach < 2) from++;
  while (from < LENGTHS - 1 && power[from + 1] < power[from]) from++;
  let best = from;
  for (let k = from; k < LENGTHS; k++) if (power[k] > power[best]) best = k;
  let period = lengths[best], width = longest / LENGTHS;
  for (let turn = 0; turn < 12; turn++, width /= 2)
    for (const trial of [period - width / 2, period + width / 2]) if (strength(trial) > strength(period)) period = trial;
  return { lengths, power, period, sharpness: strength(period), ...straightness(t, image, period) };
}

// Counts of phases (rows) by image (columns), and the mean sharpness of groups of images by themselves, where layers that
// wander over the scan are sharp though they are not all together.
function straightness(t, image, period) {
  let first = Infinity, last = -Infinity;
  for (const z of image) { first = Math.min(first, z); last = Math.max(last, z); }
  const map = new Float64Array(IMAGES * PHASES), re = new Float64Array(IMAGES), im = new Float64Array(IMAGES), size = new Float64Array(IMAGES);
  for (let k = 0; k < t.length; k++) {
    const column = Math.min(Math.floor((image[k] - first) / Math.max(last - first, 1e-9) * IMAGES), IMAGES - 1);
    const phase = t[k] * period - Math.round(t[k] * period); // -0.5 to 0.5
    map[Math.min(Math.floor((phase + 0.5) * PHASES), PHASES - 1) * IMAGES + column]++;
    re[column] += Math.cos(2 * Math.PI * phase);
    im[column] += Math.sin(2 * Math.PI * phase);
    size[column]++;
  }
  let local = 0, points = 0;
  for (let k = 0; k < IMAGES; k++) {
    if (size[k] < 5) continue;
    local += Math.hypot(re[k], im[k]);
    points += size[k];
  }
  return { map, columns: IMAGES, rows: PHASES, images: [first, last], local: points ? local / points : 0 };
}

export function judgement({ sharpness, local }) {
  if (local > 0.5 && local - sharpness > 0.2) return "Layers bend or wander along the scan: the beam centre, the axis or the rotation is not right, or the crystal moves.";
  if (sharpness > 0.5) return "Layers are straight.";
  if (sharpness > 0.2) return "Layers are blurred: another direction, more lattices, or a geometry that is not right.";
  return "No layers in this direction.";
}

export function drawPeriodicity(canvas, found) {
  const context = canvas.getContext("2d"), { width, height } = canvas, ratio = height / 190, low = 28 * ratio, left = 34 * ratio;
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, width, height);
  context.fillStyle = context.strokeStyle = "#161b22";
  context.font = `${11 * ratio}px system-ui, "DejaVu Sans", sans-serif`;
  const half = width / 2 - 12 * ratio, longest = found.lengths[LENGTHS - 1], tall = height - low - 18 * ratio, top = 14 * ratio;
  const x = (length) => left + (half - left) * length / longest, y = (v) => top + tall * (1 - v);
  context.beginPath();
  found.lengths.forEach((length, k) => context.lineTo(x(length), y(found.power[k])));
  context.stroke();
  context.strokeRect(left, top, half - left, tall);
  for (const v of [0, 0.5, 1]) context.fillText(v, left - 22 * ratio, y(v) + 4 * ratio);
  for (let k = 0; k <= 4; k++) context.fillText(Math.round(longest * k / 4), x(longest * k / 4) - 8 * ratio, height - 14 * ratio);
  context.fillText("period (Å)", half - 60 * ratio, height - 4 * ratio);
  context.strokeStyle = "#c2410c";
  context.beginPath();
  context.moveTo(x(found.period), top);
  context.lineTo(x(found.period), top + tall);
  context.stroke();
  context.fillStyle = "#c2410c";
  context.fillText(`${found.period.toFixed(2)} Å`, Math.min(x(found.period) + 4 * ratio, half - 60 * ratio), top + 12 * ratio);
  const start = width / 2 + left, wide = (width - start - 10 * ratio) / found.columns, tallest = Math.max(...found.map, 1);
  for (let k = 0; k < found.map.length; k++) {
    const share = found.map[k] / tallest, column = k % found.columns, row = Math.floor(k / found.columns);
    context.fillStyle = `rgb(${255 - 235 * share}, ${255 - 170 * share}, ${255 - 60 * share})`;
    context.fillRect(start + column * wide, top + tall * (1 - (row + 1) / found.rows), wide + 0.5, tall / found.rows + 0.5);
  }
  context.fillStyle = context.strokeStyle = "#161b22";
  context.strokeRect(start, top, wide * found.columns, tall);
  context.fillText("½", start - 16 * ratio, top + 9 * ratio);
  context.fillText("0", start - 16 * ratio, top + tall / 2 + 4 * ratio);
  context.fillText("−½", start - 24 * ratio, top + tall);
  context.fillText(`image ${Math.floor(found.images[0]) + 1}`, start, height - 14 * ratio);
  context.fillText(`${Math.ceil(found.images[1])}`, width - 36 * ratio, height - 14 * ratio);
  context.fillText("distance from the layer, in layers", start + wide * found.columns / 2 - 80 * ratio, height - 4 * ratio);
}
