// Marks over the picture, any number of them, as rectangles of pixels of its panels drawn by WebGL2.

import { build, corners } from "./panels.js";

const VERTEX = `#version 300 es
uniform vec2 offset, screen; uniform float scale, pad; uniform vec4 ink; uniform bool tinted; uniform vec3 tints[9];
layout(location = 0) in vec2 at; layout(location = 1) in vec4 sides; layout(location = 2) in vec3 place;
out vec2 local; flat out vec2 extent; flat out vec4 paint;
void main() {
  vec2 a = sides.xy * scale, b = sides.zw * scale, size = vec2(length(a), length(b));
  vec2 along = size.x > 0.0 ? a / size.x : vec2(1, 0), down = size.y > 0.0 ? b / size.y : vec2(0, 1);
  extent = max(size + 2.0 * pad, vec2(1));
  local = at * extent;
  vec2 within = local - (extent - size) * 0.5, q = place.xy * scale + offset + along * within.x + down * within.y;
  gl_Position = vec4(q / screen * vec2(2, -2) + vec2(-1, 1), 0, 1);
  paint = tinted ? vec4(tints[int(place.z)], ink.a) : ink;
}`;
const FRAGMENT = `#version 300 es
precision highp float; uniform float line; uniform int shape; in vec2 local; flat in vec2 extent; flat in vec4 paint; out vec4 colour;
void main() {
  vec2 c = local - extent * 0.5, inside = min(local, extent - local);
  if (shape == 0 && min(inside.x, inside.y) > line) discard;
  if (shape == 1 && abs(abs(c.x) - abs(c.y)) > line) discard;
  if (shape == 2 && abs(length(c) - extent.x * 0.5 + line) > line) discard;
  colour = vec4(paint.rgb * paint.a, paint.a);
}`;
export const SHAPES = { box: 0, cross: 1, circle: 2, fill: 3 };
const BOX = 5, POINT = 3, FLOATS = 7; // of a row, and of what is drawn of it
// Of what belongs to no lattice, and of lattices 0, 1, ...; from the ninth on again the second.
export const TINTS = ["#5f6b78", "#d00020", "#0b57d0", "#0a7d33", "#b07000", "#8a2be2", "#00808f", "#b0008e", "#6b4a2b"];
const tintOf = (lattice) => (lattice < 0 ? 0 : 1 + (lattice % (TINTS.length - 1)));
export const tint = (lattice) => TINTS[tintOf(lattice)];
const TINT_VALUES = TINTS.flatMap((hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16) / 255));

export class Marks {
  constructor(gl) {
    this.gl = gl;
    this.program = build(gl, VERTEX, FRAGMENT);
    this.kinds = {};
  }

  // `rows`: (panel, x0, x1, y0, y1) or (panel, x, y) one after the other; a point is a square of `size` pixels. `owners`: lattices.
  set(kind, rows, layout, { box = false, size = 0, owners = null } = {}) {
    const gl = this.gl, step = box ? BOX : POINT, n = rows.length / step, values = new Float32Array(FLOATS * n);
    for (let k = 0; k < n; ++k) {
      const r = k * step, i = rows[r + 1], j = box ? rows[r + 3] : rows[r + 2], { corner, along, down } = layout.places[rows[r]];
      const width = box ? rows[r + 2] - i : size, height = box ? rows[r + 4] - j : size, first = FLOATS * k;
      for (let c = 0; c < 2; ++c) {
        values[first + c] = along[c] * width;
        values[first + 2 + c] = down[c] * height;
        values[first + 4 + c] = corner[c] + along[c] * i + down[c] * j;
      }
      values[first + 6] = owners ? tintOf(owners[k]) : 0;
    }
    const mark = (this.kinds[kind] ??= this.make());
    gl.bindBuffer(gl.ARRAY_BUFFER, mark.buffer);
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.DYNAMIC_DRAW);
    Object.assign(mark, { n, owned: Boolean(owners) });
  }

  make() {
    const gl = this.gl, array = gl.createVertexArray(), buffer = gl.createBuffer();
    gl.bindVertexArray(array);
    corners(gl);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    for (const [index, length, start] of [[1, 4, 0], [2, 3, 16]]) {
      gl.enableVertexAttribArray(index);
      gl.vertexAttribPointer(index, length, gl.FLOAT, false, 4 * FLOATS, start);
      gl.vertexAttribDivisor(index, 1);
    }
    return { array, buffer, n: 0 };
  }

  // `byLattice`: in the colours of lattices, where these are known.
  draw(kind, view, { ink, shape, pad = 0, line = 1, byLattice = false }) {
    const gl = this.gl, mark = this.kinds[kind], { program, places: at } = this.program;
    if (!mark?.n) return;
    gl.useProgram(program);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.bindVertexArray(mark.array);
    gl.uniform2f(at.offset, view.x, view.y);
    gl.uniform2f(at.screen, gl.canvas.width, gl.canvas.height);
    gl.uniform1f(at.scale, view.scale);
    gl.uniform1f(at.pad, pad);
    gl.uniform4fv(at.ink, ink);
    gl.uniform1i(at.tinted, byLattice && mark.owned);
    gl.uniform3fv(at.tints, TINT_VALUES);
    gl.uniform1f(at.line, line);
    gl.uniform1i(at.shape, SHAPES[shape]);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, mark.n);
    gl.disable(gl.BLEND);
  }
}
