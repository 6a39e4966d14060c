// What the mouse draws: shapes of a mask, and the line of a profile.

export class Tools {
  // `locate`: screen -> { panel, i, j } or null; `within`: (panel, screen) -> [i, j], also outside of the panel.
  constructor({ locate, within, changed, measured }) {
    Object.assign(this, { locate, within, changed, measured, kind: "pan", shapes: [], shape: null, path: null });
  }

  choose(kind) {
    this.finish(kind === "pan");
    this.kind = kind;
    this.changed();
  }

  // Each of these returns whether the event was for a tool.
  down(x, y) {
    if (this.kind === "pan") return false;
    const here = this.locate(x, y);
    if (!here) return true;
    const { panel, i, j } = here;
    if (this.kind === "line") this.path = [[panel, i, j], [panel, i, j]];
    else if (this.kind !== "polygon") this.shape = { kind: this.kind, panel, points: [[i, j], [i, j]] };
    else if (this.shape) this.shape.points.push(this.within(this.shape.panel, x, y));
    else this.shape = { kind: "polygon", panel, points: [[i, j], [i, j]] };
    this.pressed = true;
    this.changed();
    return true;
  }

  move(x, y) {
    if (this.kind === "pan") return false;
    if (this.kind === "line" && this.pressed && this.path) this.path[1] = [this.path[0][0], ...this.within(this.path[0][0], x, y)];
    else if (this.shape && (this.pressed || this.kind === "polygon")) this.shape.points[this.shape.points.length - 1] = this.within(this.shape.panel, x, y);
    else return true;
    this.changed();
    return true;
  }

  up() {
    if (this.kind === "pan") return false;
    if (this.pressed && this.kind === "line" && this.path) this.measured();
    else if (this.kind !== "polygon") this.finish();
    this.pressed = false;
    return true;
  }

  // The end of a shape; one that has no size is left out.
  finish(drop = false) {
    const shape = this.shape;
    this.shape = null;
    if (drop || !shape) { this.changed(); return; }
    if (shape.kind === "polygon") shape.points = shape.points.filter((q, n, all) => !n || Math.hypot(q[0] - all[n - 1][0], q[1] - all[n - 1][1]) > 0.5);
    const [a, b] = shape.points;
    const whole = shape.kind === "polygon" ? shape.points.length > 2 : Math.hypot(a[0] - b[0], a[1] - b[1]) >= 1;
    if (whole) this.shapes.push(shape);
    this.changed();
  }

  undo() {
    this.shapes.pop();
    this.changed();
  }

  all() {
    return this.shape ? [...this.shapes, this.shape] : this.shapes;
  }
}

// Distance (px) and pixel (panel, i, j) of the points along a line on a panel.
export function along([[panel, i0, j0], [, i1, j1]], layout) {
  const { size } = layout.set.panels[panel], length = Math.hypot(i1 - i0, j1 - j0), n = Math.max(1, Math.round(length)), points = [];
  for (let k = 0; k <= n; ++k) {
    const i = Math.floor(i0 + ((i1 - i0) * k) / n), j = Math.floor(j0 + ((j1 - j0) * k) / n);
    if (i >= 0 && j >= 0 && i < size[0] && j < size[1]) points.push({ x: (length * k) / n, at: [panel, i, j] });
  }
  return points;
}
