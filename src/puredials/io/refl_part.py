"""Reading some of the columns of a .refl file, and the pixels of some of its shoeboxes, without the rest in memory."""

import mmap
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from puredials.io.refl import MAGIC, TYPES, read_reflections
from puredials.kernels import shoebox_blob
from puredials.model import ReflectionTable, Shoeboxes

__all__ = ["read_columns"]

# Shoeboxes looked at before the pages of the file that hold them are given back.
ROWS = 4000


def read_columns(path: Path | str, names: Collection[str], *, boxes: int) -> ReflectionTable:
    """The columns of the given names that the file has.

    Of a column of shoeboxes all boxes are told, but pixels are read of about `boxes` of them only, evenly chosen; the
    others are without pixels. Files that are compressed or damaged are read as a whole.
    """
    path = Path(path)
    with open(path, "rb") as file:
        start = file.read(1)
        if start != b"\x93":  # an array of three; all else is for the careful reader
            table = read_reflections(path)
            return table.without([n for n in table if n not in names])
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            try:
                return _table(view, names, boxes)
            except (IndexError, ValueError, UnicodeDecodeError):
                pass
    table = read_reflections(path)  # says what is wrong
    return table.without([n for n in table if n not in names])


def _table(view: mmap.mmap, names: Collection[str], boxes: int) -> ReflectionTable:
    at = _Cursor(view)
    if at.item() != 3 or at.item() != MAGIC or at.item() not in (1, 2):
        raise ValueError("not a reflection table")
    identifiers: dict[int, str] = {}
    columns: dict[str, Any] = {}
    types: dict[str, str] = {}
    n = 0
    for _ in range(at.item()):
        match at.item():
            case "identifiers":
                identifiers = {at.item(): at.item() for _ in range(at.item())}
            case "nrows":
                n = at.item()
            case "data":
                for _ in range(at.item()):
                    name, _, kind, _, rows, (low, high) = (at.item() for _ in range(6))
                    if rows != n:
                        raise ValueError("columns of different lengths")
                    if name in names and kind == "Shoebox<>":
                        columns[name] = _shoeboxes(view, low, high, n, boxes)
                    elif name in names and kind in TYPES:
                        dtype, shape = TYPES[kind]
                        columns[name] = np.frombuffer(view[low:high], dtype).reshape(n, *shape).copy()
                        types[name] = kind
    return ReflectionTable(columns, identifiers, types)


class _Cursor:
    """Reads msgpack items one after the other; of arrays and maps the length, of binaries (start, end)."""

    def __init__(self, view: mmap.mmap) -> None:
        self._view, self._at = view, 0

    def item(self) -> Any:
        code = self._view[self._at]
        self._at += 1
        if code < 0x80:
            return code
        if code < 0xA0:  # short maps and arrays
            return code & 0x0F
        if code < 0xC0:
            return self._text(code & 0x1F)
        if code in (0xC4, 0xC5, 0xC6):
            size = self._integer(1 << (code - 0xC4))
            self._at += size
            if self._at > len(self._view):
                raise ValueError("truncated")
            return self._at - size, self._at
        if code in (0xCC, 0xCD, 0xCE, 0xCF):
            return self._integer(1 << (code - 0xCC))
        if code in (0xD9, 0xDA, 0xDB):
            return self._text(self._integer(1 << (code - 0xD9)))
        if code in (0xDC, 0xDE):
            return self._integer(2)
        if code in (0xDD, 0xDF):
            return self._integer(4)
        raise ValueError("an item that reflection tables do not have")

    def _integer(self, size: int) -> int:
        self._at += size
        return int.from_bytes(self._view[self._at - size : self._at], "big")

    def _text(self, size: int) -> str:
        self._at += size
        return self._view[self._at - size : self._at].decode()


def _shoeboxes(view: mmap.mmap, low: int, high: int, n: int, wanted: int) -> Shoeboxes:
    panel, bbox = np.empty(n, np.uint32), np.empty((n, 6), np.int32)
    chosen = np.zeros(n, bool)
    chosen[:: max(1, -(-n // max(wanted, 1)))] = True
    sizes = np.zeros(n, np.int64)
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    at = low
    for first in range(0, n, ROWS):
        last = min(first + ROWS, n)
        # A copy of what these boxes can take, lest the mapped file counts as memory in use.
        rows = slice(first, last)
        starts, codes = np.empty(last - first, np.int64), np.empty(last - first, np.uint8)
        offsets = np.zeros(last - first + 1, np.int64)
        raw = np.frombuffer(view, np.uint8)[at:high]
        shoebox_blob.scan(raw, panel[rows], bbox[rows], starts, codes, offsets)
        counts = np.diff(offsets)
        end = int(starts[-1] + counts[-1] * {0: 0, 1: 12, 2: 9}[int(codes[-1])])
        if (counts < 0).any() or at + end > high or (codes > 2).any():
            raise ValueError("damaged shoeboxes")
        mine = np.flatnonzero(chosen[rows])
        sizes[first + mine] = counts[mine]
        some = np.concatenate([[0], np.cumsum(counts[mine])]).astype(np.int64)
        data, background = np.empty(some[-1], np.float32), np.empty(some[-1], np.float32)
        mask = np.empty(some[-1], np.uint8)
        if not shoebox_blob.unpack(
            raw, starts[mine], codes[mine], some, data.view(np.uint8), mask, background.view(np.uint8)
        ):
            raise ValueError("unknown bits in masks")
        parts.append((data, mask, background))
        del raw
        at += end
        _release(view, at)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    data, mask, background = (np.concatenate(column) for column in zip(*parts, strict=True)) if parts else (
        np.empty(0, np.float32), np.empty(0, np.uint8), np.empty(0, np.float32)
    )  # fmt: skip
    return Shoeboxes(panel, bbox, offsets, data, mask, background)


def _release(view: mmap.mmap, upto: int) -> None:
    """Give back the pages of the file before `upto`, which count as memory of this process while they are mapped."""
    if hasattr(mmap, "MADV_DONTNEED"):
        view.madvise(mmap.MADV_DONTNEED, 0, upto // mmap.PAGESIZE * mmap.PAGESIZE)
