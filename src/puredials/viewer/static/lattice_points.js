// The points, drawn with WebGL2: the vertex shader places, filters and colours them, so that controls cost nothing.

import { detectorShift, transposed } from "./lattice_space.js";

const VERTEX = `#version 300 es
precision highp float; precision highp int;
layout(location = 0) in vec3 position; layout(location = 1) in float phi;
layout(location = 2) in uint status; layout(location = 3) in uint pixels; layout(location = 4) in uint partiality;
uniform vec3 shift, s0, axis, colour; uniform float k, turn, size, d_star, furthest;
uniform mat3 setting, fixed_, frame, view; uniform vec2 scale, pan, z, count, part; uniform vec4 scan;
uniform int which, outliers, colouring, pick; uniform float ink;
flat out vec4 shade;
vec3 viridis(float t) {
  const vec3 c0 = vec3(0.278, 0.005, 0.334), c1 = vec3(0.105, 1.405, 1.385), c2 = vec3(-0.331, 0.215, 0.095),
    c3 = vec3(-4.634, -5.799, -19.332), c4 = vec3(6.228, 14.180, 56.691), c5 = vec3(4.776, -13.745, -65.353), c6 = vec3(-5.435, 4.646, 26.312);
  return mix(vec3(1.0), c0 + t * (c1 + t * (c2 + t * (c3 + t * (c4 + t * (c5 + t * c6))))), 0.75);
}
void main() {
  vec3 r = setting * (normalize(position + shift) * k - s0);
  float c = cos(-phi * turn), s = sin(-phi * turn);
  vec3 rlp = fixed_ * (r * c + cross(axis, r) * s + axis * dot(axis, r) * (1.0 - c));
  float image = scan.w == 0.0 ? scan.x + 0.5 : scan.x + (phi - scan.z) / scan.w;
  bool indexed = (status & 1u) != 0u, integrated = (status & 2u) != 0u, outlier = (status & 4u) != 0u;
  float share = float(partiality) / 65535.0;
  bool seen = length(rlp) <= d_star && image >= z.x && image <= z.y && float(pixels) >= count.x && float(pixels) <= count.y
    && share >= part.x && share <= part.y && (which == 0 || (which == 1 && indexed) || (which == 2 && !indexed) || (which == 3 && integrated))
    && (outliers == 0 || (outliers == 2) == outlier);
  vec3 at = view * (frame * rlp);
  gl_Position = seen ? vec4(at.xy * scale + pan, -at.z / furthest * 0.5, 1.0) : vec4(2.0, 2.0, 2.0, 1.0);
  gl_PointSize = size;
  if (pick == 1) {
    uint n = uint(gl_VertexID) + 1u;
    shade = vec4(n & 255u, n >> 8 & 255u, n >> 16 & 255u, n >> 24) / 255.0;
  } else if (colouring == 1) shade = vec4(viridis(clamp((image - scan.x) / max(scan.y - scan.x, 1.0), 0.0, 1.0)), 1.0);
  else if (colouring == 2) shade = vec4(outlier ? vec3(1.0, 0.3, 0.25) : integrated ? vec3(0.3, 0.9, 0.45) : indexed ? vec3(0.35, 0.75, 1.0) : vec3(0.75), 1.0);
  else shade = vec4(colour, 1.0);
  if (pick == 0) shade.rgb *= ink;
}`;
const FRAGMENT = `#version 300 es
precision highp float;
flat in vec4 shade; uniform float size; out vec4 colour;
void main() {
  if (size > 3.0 && length(gl_PointCoord - 0.5) > 0.5) discard;
  colour = shade;
}`;
const AROUND = 12; // pixels within which a point is found

export const WHICH = ["all", "indexed", "unindexed", "integrated"], OUTLIERS = ["all", "inliers", "outliers"];
export const COLOURS = []; // as the server tells

export const colourOf = (how, batch, model) => {
  const number = how === "lattice" ? (batch.id < 0 ? -1 : model.crystal) : batch.id;
  return number < 0 ? COLOURS.none : COLOURS[number % COLOURS.length];
};
// Colours are light, for a black ground; on white they are as much darker.
export const inkOf = (look) => (look.ground[0] > 0.5 ? 0.55 : 1);
const rgb = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16) / 255);

