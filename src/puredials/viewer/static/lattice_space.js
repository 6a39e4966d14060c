// From spots on the detector to reciprocal space, as geometry.py does it, and turning what is seen. Matrices are rows.

export const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
export const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
export const unit = (a) => { const n = Math.hypot(...a) || 1; return a.map((v) => v / n); };
export const row = (m, k) => [m[3 * k], m[3 * k + 1], m[3 * k + 2]];
export const column = (m, k) => [m[k], m[3 + k], m[6 + k]];
export const times = (m, v) => [dot(row(m, 0), v), dot(row(m, 1), v), dot(row(m, 2), v)];
export const transposed = (m) => [...column(m, 0), ...column(m, 1), ...column(m, 2)];
export const product = (a, b) => [0, 1, 2].flatMap((i) => [0, 1, 2].map((j) => dot(row(a, i), column(b, j))));
export const IDENTITY = [1, 0, 0, 0, 1, 0, 0, 0, 1];

export function inverse(m) {
  const [a, b, c] = [column(m, 0), column(m, 1), column(m, 2)], volume = dot(a, cross(b, c));
  return [...cross(b, c), ...cross(c, a), ...cross(a, b)].map((v) => v / volume);
}

export function rotation(axis, angle) {
  const [x, y, z] = unit(axis), c = Math.cos(angle), s = Math.sin(angle), t = 1 - c;
  return [t * x * x + c, t * x * y - s * z, t * x * z + s * y, t * x * y + s * z, t * y * y + c, t * y * z - s * x, t * x * z - s * y, t * y * z + s * x, t * z * z + c];
}

// The view that looks down `direction`, with `up` upwards: rows are right, up, and towards the eye.
export function lookDown(direction, up) {
  const towards = unit(direction);
  let right = cross(up, towards);
  if (Math.hypot(...right) < 1e-6 * (Math.hypot(...up) || 1)) right = cross(Math.abs(towards[0]) < 0.9 ? [1, 0, 0] : [0, 1, 0], towards);
  right = unit(right);
  return [...right, ...cross(towards, right), ...towards];
}

// mm by which the detector moves in the laboratory so that the beam meets `panel` at `shift` (mm) from where it did.
export function detectorShift(model, panel, shift) {
  const { fast, slow } = model.panels[Math.min(panel, model.panels.length - 1)];
  return [0, 1, 2].map((k) => -shift[0] * fast[k] - shift[1] * slow[k]);
}

// rlp of a spot recorded at `position` (mm): F^-1 R(e, -phi) S^-1 (s1 - s0); `turn` is -1 if the axis is inverted.
export function rlpOf(model, position, phi, shift, turn) {
  const s1 = unit([0, 1, 2].map((k) => position[k] + shift[k])).map((v) => v / model.wavelength);
  const r = times(transposed(model.setting), [0, 1, 2].map((k) => s1[k] - model.s0[k]));
  return times(transposed(model.fixed), times(rotation(model.axis, -phi * turn), r));
}

export const imageAt = (model, phi) => {
  if (!model.scan) return 0.5;
  const [first, , start, width] = model.scan;
  return width ? first + (phi - start) / width : first + 0.5;
};
