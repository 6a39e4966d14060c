"""Reflection tables as text, for `dials.show`."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from puredials.model import Flags, MaskBits, ReflectionTable, Shoeboxes
from puredials.text import text_table

__all__ = ["flags_text", "identifiers_text", "rows_text", "summary_text"]

_FORMATS = {
    "d": ".2f",
    "partiality": ".4f",
    "rlp": ".4f",
    "s1": ".4f",
    "s2": ".4f",
    "s0": ".4f",
    "wavelength": ".5f",
    "delpsical.rad": ".5f",
}
_FORMATS_BY_END = {".variance": ".1f", ".value": ".1f", ".mm": ".2f", ".px": ".2f", ".mean": ".1f"}


def _format_of(name: str, values: Any) -> str:
    if values.dtype.kind in "iub":
        return ".0f"
    if name.startswith("xyz"):
        return ".2f" if not name.endswith("variance") else ".4f" if ".px" in name else ".4e"
    if name in _FORMATS:
        return _FORMATS[name]
    return next((f for end, f in _FORMATS_BY_END.items() if name.endswith(end)), ".3f")


def _cell(values: Any, form: str) -> str:
    return ", ".join(map(_number, np.atleast_1d(values).astype(float).tolist(), itertools.repeat(form)))


def _number(value: float, form: str) -> str:
    text = f"{value:{form}}"
    return text.removeprefix("-") if not text.strip("-0.") else text


def summary_text(table: ReflectionTable) -> str:
    """The number of reflections, and the least, greatest and mean value of each column."""
    rows: list[list[str]] = []
    for name in sorted(table):
        values = table[name]
        if isinstance(values, Shoeboxes):
            rows += _shoebox_rows(values)
        elif table.n_rows and isinstance(values, np.ndarray) and values.dtype.kind in "iubf" and values.ndim <= 2:
            form = _format_of(name, values)
            rows.append([name, *(_cell(f(values, axis=0), form) for f in (np.min, np.max, np.mean))])
        else:
            rows.append([name, "", "", ""])
    text = f"Reflection list contains {table.n_rows} reflections"
    return f"{text}\n{text_table(['Column', 'min', 'max', 'mean'], rows, left=(0, 1, 2, 3))}" if rows else text


def _shoebox_rows(boxes: Shoeboxes) -> list[list[str]]:
    starts, filled = boxes.offsets[:-1], np.diff(boxes.offsets) > 0
    rows = [["shoebox", "", "", ""]]
    if not filled.any():
        return rows
    foreground = (boxes.mask & (MaskBits.VALID | MaskBits.FOREGROUND)) == MaskBits.VALID | MaskBits.FOREGROUND
    quantities = {
        "  summed I": np.add.reduceat(np.where(foreground, boxes.data, 0), starts[filled], dtype=np.float64),
        "  N pix": np.diff(boxes.offsets)[filled],
        "  N valid foreground pix": np.add.reduceat(foreground, starts[filled], dtype=np.int64),
    }
    return rows + [[n, *(f"{f(v):.1f}" for f in (np.min, np.max, np.mean))] for n, v in quantities.items()]


def flags_text(table: ReflectionTable) -> str:
    """How many reflections have each flag. (A flag of several bits counts those that have any.)"""
    n = max(table.n_rows, 1)
    rows = []
    for name, flag in Flags.__members__.items():
        count = int(np.count_nonzero(table.has(flag)))
        rows.append([name.lower(), count, f"{100 * count / n:.1f}"])
    return "Reflection flags:\n" + text_table(["Flag", "Count", "%"], rows, left=(0,))


def identifiers_text(table: ReflectionTable) -> str:
    """Which experiment each id stands for."""
    lines = [f"id:{i} -> experiment identifier:{name}" for i, name in sorted(table.identifiers.items())]
    return "\n".join(["Experiment identifiers id-map values:", *(lines or ["none"])])


def rows_text(table: ReflectionTable, names: Sequence[str], limit: int | None) -> str:
    """The values of some columns, one line a reflection."""
    n = table.n_rows if limit is None else min(limit, table.n_rows)
    part = table.select(np.arange(n))
    columns: list[list[str]] = []
    for name in names:
        if name not in part:
            continue
        values = part[name]
        if isinstance(values, Shoeboxes):
            columns.append([f"{name} (N pix)", *map(str, np.diff(values.offsets))])
        elif isinstance(values, np.ndarray):
            form = _format_of(name, values)
            columns.append([name, *(_cell(v, form) for v in values)])
    widths = [max(map(len, column)) for column in columns]
    lines = [" ".join(v.rjust(w) for v, w in zip(row, widths, strict=True)) for row in zip(*columns, strict=True)]
    return "\n".join([f"Printing {n} of {table.n_rows} reflections:", *lines])
