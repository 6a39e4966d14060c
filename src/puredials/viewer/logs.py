"""What the logs of programs tell: their tables, and how a step went in a few numbers. Those of DIALS are read too."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from puredials.pipeline.decisions import Decision
from puredials.pipeline.merging_decisions import judge_merged
from puredials.report.remarks import of_indexing

__all__ = ["Block", "Finding", "blocks", "concerns", "findings", "judge_shells", "merging"]

_RULE = re.compile(r"[+|](?:-+\+)+-+[+|]|\+-+\+|\|-+\|")
_SHELLS = re.compile(r" *d_max +d_min ")
_SUMMARY = re.compile(r"(?=.* Overall)(?: +(?:Overall|Suggested|Low|High)){2,}")
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?[%*]?|-?nan|-")
_CELL = re.compile(r"^[ \t]*Unit cell:? +\(?(-?[\d.]+.*?)\)?$", re.MULTILINE)
_LOOK = re.compile(r"^(?:Plots that deserve|What deserves) a look:\n((?: +\S.*\n?)+)", re.MULTILINE)
_MOST_RMSD = 1.0  # px: what spots of one lattice, well indexed, stay below
_LEAST_COMPLETE = 90.0  # %, as reports have it


@dataclass(frozen=True)
class Block:
    """A part of a log: `lines` of text, or the `header` and the `rows` of a table."""

    lines: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Finding:
    """A number by which people judge a step: its `name`, its `value`, and a `note` on it; those that matter most are
    `said` in a word or two as well."""

    name: str
    value: str
    said: str = ""
    note: str = ""


def blocks(text: str) -> list[Block]:
    """A log as text and tables, in their order: framed tables, shells of merging statistics, and their summary."""
    lines = text.splitlines()
    found: list[Block] = []
    plain: list[str] = []
    start = 0
    while start < len(lines):
        for read in (_framed, _shells, _summary):
            table, used = read(lines, start)
            if table is not None:
                if any(line.strip() for line in plain):
                    found.append(Block(lines=tuple(plain)))
                plain = []
                found.append(table)
                start += used
                break
        else:
            plain.append(lines[start])
            start += 1
    if any(line.strip() for line in plain):
        found.append(Block(lines=tuple(plain)))
    return found


def _framed(lines: Sequence[str], start: int) -> tuple[Block | None, int]:
    """A table between rules; its header ends at the second."""
    line = lines[start].strip()
    if line[:1] != "+" or not _RULE.fullmatch(line):
        return None, 0
    header: list[list[str]] = []
    rows: list[list[str]] = []
    closed, part, n = False, header, start + 1
    while n < len(lines) and not closed and lines[n].lstrip()[:1] in ("|", "+"):
        line = lines[n].strip()
        n += 1
        if _RULE.fullmatch(line):
            part, closed = rows, line[0] == "+"
        else:
            part.append([cell.strip() for cell in line.strip("|").split("|")])
    if not closed or not header or not rows or any(len(row) != len(header[0]) for row in [*header, *rows]):
        return None, 0
    titles = tuple(" ".join(part for part in column if part) for column in zip(*header, strict=True))
    return Block(header=titles, rows=tuple(map(tuple, rows))), n - start


def _shells(lines: Sequence[str], start: int) -> tuple[Block | None, int]:
    """Merging statistics by shells of resolution."""
    if not _SHELLS.match(lines[start]):
        return None, 0
    header = tuple(lines[start].split())
    rows = []
    for n in range(start + 1, len(lines)):
        cells = tuple(lines[n].split())
        if len(cells) != len(header) or not all(map(_NUMBER.fullmatch, cells)):
            break
        rows.append(cells)
    return (Block(header=header, rows=tuple(rows)), 1 + len(rows)) if rows else (None, 0)


def _summary(lines: Sequence[str], start: int) -> tuple[Block | None, int]:
    """Names of quantities, each with numbers below words such as Overall."""
    if not _SUMMARY.fullmatch(lines[start].rstrip()):
        return None, 0
    header = lines[start].split()
    rows = []
    for n in range(start + 1, len(lines)):
        words = lines[n].split()
        numbers = len(words)
        while numbers and _NUMBER.fullmatch(words[numbers - 1]):
            numbers -= 1
        values = words[numbers:]
        if not words[:numbers] or not 1 <= len(values) <= len(header):
            break
        # Where there is one number only it is that of all data.
        padded = values if len(values) == len(header) else ["" if h != "Overall" else values[0] for h in header]
        rows.append((" ".join(words[:numbers]), *padded))
    return (Block(header=("", *header), rows=tuple(rows)), 1 + len(rows)) if rows else (None, 0)


def merging(found: Sequence[Block]) -> tuple[Block | None, dict[str, dict[str, str]]]:
    """The last shells of merging statistics, and the last summary: quantity -> Overall, Low, High -> number.

    Where a log has shells only, they tell what a summary would.
    """
    shells = next((b for b in reversed(found) if b.header[:2] == ("d_max", "d_min")), None)
    summary = next((b for b in reversed(found) if b.header and "Overall" in b.header and b.header[0] == ""), None)
    if summary is not None:
        return shells, {row[0]: dict(zip(summary.header[1:], row[1:], strict=True)) for row in summary.rows}
    if shells is None:
        return None, {}
    edge, whole = (dict(zip(shells.header, row, strict=True)) for row in (shells.rows[-2:] * 2)[-2:])
    return shells, {
        name: {"Overall": whole[k].rstrip("*"), "High": edge[k].rstrip("*")} for name, k in _SHELL_NAMES if k in whole
    }


def judge_shells(shells: Block) -> Decision:
    """Whether merged data can be trusted, from their innermost shell."""
    row = dict(zip(shells.header, shells.rows[0], strict=True))
    return judge_merged(_float(row.get("r_meas", "")), _float(row.get("cc1/2", "")))


def findings(program: str, text: str) -> list[Finding]:
    """How a step went, in the numbers that people ask for first; none where its log does not hold them."""
    read = _READERS.get(program)
    if read is None:
        return []
    try:
        return [finding for finding in read(text) if finding is not None]
    except (ValueError, LookupError):  # a file of that name may hold anything
        return []


def concerns(program: str, text: str) -> list[str]:
    """What in a log deserves a look, by the limits of reports; what programs have said of it themselves included."""
    try:
        return _concerns(program, text)
    except (ValueError, LookupError):
        return []


def _concerns(program: str, text: str) -> list[str]:
    found = [line.strip() for match in _LOOK.findall(text) for line in match.splitlines()]
    if program == "dials.index" and (counts := _indexed(text)):
        indexed, others = counts
        found += [remark.text for remark in of_indexing(indexed / max(indexed + others, 1), indexed + others)]
    if program in ("dials.index", "dials.refine") and max(_rmsd(text)[:2], default=0) > _MOST_RMSD:
        found.append(
            "Spots are more than a pixel from where the lattice has them (RMSD): look at the reciprocal lattice."
        )
    if program in ("dials.scale", "dials.merge", "puredials.process"):
        shells, summary = merging(blocks(text))
        share = _float(summary.get("Completeness", {}).get("Overall", ""))
        if share < _LEAST_COMPLETE:
            found.append(f"Only {share:.0f} % of the possible reflections were measured.")
        if shells is not None and (verdict := judge_shells(shells)).choice != "sound":
            found.append(f"Merged data are {verdict.choice}. {verdict.reason}")
    return found


def _float(text: str) -> float:
    try:
        return float(text.rstrip("%*"))
    except ValueError:
        return math.nan


def _last(pattern: str, text: str) -> str:
    matches = re.findall(pattern, text, re.MULTILINE)
    return matches[-1] if matches else ""


def _counted(name: str, number: str, what: str = "") -> Finding | None:
    value = f"{int(number or 0):,}"
    return Finding(name, value, f"{value} {what or name.lower()}") if int(number or 0) else None


def _import(text: str) -> list[Finding | None]:
    images, sweeps, stills = (_last(rf"^ *{word}: +([1-9]\d*)$", text) for word in ("num images", "sweep", "still"))
    return [
        _counted("Images", images),
        _counted("Sweeps", sweeps, "sweep" if sweeps == "1" else "sweeps"),
        _counted("Stills", stills),
    ]


def _find_spots(text: str) -> list[Finding | None]:
    sets = re.findall(r"^(\d+) spots found on (\d+) images", text, re.MULTILINE)
    spots, images = sum(int(n) for n, _ in sets), sum(int(n) for _, n in sets)
    number = _last(r"^Sav(?:ing|ed) (\d+) reflections", text) or str(spots)
    found = _counted("Spots", number)
    if found is None or not images:
        return [found]
    return [replace(found, said=f"{found.said}, {spots / images:.0f} an image", note=f"{spots / images:.0f} an image")]


def _indexed(text: str) -> tuple[int, int] | None:
    """Spots that are indexed and that are not, of the last such table."""
    table = next((b for b in reversed(blocks(text)) if any("% indexed" in title for title in b.header[3:])), None)
    if table is None:
        return None
    return sum(int(row[1]) for row in table.rows), sum(int(row[2]) for row in table.rows)


def _rmsd(text: str) -> list[float]:
    """The largest of the last RMSDs by experiment in x, y (px) and z (images); nothing where units differ."""
    table = next((b for b in reversed(blocks(text)) if any("RMSD_Z" in title for title in b.header)), None)
    if table is None or "(px)" not in table.header[2]:
        return []
    return [max(_float(row[k]) for row in table.rows) for k in (2, 3, 4)]


def _cell(text: str) -> Finding | None:
    cells = [match for match in _CELL.findall(text) if match.count(",") == 5]
    if not cells:
        return None
    return _cell_of([float(part.partition("(")[0]) for part in cells[-1].split(",")])


def _cell_of(values: Sequence[float]) -> Finding | None:
    parts = [" ".join(f"{v:.1f}" for v in values[k : k + 3]) for k in (0, 3)]
    return Finding("Unit cell", f"{parts[0]} Å", note=f"{parts[1]}°") if len(values) == 6 else None


def _lattice(text: str) -> list[Finding | None]:
    counts, rmsd = _indexed(text), _rmsd(text)
    found: list[Finding | None] = []
    if counts:
        share = f"{100 * counts[0] / max(sum(counts), 1):.1f} %"
        found.append(Finding("Indexed", share, f"{share} indexed", f"{counts[1]:,} spots are not"))
    if rmsd:
        value = f"{max(rmsd[:2]):.2f} px"
        found.append(Finding("RMSD", value, f"RMSD {value}, {rmsd[2]:.2f} images", f"{rmsd[2]:.2f} images"))
    return [*found, _cell(text)]


def _integrate(text: str) -> list[Finding | None]:
    saved = _last(r"^Saving (\d+) reflections", text)
    limits = [_float(b.rows[0][1]) for b in blocks(text) if b.rows and b.header[0] == "Item" and b.rows[0][0] == "dmin"]
    found = _counted("Integrated", saved, "reflections")
    if found is None or not limits:
        return [found]
    return [replace(found, said=f"{found.said} to {min(limits):.2f} Å", note=f"reflections to {min(limits):.2f} Å")]


def _symmetry(text: str) -> list[Finding | None]:
    group = (_last(r"^Recommended space group: (.+)$", text) or _last(r"^Best solution: (.+)$", text)).strip()
    likelihood = _last(r"^Laue group probability: ([\d.]+)$", text)
    note = f"Laue group: probability {likelihood}" if likelihood else ""
    return [Finding("Space group", group, group, note) if group else None, _cell(text)]


def _merged(text: str) -> list[Finding | None]:
    summary = merging(blocks(text))[1]

    def of(name: str, quantity: str, form: str = "{}", *, said: str = "") -> Finding | None:
        value = summary.get(quantity, {}).get("Overall", "")
        if value in ("", "-"):
            return None
        outermost = summary[quantity].get("High", "")
        note = f"outermost shell {outermost}" if outermost and name != "Resolution" else ""
        return Finding(name, form.format(value), said.format(value), note)

    return [
        of("Resolution", "High resolution limit", "{} Å", said="to {} Å"),
        of("CC½", "CC half", said="CC½ {}"),
        of("Rmeas", "Rmeas(I)", said="Rmeas {}"),
        of("I/σ", "I/sigma"),
        of("Completeness", "Completeness", "{} %"),
        of("Multiplicity", "Multiplicity"),
    ]


def _process(text: str) -> list[Finding | None]:
    group = _last(r"^Space group (.+), cell [\d. ]+$", text)
    cell = _cell_of([float(v) for v in _last(r"^Space group .+, cell ([\d. ]+?)\.?$", text).split()])
    return [Finding("Space group", group, group) if group else None, cell, *_merged(text)]


def _resolution(text: str) -> list[Finding | None]:
    limit = _last(r"^Resolution \S+ +([\d.]+)", text)
    return [Finding("Resolution", f"{limit} Å", f"to {limit} Å") if limit else None]


_SHELL_NAMES = (
    *(("High resolution limit", "d_min"), ("CC half", "cc1/2"), ("Rmeas(I)", "r_meas"), ("I/sigma", "<I/sI>")),
    *(("Completeness", "%comp"), ("Multiplicity", "mult.")),
)
_READERS: dict[str, Callable[[str], list[Finding | None]]] = {
    "dials.import": _import,
    "dials.find_spots": _find_spots,
    "dials.index": _lattice,
    "dials.refine": _lattice,
    "dials.integrate": _integrate,
    "dials.symmetry": _symmetry,
    "dials.cosym": _symmetry,
    "dials.scale": _merged,
    "dials.merge": _merged,
    "dials.estimate_resolution": _resolution,
    "puredials.process": _process,
}
