// Panels as textures of counts, drawn by WebGL2. A screen pixel shows the largest count that it covers.

const VERTEX = `#version 300 es
uniform vec2 corner, along, down, size, offset, screen; uniform float scale; in vec2 at; out vec2 pixel;
void main() {
  pixel = at * size;
  vec2 place = (corner + along * pixel.x + down * pixel.y) * scale + offset;
  gl_Position = vec4(place / screen * vec2(2, -2) + vec2(-1, 1), 0, 1);
}`;
const FRAGMENT = `#version 300 es
precision highp float; precision highp sampler2D; precision highp usampler2D;
uniform sampler2D counts; uniform usampler2D usable; uniform vec2 size, valid; uniform float high, scale;
uniform int scaling; uniform bool marked; uniform vec3 colours[5]; in vec2 pixel; out vec4 colour;
void main() {
  ivec2 limit = ivec2(size) - 1, first = clamp(ivec2(pixel), ivec2(0), limit);
  int n = clamp(int(ceil(1.0 / scale)), 1, 8);
  float best = -1.0; bool any = false;
  for (int j = 0; j < n; ++j) for (int i = 0; i < n; ++i) {
    ivec2 p = min(first + ivec2(i, j), limit);
    float v = texelFetch(counts, p, 0).r;
    if (v >= valid.x && v <= valid.y && texelFetch(usable, p, 0).r > 0u) { best = any ? max(best, v) : v; any = true; }
  }
  if (!any) { colour = marked ? vec4(0.85, 0.35, 0.1, 1) : vec4(0.72, 0.78, 0.84, 1); return; }
  float t = max(best, 0.0) / high;
  if (scaling == 1) t = sqrt(t);
  if (scaling == 2) t = log(1.0 + max(best, 0.0)) / log(1.0 + high);
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

export class Panels {
  constructor(canvas) {
    const gl = canvas.getContext("webgl2", { preserveDrawingBuffer: true });
    if (!gl) throw new Error("This browser offers no WebGL2.");
    this.gl = gl;
    const program = gl.createProgram();
    for (const [type, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(type);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.bindAttribLocation(program, 0, "at");
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program) || "no shader");
    gl.useProgram(program);
    this.place = (name) => gl.getUniformLocation(program, name);
    this.places = Object.fromEntries(["corner", "along", "down", "size", "offset", "screen", "scale", "counts", "usable",
      "valid", "high", "scaling", "marked", "colours"].map((name) => [name, this.place(name)]));
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([0, 0, 1, 0, 0, 1, 1, 1]), gl.STATIC_DRAW);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 0, 0);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    this.panels = [];
  }

  texture(size, format) {
    const gl = this.gl, texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texStorage2D(gl.TEXTURE_2D, 1, format, ...size);
    for (const key of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, key, gl.NEAREST);
    return texture;
  }

  layout(panels, usable) {
    const gl = this.gl;
    for (const p of this.panels) { gl.deleteTexture(p.counts); gl.deleteTexture(p.usable); }
    let start = 0;
    this.panels = panels.map((panel) => {
      const n = panel.size[0] * panel.size[1];
      const p = { ...panel, start, n, counts: this.texture(panel.size, gl.R32F), usable: this.texture(panel.size, gl.R8UI) };
      gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, ...panel.size, gl.RED_INTEGER, gl.UNSIGNED_BYTE, usable.subarray(start, start + n));
      start += n;
      return p;
    });
  }

  fill(values) {
    const gl = this.gl, floats = values instanceof Float32Array ? values : Float32Array.from(values);
    for (const p of this.panels) {
      gl.bindTexture(gl.TEXTURE_2D, p.counts);
      gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, ...p.size, gl.RED, gl.FLOAT, floats.subarray(p.start, p.start + p.n));
    }
  }

  draw(view, look) {
    const gl = this.gl, at = this.places, { width, height } = gl.canvas;
    gl.viewport(0, 0, width, height);
    gl.clearColor(0.81, 0.84, 0.87, 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.uniform2f(at.offset, view.x, view.y);
    gl.uniform2f(at.screen, width, height);
    gl.uniform1f(at.scale, view.scale);
    gl.uniform1f(at.high, look.high);
    gl.uniform1i(at.scaling, look.scaling);
    gl.uniform1i(at.marked, look.marked);
    gl.uniform3fv(at.colours, COLOURS[look.colours]);
    gl.uniform1i(at.counts, 0);
    gl.uniform1i(at.usable, 1);
    for (const p of this.panels) {
      for (const name of ["corner", "along", "down", "size", "valid"]) gl.uniform2fv(at[name], p[name]);
      gl.activeTexture(gl.TEXTURE1);
      gl.bindTexture(gl.TEXTURE_2D, p.usable);
      gl.activeTexture(gl.TEXTURE0);
      gl.bindTexture(gl.TEXTURE_2D, p.counts);
      gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    }
  }
}
