// Panels as textures, drawn by WebGL2. A screen pixel shows the largest value that it covers.

const VERTEX = `#version 300 es
uniform vec2 corner, along, down, size, offset, screen; uniform float scale; layout(location = 0) in vec2 at; out vec2 pixel;
void main() {
  pixel = at * size;
  vec2 place = (corner + along * pixel.x + down * pixel.y) * scale + offset;
  gl_Position = vec4(place / screen * vec2(2, -2) + vec2(-1, 1), 0, 1);
}`;
// Codes as in pixels.py, but values that are listed there have their own code if they are valid.
const FETCH = {
  usampler2D: "uint c = texelFetch(pixels, p, 0).r; v = float(c > 255u ? c - 2u : c); return c == 255u ? 2 : c == 254u ? 1 : 0;",
  sampler2D: "v = texelFetch(pixels, p, 0).r; return v < -3.1e38 ? 2 : v < valid.x || v > valid.y ? 1 : 0;",
};
const FRAGMENT = (sampler) => `#version 300 es
precision highp float; precision highp int; precision highp ${sampler};
uniform ${sampler} pixels; uniform vec2 size, valid; uniform float low, high, scale;
uniform int scaling; uniform bool marked; uniform vec3 colours[5]; in vec2 pixel; out vec4 colour;
int value(ivec2 p, out float v) { ${FETCH[sampler]} }
void main() {
  ivec2 limit = ivec2(size) - 1, first = clamp(ivec2(pixel), ivec2(0), limit);
  int n = clamp(int(ceil(1.0 / scale)), 1, 8), worst = 2;
  float best = 0.0; bool any = false;
  for (int j = 0; j < n; ++j) for (int i = 0; i < n; ++i) {
    float v; int state = value(min(first + ivec2(i, j), limit), v);
    if (state == 0) { best = any ? max(best, v) : v; any = true; } else worst = min(worst, state);
  }
  if (!any) { colour = vec4(!marked ? vec3(0.78, 0.83, 0.88) : worst == 2 ? vec3(0.85, 0.35, 0.1) : vec3(0.8, 0.0, 0.35), 1); return; }
  float t = clamp((best - low) / (high - low), 0.0, 1.0);
  if (scaling == 1) t = sqrt(t);
  if (scaling == 2) t = log(1.0 + max(best - low, 0.0)) / log(1.0 + high - low);
  t = clamp(t, 0.0, 1.0) * 4.0;
  int k = min(int(t), 3);
  colour = vec4(mix(colours[k], colours[k + 1], t - float(k)), 1);
}`;
const ramp = (...hex) => hex.flatMap((h) => [16, 8, 0].map((s) => ((h >> s) & 255) / 255));
export const COLOURS = {
  inverted: ramp(0xffffff, 0xbfbfbf, 0x808080, 0x404040, 0),
  grey: ramp(0, 0x404040, 0x808080, 0xbfbfbf, 0xffffff),
  viridis: ramp(0x440154, 0x3b528b, 0x21918c, 0x5ec962, 0xfde725),
  heat: ramp(0, 0x800000, 0xff4000, 0xffc000, 0xffffff),
};
const LISTED = 254, UNUSABLE = 255, MOST = 65535;

// Pixels as they are drawn and read: `codes` (16 bits) with `at` and `large`, or `values`.
export function frame(found, layout) {
  if (found.values) return { values: found.values, about: found.about };
  const codes = new Uint16Array(found.codes), { at, large, about } = found;
  let panel = 0;
  for (let k = 0; k < at.length; ++k) {
    while (panel + 1 < layout.starts.length && at[k] >= layout.starts[panel + 1]) ++panel;
    const v = large[k], [low, high] = about.valid[panel];
    if (v >= low && v <= high) codes[at[k]] = v < LISTED ? Math.max(v, 0) : Math.min(v + 2, MOST);
  }
  return { codes, at, large, about };
}

