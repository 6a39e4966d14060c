// What the pages of all viewers share: how they ask the server.

const TYPES = { uint8: Uint8Array, uint16: Uint16Array, int32: Int32Array, uint32: Uint32Array, float32: Float32Array, float64: Float64Array };

async function answer(reply) {
  if (!reply.ok) throw new Error(await reply.text());
  return reply;
}

const address = (name, query) => (query ? `${name}?${new URLSearchParams(query)}` : name);

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

// Have the server do something with a JSON value.
export async function send(name, value) {
  const headers = { "Content-Type": "application/json" };
  return (await answer(await fetch(name, { method: "POST", headers, body: JSON.stringify(value) }))).json();
}
