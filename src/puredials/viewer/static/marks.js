// Marks over the picture, any number of them, as rectangles of its pixels drawn by WebGL2.

import { build, corners } from "./panels.js";

const VERTEX = `#version 300 es
uniform vec2 offset, screen; uniform float scale, pad; layout(location = 0) in vec2 at; layout(location = 1) in vec4 box;
out vec2 local; flat out vec2 extent;
void main() {
  vec2 low = box.xy * scale + offset - pad, high = max(box.zw * scale + offset + pad, low + 1.0);
  extent = high - low;
  local = at * extent;
  gl_Position = vec4((low + local) / screen * vec2(2, -2) + vec2(-1, 1), 0, 1);
}`;
const FRAGMENT = `#version 300 es
precision highp float; uniform vec4 ink; uniform float line; uniform int shape; in vec2 local; flat in vec2 extent; out vec4 colour;
void main() {
  vec2 c = local - extent * 0.5, inside = min(local, extent - local);
  if (shape == 0 && min(inside.x, inside.y) > line) discard;
  if (shape == 1 && abs(abs(c.x) - abs(c.y)) > line) discard;
  if (shape == 2 && abs(length(c) - extent.x * 0.5 + line) > line) discard;
  colour = vec4(ink.rgb * ink.a, ink.a);
}`;
export const SHAPES = { box: 0, cross: 1, circle: 2, fill: 3 };
const BOX = 5, POINT = 3;

export class Marks {
  constructor(gl) {
    this.gl = gl;
    this.program = build(gl, VERTEX, FRAGMENT);
    this.kinds = {};
  }

  // `rows`: (panel, x0, x1, y0, y1) or (panel, x, y) one after the other; a point is a square of `size` pixels.
  set(kind, rows, layout, { box = false, size = 0 } = {}) {
    const gl = this.gl, step = box ? BOX : POINT, n = rows.length / step, places = new Float32Array(4 * n);
    for (let k = 0; k < n; ++k) {
      const r = k * step, panel = rows[r], { corner, along, down } = layout.places[panel];
      const [i0, i1, j0, j1] = box ? [rows[r + 1], rows[r + 2], rows[r + 3], rows[r + 4]] : [rows[r + 1], rows[r + 1] + size, rows[r + 2], rows[r + 2] + size];
      for (let c = 0; c < 2; ++c) {
        const first = corner[c] + along[c] * i0 + down[c] * j0, last = corner[c] + along[c] * i1 + down[c] * j1;
        places[4 * k + c] = Math.min(first, last);
        places[4 * k + 2 + c] = Math.max(first, last);
      }
    }
    const mark = (this.kinds[kind] ??= this.make());
    gl.bindBuffer(gl.ARRAY_BUFFER, mark.buffer);
    gl.bufferData(gl.ARRAY_BUFFER, places, gl.DYNAMIC_DRAW);
    mark.n = n;
  }

  make() {
    const gl = this.gl, array = gl.createVertexArray(), buffer = gl.createBuffer();
    gl.bindVertexArray(array);
    corners(gl);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.enableVertexAttribArray(1);
    gl.vertexAttribPointer(1, 4, gl.FLOAT, false, 0, 0);
    gl.vertexAttribDivisor(1, 1);
    return { array, buffer, n: 0 };
  }

  draw(kind, view, { ink, shape, pad = 0, line = 1 }) {
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
    gl.uniform1f(at.line, line);
    gl.uniform1i(at.shape, SHAPES[shape]);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, mark.n);
    gl.disable(gl.BLEND);
  }
}