export class Points {
  constructor(gl) {
    this.gl = gl;
    const program = (this.program = gl.createProgram());
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    gl.useProgram(program);
    this.places = {};
    for (let n = 0; n < gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS); n++) {
      const { name } = gl.getActiveUniform(program, n);
      this.places[name] = gl.getUniformLocation(program, name);
    }
    gl.enable(gl.DEPTH_TEST);
    const side = 2 * AROUND + 1;
    this.small = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.small);
    for (const [format, attachment] of [[gl.RGBA8, gl.COLOR_ATTACHMENT0], [gl.DEPTH_COMPONENT16, gl.DEPTH_ATTACHMENT]]) {
      const buffer = gl.createRenderbuffer();
      gl.bindRenderbuffer(gl.RENDERBUFFER, buffer);
      gl.renderbufferStorage(gl.RENDERBUFFER, format, side, side);
      gl.framebufferRenderbuffer(gl.FRAMEBUFFER, attachment, gl.RENDERBUFFER, buffer);
    }
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  }

  fill(data) {
    const gl = this.gl;
    Object.assign(this, data.about);
    COLOURS.splice(0, COLOURS.length, ...data.about.colours);
    COLOURS.none = data.about.colour_of_none;
    const first = new Map(); // Many stills have one instrument.
    for (const model of this.models) {
      const { s0, axis, wavelength, setting, fixed, panels, scan } = model;
      const key = JSON.stringify([s0, axis, wavelength, setting, fixed, panels, scan]);
      if (!first.has(key)) first.set(key, model);
      model.instrument = first.get(key);
    }
    const attributes = [["position", 3, gl.FLOAT], ["phi", 1, gl.FLOAT], ["status", 1, gl.UNSIGNED_BYTE], ["pixels", 1, gl.UNSIGNED_SHORT], ["partiality", 1, gl.UNSIGNED_SHORT]];
    for (const [place, [name, size, type]] of attributes.entries()) {
      if (!data[name]) { gl.disableVertexAttribArray(place); gl.vertexAttribI4ui(place, 65535, 0, 0, 0); continue; }
      gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
      gl.bufferData(gl.ARRAY_BUFFER, data[name], gl.STATIC_DRAW);
      gl.enableVertexAttribArray(place);
      if (type === gl.FLOAT) gl.vertexAttribPointer(place, size, type, false, 0, 0);
      else gl.vertexAttribIPointer(place, size, type, 0, 0);
    }
  }

  // `look`: what the controls say; see reciprocal_lattice.js.
  draw(look) {
    const { gl } = this, { width, height } = gl.canvas;
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.viewport(0, 0, width, height);
    gl.clearColor(...look.ground, 1);
    this.pass(look, 0, look.size);
  }

  // Number of the point nearest to (x, y) pixels from the lower left corner, or -1.
  nearest(look, x, y) {
    const { gl } = this, side = 2 * AROUND + 1, bytes = new Uint8Array(4 * side * side);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.small);
    gl.viewport(AROUND - Math.round(x), AROUND - Math.round(y), gl.canvas.width, gl.canvas.height);
    gl.clearColor(0, 0, 0, 0);
    this.pass(look, 1, Math.max(look.size, 2));
    gl.readPixels(0, 0, side, side, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    const ids = new Uint32Array(bytes.buffer);
    let best = -1, least = Infinity;
    for (let k = 0; k < ids.length; k++) {
      const distance = (k % side - AROUND) ** 2 + (Math.floor(k / side) - AROUND) ** 2;
      if (ids[k] && distance < least) [best, least] = [ids[k] - 1, distance];
    }
    return best;
  }

  pass(look, pick, size) {
    const { gl, places: at } = this, { width, height } = gl.canvas;
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.uniform1i(at.pick, pick);
    gl.uniform1f(at.ink, inkOf(look));
    gl.uniform1f(at.size, size);
    gl.uniform1f(at.furthest, this.furthest * 2);
    gl.uniform1f(at.turn, look.turn);
    gl.uniform1f(at.d_star, look.dMin > 0 ? 1 / look.dMin : 1e30);
    gl.uniform2f(at.scale, 2 * look.scale / width, 2 * look.scale / height);
    gl.uniform2f(at.pan, 2 * look.pan[0] / width, 2 * look.pan[1] / height);
    for (const name of ["z", "count", "part"]) gl.uniform2fv(at[name], look[name]);
    gl.uniform1i(at.which, WHICH.indexOf(look.which));
    gl.uniform1i(at.outliers, OUTLIERS.indexOf(look.outliers));
    gl.uniform1i(at.colouring, { image: 1, status: 2 }[look.colouring] ?? 0);
    gl.uniformMatrix3fv(at.view, true, look.view);
    const { hidden, panel, shift, colouring } = look; // reading controls takes longer than drawing a few points
    let told = {}; // Setting a uniform takes as long, also to what it is already.
    for (const batch of this.batches) {
      if (hidden.has(batch.id)) continue;
      const model = this.models[batch.model], { instrument } = model, frame = look.frame(model), colour = colourOf(colouring, batch, model);
      if (told.instrument !== instrument) this.tellInstrument(instrument, detectorShift(model, panel, shift));
      if (told.frame !== frame) gl.uniformMatrix3fv(at.frame, true, frame);
      if (told.colour !== colour) gl.uniform3fv(at.colour, rgb(colour));
      told = { instrument, frame, colour };
      gl.drawArrays(gl.POINTS, batch.first, batch.count);
    }
  }

  tellInstrument({ s0, axis, wavelength, setting, fixed, scan }, shift) {
    const { gl, places: at } = this;
    gl.uniform3fv(at.shift, shift);
    gl.uniform3fv(at.s0, s0);
    gl.uniform3fv(at.axis, axis);
    gl.uniform1f(at.k, 1 / wavelength);
    gl.uniformMatrix3fv(at.setting, true, transposed(setting));
    gl.uniformMatrix3fv(at.fixed_, true, transposed(fixed));
    gl.uniform4fv(at.scan, scan ?? [0, 1, 0, 0]);
  }
}
