// Parts of the home page: elements, tables, logs with their tables, and the overview of a run.

export const make = (tag, content = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), content);
  element.append(...children);
  return element;
};

const NUMBER = /^[-+]?[\d.,]+(?:e[-+]?\d+)?[%*]?$|^-$|^nan$/i;
const LONG = 40; // rows; of longer tables a part is seen at a time

// Shares that are drawn as bars behind their numbers: title of the column, and the value of a full bar.
const BARS = { "%comp": 100, "cc1/2": 1, cc_ano: 1 };
// What of the shells is seen at a glance; the log has all.
const CHIEF = ["d_max", "d_min", "#uniq", "mult.", "%comp", "<I/sI>", "r_mrg", "r_meas", "r_pim", "cc1/2", "cc_ano"];
// Titles of logs as people say them.
const TITLES = {
  d_max: "d max (Å)", d_min: "d min (Å)", "#obs": "observed", "#uniq": "unique", "mult.": "mult.", "%comp": "complete (%)", "<I>": "⟨I⟩", "<I/sI>": "⟨I/σ⟩",
  r_mrg: "Rmerge", r_meas: "Rmeas", r_pim: "Rpim", r_anom: "Ranom", "cc1/2": "CC½", cc_ano: "CC anom.",
};

export function table({ header, rows }) {
  const shells = header[0] === "d_max", box = make("div", { className: rows.length > LONG ? "table long" : "table" });
  const number = header.map((_, k) => rows.every((row) => !row[k] || NUMBER.test(row[k])));
  if (rows.length > LONG) box.tabIndex = 0;
  box.append(make("table", {},
    make("thead", {}, make("tr", {}, ...header.map((title, k) => make("th", { scope: "col", textContent: TITLES[title] ?? title, className: number[k] ? "number" : "" })))),
    make("tbody", {}, ...rows.map((row, n) => make("tr", { className: shells && n === rows.length - 1 ? "all" : "" }, ...row.map((value, k) => {
      const cell = make("td", { textContent: value, className: number[k] ? "number" : "" }), full = shells && BARS[header[k]];
      if (full) cell.style.setProperty("--share", `${100 * Math.min(Math.max(Number.parseFloat(value) / full || 0, 0), 1)}%`);
      if (full) cell.classList.add("bar");
      return cell;
    }))))));
  return box;
}

export const log = (blocks) => blocks.map((block) => (block.header.length ? table(block) : make("pre", { textContent: block.lines.join("\n") })));

// `open`: what a click on the name of a program does.
export function overview({ state, sentence, numbers, concerns, shells }, open) {
  const parts = [make("p", { id: "verdict", className: state, textContent: sentence })];
  if (numbers.length)
    parts.push(make("dl", { id: "numbers" }, ...numbers.map(({ name, value, note }) => make("div", { className: value.length > 14 ? "wide" : "" },
      make("dt", { textContent: name }), make("dd", { textContent: value }), make("dd", { className: "note", textContent: note })))));
  if (concerns.length)
    parts.push(make("h2", { textContent: "What deserves a look" }), make("ul", { id: "concerns" }, ...concerns.map(({ program, text }) => make("li", {},
      make("button", { textContent: program, onclick: () => open(program) }), ` ${text}`))));
  if (shells) {
    const columns = CHIEF.map((title) => shells.header.indexOf(title)).filter((k) => k >= 0), chosen = (row) => columns.map((k) => row[k]);
    parts.push(make("h2", { textContent: "Merged data by resolution" }), table({ header: chosen(shells.header), rows: shells.rows.map(chosen) }));
  }
  return parts;
}
