// What the pages of all viewers share: how they ask the server, tell of errors, and save.

const TYPES = { uint8: Uint8Array, uint16: Uint16Array, int32: Int32Array, uint32: Uint32Array, float32: Float32Array, float64: Float64Array };

export const $ = (id) => document.getElementById(id);

export const ratio = () => window.devicePixelRatio || 1;

// How large letters and lines on a canvas are: 1 where the page has letters of 13 screen pixels.
export const unit = () => ratio() * (parseFloat(getComputedStyle(document.body).fontSize) / 13);

// Whether a key is for the control that has the focus, or for the browser, and not for the page.
export function forControl({ target, key, metaKey, altKey }) {
  const typing = target.matches("input:not([type=checkbox]):not([type=range]), select");
  const pressing = key === " " && target.matches("button, input[type=checkbox]");
  const sliding = /^(Arrow|Home|End|Page)/.test(key) && target.matches("input[type=range]:not(#jump)");
  return typing || pressing || sliding || metaKey || altKey || $("keys").open;
}

const address = (name, query) => (query ? `${name}?${new URLSearchParams(query)}` : name);

async function answer(reply) {
  if (!reply.ok) throw new Error(await reply.text());
  return reply;
}

// A JSON value.
export async function ask(name, query, options) {
  return (await answer(await fetch(address(name, query), options))).json();
}

// Named typed arrays, and `about`, a JSON value; see `arrays_reply` of server.py.
export async function arrays(name, query, options) {
  const data = await (await answer(await fetch(address(name, query), options))).arrayBuffer();
  const length = new DataView(data).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  const found = { about: head.about };
  for (const { name, type, shape, start } of head.arrays)
    found[name] = new TYPES[type](data, 4 + length + start, shape.reduce((n, k) => n * k, 1));
  return found;
}

// Bytes a second of the last large answer: packing pays over a tunnel, not on one computer.
export function speed() {
  const large = performance.getEntriesByType("resource").filter((e) => e.encodedBodySize > 100_000).pop();
  performance.clearResourceTimings();
  if (large) last = large.encodedBodySize / Math.max(large.responseEnd - large.responseStart, 0.1) * 1000;
  return last;
}
let last = 0;

// Have the server do something with a JSON value; its answer.
export async function send(name, value) {
  const headers = { "Content-Type": "application/json" };
  return (await answer(await fetch(name, { method: "POST", headers, body: JSON.stringify(value) }))).json();
}

// Do something; its error is told in the element "error", and to `failed`. Whether all went well. What the user wants
// clears the error of whatever was before; what the page does by itself (not `clear`) only errors of its own kind.
// `pending.count` is what goes on; `pending.ended` is set when the server does not answer any more.
export const pending = { count: 0, ended: false };
let passing = false; // whether the error is of something that the page did by itself
export async function guarded(action, failed = () => {}, clear = true) {
  ++pending.count;
  try {
    await action();
    if (clear || passing) $("error").textContent = "";
    pending.ended = false;
    return true;
  } catch (error) {
    if (error.name === "AbortError") return false; // not wanted any more
    pending.ended = error instanceof TypeError && error.message.includes("fetch");
    $("error").textContent = pending.ended ? "The viewer's server has ended." : error.message;
    passing = !clear;
    failed();
    return false;
  } finally {
    --pending.count;
  }
}

export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