// The value of pixel n; null if it may not be used.
export function valueAt({ values, codes, at, large }, n) {
  if (values) return values[n] < -3.1e38 ? null : values[n];
  const code = codes[n];
  if (code === UNUSABLE) return null;
  if (code !== LISTED && code !== MOST && code !== 0) return code > UNUSABLE ? code - 2 : code;
  let first = 0, last = at.length;
  while (first < last) {
    const middle = (first + last) >> 1;
    if (at[middle] < n) first = middle + 1; else last = middle;
  }
  return at[first] === n ? large[first] : code > UNUSABLE ? code - 2 : code;
}

export function build(gl, vertex, fragment) {
  const program = gl.createProgram();
  for (const [type, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(type);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program) || "no shader");
  const places = {};
  for (let k = 0; k < gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS); ++k) {
    const name = gl.getActiveUniform(program, k).name;
    places[name.replace("[0]", "")] = gl.getUniformLocation(program, name);
  }
  return { program, places };
}

export function corners(gl) {
  gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([0, 0, 1, 0, 0, 1, 1, 1]), gl.STATIC_DRAW);
  gl.enableVertexAttribArray(0);
  gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 0, 0);
}

export class Panels {
  constructor(gl) {
    this.gl = gl;
    this.programs = Object.fromEntries(Object.keys(FETCH).map((kind) => [kind, build(gl, VERTEX, FRAGMENT(kind))]));
    this.shape = gl.createVertexArray();
    gl.bindVertexArray(this.shape);
    corners(gl);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    this.textures = [];
  }

  fill(layout, { values, codes, about }) {
    const gl = this.gl, data = values ?? codes, kind = values ? "sampler2D" : "usampler2D";
    const sizes = layout.set.panels.map((p) => p.size), same = kind === this.kind && String(sizes) === String(this.sizes);
    const [inner, format, type] = values ? [gl.R32F, gl.RED, gl.FLOAT] : [gl.R16UI, gl.RED_INTEGER, gl.UNSIGNED_SHORT];
    if (!same) {
      for (const texture of this.textures) gl.deleteTexture(texture);
      this.textures = sizes.map((size) => {
        const texture = gl.createTexture();
        gl.bindTexture(gl.TEXTURE_2D, texture);
        gl.texStorage2D(gl.TEXTURE_2D, 1, inner, ...size);
        for (const key of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, key, gl.NEAREST);
        return texture;
      });
    }
    Object.assign(this, { kind, sizes, valid: about.valid });
    for (const [n, size] of sizes.entries()) {
      gl.bindTexture(gl.TEXTURE_2D, this.textures[n]);
      gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, ...size, format, type, data, layout.starts[n]);
    }
  }

  draw(layout, view, look) {
    if (!this.textures.length) return;
    const gl = this.gl, { program, places: at } = this.programs[this.kind];
    gl.useProgram(program);
    gl.bindVertexArray(this.shape);
    gl.uniform2f(at.offset, view.x, view.y);
    gl.uniform2f(at.screen, gl.canvas.width, gl.canvas.height);
    gl.uniform1f(at.scale, view.scale);
    gl.uniform1f(at.low, look.low);
    gl.uniform1f(at.high, Math.max(look.high, look.low + 1e-6));
    gl.uniform1i(at.scaling, look.scaling);
    gl.uniform1i(at.marked, look.marked);
    gl.uniform3fv(at.colours, COLOURS[look.colours]);
    gl.uniform1i(at.pixels, 0);
    for (const [n, texture] of this.textures.entries()) {
      for (const name of ["corner", "along", "down"]) gl.uniform2fv(at[name], layout.places[n][name]);
      gl.uniform2fv(at.size, this.sizes[n]);
      if (at.valid) gl.uniform2fv(at.valid, this.valid[n]);
      gl.bindTexture(gl.TEXTURE_2D, texture);
      gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    }
  }
}
