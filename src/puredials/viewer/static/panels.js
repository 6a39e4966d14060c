// Tiles of panels as textures, drawn by WebGL2. A screen pixel shows the largest value that it covers.

const VERTEX = `#version 300 es
uniform vec2 corner, along, down, first, extent, offset, screen; uniform float scale, reduce; layout(location = 0) in vec2 at; out vec2 texel;
void main() {
  vec2 pixel = first + at * extent;
  texel = at * extent / reduce;
  vec2 place = (corner + along * pixel.x + down * pixel.y) * scale + offset;
  gl_Position = vec4(place / screen * vec2(2, -2) + vec2(-1, 1), 0, 1);
}`;
// Codes as in pixels.py, but values that are listed there have their own code if they are valid.
const FETCH = {
  usampler2D: "uint c = texelFetch(pixels, p, 0).r; v = float(c > 255u ? c - 2u : c); return c == 255u ? 2 : c == 254u || v < valid.x || v > valid.y ? 1 : 0;",
  sampler2D: "v = texelFetch(pixels, p, 0).r; return v < -3.1e38 ? 2 : v < valid.x || v > valid.y ? 1 : 0;",
};
const FRAGMENT = (sampler) => `#version 300 es
precision highp float; precision highp int; precision highp ${sampler};
uniform ${sampler} pixels; uniform vec2 size, valid; uniform float low, high, scale, reduce;
uniform int scaling; uniform bool marked; uniform vec3 colours[5]; in vec2 texel; out vec4 colour;
int value(ivec2 p, out float v) { ${FETCH[sampler]} }
void main() {
  // The texels from this one up to the next screen pixel's; the first of a tile begin at its edge.
  float step = 1.0 / (scale * reduce);
  ivec2 limit = ivec2(size) - 1, first = clamp(ivec2(mix(texel, vec2(0), lessThan(texel, vec2(step)))), ivec2(0), limit);
  ivec2 last = min(ivec2(texel) + clamp(int(ceil(step - 1e-4)), 1, 16) - 1, limit);
  int worst = 2;
  float best = 0.0; bool any = false;
  for (int j = first.y; j <= last.y; ++j) for (int i = first.x; i <= last.x; ++i) {
    float v; int state = value(ivec2(i, j), v);
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
    this.programs = {};
    this.shape = gl.createVertexArray();
    gl.bindVertexArray(this.shape);
    corners(gl);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
  }

  // Give a tile to the graphics card.
  add(tile) {
    const gl = this.gl, { values, codes, width, height } = tile;
    const [inner, format, type] = values ? [gl.R32F, gl.RED, gl.FLOAT] : [gl.R16UI, gl.RED_INTEGER, gl.UNSIGNED_SHORT];
    tile.texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, tile.texture);
    gl.texStorage2D(gl.TEXTURE_2D, 1, inner, width, height);
    for (const key of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, key, gl.NEAREST);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, width, height, format, type, values ?? codes);
  }

  remove(tile) {
    this.gl.deleteTexture(tile.texture);
  }

  program(kind) {
    return (this.programs[kind] ??= build(this.gl, VERTEX, FRAGMENT(kind)));
  }

  // Draw tiles, the later over the earlier; `valid`: the limits of each panel.
  draw(tiles, layout, view, look, valid) {
    const gl = this.gl;
    gl.bindVertexArray(this.shape);
    let current = null;
    for (const tile of tiles) {
      const kind = tile.values ? "sampler2D" : "usampler2D", { program, places: at } = this.program(kind);
      if (kind !== current) {
        current = kind;
        gl.useProgram(program);
        gl.uniform2f(at.offset, view.x, view.y);
        gl.uniform2f(at.screen, gl.canvas.width, gl.canvas.height);
        gl.uniform1f(at.scale, view.scale);
        gl.uniform1f(at.low, look.low);
        gl.uniform1f(at.high, Math.max(look.high, look.low + 1e-6));
        gl.uniform1i(at.scaling, look.scaling);
        gl.uniform1i(at.marked, look.marked);
        gl.uniform3fv(at.colours, COLOURS[look.colours]);
        gl.uniform1i(at.pixels, 0);
      }
      for (const name of ["corner", "along", "down"]) gl.uniform2fv(at[name], layout.places[tile.panel][name]);
      gl.uniform2f(at.first, tile.x0, tile.y0);
      gl.uniform2f(at.extent, tile.x1 - tile.x0, tile.y1 - tile.y0);
      gl.uniform2f(at.size, tile.width, tile.height);
      gl.uniform1f(at.reduce, tile.reduce);
      gl.uniform2fv(at.valid, valid[tile.panel]);
      gl.bindTexture(gl.TEXTURE_2D, tile.texture);
      gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    }
  }
}
