// Parts of an image, as they come from the server: rectangles of panels, in which 1, 2 x 2, 4 x 4, ... pixels are one value,
// the largest. What is seen of an image comes in as few pixels as the screen can show.

import { arrays } from "./common.js";

const SIDE = 512, MOST_REDUCED = 4; // values along a side of a tile; the power of two
const LISTED = 254, UNUSABLE = 255, MOST = 65535; // as in pixels.py

// How many pixels along a side become one where `scale` screen pixels show one.
export const reduction = (scale) => 2 ** Math.max(0, Math.min(MOST_REDUCED, Math.floor(Math.log2(1 / scale) + 1e-9)));

// Where the tiles along a side of a panel begin and end: of nearly equal lengths, whole blocks each.
function edges(length, reduce) {
  const blocks = Math.ceil(length / reduce), n = Math.ceil(blocks / SIDE);
  return Array.from({ length: n + 1 }, (_, k) => Math.min(length, reduce * Math.round((k * blocks) / n)));
}

function tile(panel, [x0, x1], [y0, y1], reduce) {
  return { key: [panel, x0, y0, reduce].join(), panel, x0, y0, x1, y1, reduce, width: Math.ceil((x1 - x0) / reduce), height: Math.ceil((y1 - y0) / reduce) };
}

// The tiles of a panel that overlap the rectangle low .. high (px).
function* within(layout, panel, low, high, reduce) {
  const [xs, ys] = layout.set.panels[panel].size.map((n) => edges(n, reduce));
  for (let j = 0; j + 1 < ys.length; ++j) for (let i = 0; i + 1 < xs.length; ++i)
    if (xs[i] < high[0] && xs[i + 1] > low[0] && ys[j] < high[1] && ys[j + 1] > low[1]) yield tile(panel, [xs[i], xs[i + 1]], [ys[j], ys[j + 1]], reduce);
}

// The tiles that are seen through a window of the view, at its scale.
export function seen(layout, view, width, height) {
  const corners = [[0, 0], [width, 0], [0, height], [width, height]].map((q) => view.place(...q)), found = [];
  for (const panel of layout.set.panels.keys()) {
    const at = corners.map((q) => layout.on(panel, ...q));
    const [low, high] = [Math.min, Math.max].map((pick) => [0, 1].map((k) => pick(...at.map((q) => q[k]))));
    found.push(...within(layout, panel, low, high, reduction(view.scale)));
  }
  return found;
}

// All tiles, as coarse as a whole picture needs at a scale.
export const whole = (layout, scale) =>
  layout.set.panels.flatMap(({ size }, panel) => [...within(layout, panel, [0, 0], size, reduction(scale))]);

// The tile of all values that holds a pixel.
export function holding(layout, panel, i, j) {
  for (const found of within(layout, panel, [i, j], [i + 1, j + 1], 1)) return found;
  return null;
}

// What has come of one image, or stack, or stage of the threshold. `query` asks for it; `arrived` is told of each new tile.
export class Frame {
  constructor(query, arrived) {
    Object.assign(this, { query, arrived, tiles: new Map(), asked: new Map(), about: null, abort: new AbortController() });
  }

  missing(tiles) {
    return tiles.filter(({ key }) => !this.tiles.has(key));
  }

  // Have the tiles here, all of one reduction; asks once for each, and for all in one request.
  async load(tiles, extra) {
    const missing = this.missing(tiles), asked = missing.filter(({ key }) => this.asked.has(key)), fresh = missing.filter(({ key }) => !this.asked.has(key));
    const waiting = new Set(asked.map(({ key }) => this.asked.get(key)));
    if (fresh.length) {
      const request = this.fetch(fresh, extra).finally(() => { for (const { key } of fresh) this.asked.delete(key); });
      for (const { key } of fresh) this.asked.set(key, request);
      waiting.add(request);
    }
    await Promise.all(waiting);
    return this;
  }

  async fetch(tiles, extra) {
    const parts = tiles.map(({ panel, x0, y0, x1, y1 }) => [panel, x0, y0, x1, y1].join(":")).join();
    const found = await arrays("image.bin", { ...this.query, ...extra, reduce: tiles[0].reduce, parts }, { signal: this.abort.signal });
    this.abort.signal.throwIfAborted(); // what arrived at the last moment
    this.about = found.about;
    let start = 0, k = 0;
    for (const each of tiles) {
      const end = start + each.width * each.height;
      if (found.values) each.values = found.values.subarray(start, end);
      else {
        const first = k;
        while (k < found.at.length && found.at[k] < end) ++k;
        Object.assign(each, decoded(found.codes.subarray(start, end), found.at.subarray(first, k), found.large.subarray(first, k), start, found.about.valid[each.panel]));
      }
      this.tiles.set(each.key, each);
      this.arrived(each);
      start = end;
    }
  }

  // The value of a pixel; null if it may not be used, undefined if it has not come.
  value(layout, panel, i, j) {
    const place = holding(layout, panel, i, j), here = place && this.tiles.get(place.key);
    return here ? valueOf(here, (j - here.y0) * here.width + i - here.x0) : undefined;
  }

  end() {
    this.abort.abort();
  }
}

// Codes of 16 bits, as they are drawn, and the values that are listed by themselves. Of these the valid ones get their own code.
function decoded(narrow, at, large, start, [low, high]) {
  const codes = new Uint16Array(narrow), listed = new Map();
  for (let k = 0; k < at.length; ++k) {
    const v = large[k];
    listed.set(at[k] - start, v);
    if (v >= low && v <= high) codes[at[k] - start] = v < LISTED ? Math.max(v, 0) : Math.min(v + 2, MOST);
  }
  return { codes, listed };
}

function valueOf({ values, codes, listed }, n) {
  if (values) return values[n] < -3.1e38 ? null : values[n];
  if (listed.has(n)) return listed.get(n);
  return codes[n] === UNUSABLE ? null : codes[n] > UNUSABLE ? codes[n] - 2 : codes[n];
}
