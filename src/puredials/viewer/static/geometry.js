// Where panels are in the flat picture, and what is at a place of it.

export class Layout {
  // `set` as the server describes it; `projection`: "lab" or "image".
  constructor(set, projection) {
    this.set = set;
    this.places = set.places[projection];
  }

  flat(panel, i, j) {
    const { corner, along, down } = this.places[panel];
    return [corner[0] + along[0] * i + down[0] * j, corner[1] + along[1] * i + down[1] * j];
  }

  extent() {
    const points = this.set.panels.flatMap(({ size: [w, h] }, n) => [[0, 0], [w, 0], [0, h], [w, h]].map(([i, j]) => this.flat(n, i, j)));
    return [0, 1].map((k) => [Math.min(...points.map((q) => q[k])), Math.max(...points.map((q) => q[k]))]);
  }

  // Coordinates on a panel of a place, which may be outside of it.
  on(panel, u, v) {
    const { corner, along, down } = this.places[panel];
    const du = u - corner[0], dv = v - corner[1], det = along[0] * down[1] - along[1] * down[0];
    return [(du * down[1] - dv * down[0]) / det, (dv * along[0] - du * along[1]) / det];
  }

  // Panel and position at a place; null beside the panels.
  under(u, v) {
    for (const [panel, { size }] of this.set.panels.entries()) {
      const [i, j] = this.on(panel, u, v);
      if (i >= 0 && j >= 0 && i < size[0] && j < size[1]) return { panel, i, j };
    }
    return null;
  }

  // Laboratory position (mm) where the ray that is recorded at a pixel position enters the sensor.
  lab(panel, i, j) {
    const { pixel, origin, fast, slow, mu, thickness } = this.set.panels[panel];
    const at = (x, y) => origin.map((c, k) => c + x * fast[k] + y * slow[k]);
    const dot = (a, b) => a.reduce((sum, c, k) => sum + c * b[k], 0);
    const x = i * pixel[0], y = j * pixel[1];
    if (!(mu > 0)) return at(x, y);
    const ray = at(x, y), length = Math.hypot(...ray), along = [dot(ray, fast) / length, dot(ray, slow) / length];
    const path = thickness / Math.sqrt(Math.max(1 - along[0] ** 2 - along[1] ** 2, 1e-6));
    const depth = 1 / mu - (path + 1 / mu) * Math.exp(-mu * path);
    return at(x - depth * along[0], y - depth * along[1]);
  }

  // Scattering vector (1/Å) at a laboratory position.
  scattering(lab) {
    const length = Math.hypot(...lab) * this.set.wavelength;
    return lab.map((c, k) => c / length - this.set.s0[k]);
  }
}
