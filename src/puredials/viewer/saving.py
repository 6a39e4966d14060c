"""What a page saves, in the folder where the program runs: parameter files and masks."""

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from puredials.errors import FileError, ParameterError
from puredials.io.outputs import write_whole
from puredials.params import Params
from puredials.spots.params import Untrusted

__all__ = ["parameter_text", "save", "untrusted_shapes"]

_FURTHEST = 1e6  # px: no detector reaches so far
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


def save(folder: Path, name: object, suffix: str, write: Callable[[Path], object]) -> str:
    """Have `write` make the file `name`, which appears when it is whole; its path. No other folder is written to."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or not name.endswith(suffix):
        raise ParameterError(
            f"A file is named by letters, digits, _, - and dots, and ends in {suffix}; it goes where the viewer runs."
        )
    path = folder.absolute() / name
    if path.is_symlink() or path.is_dir():
        raise FileError(f"{name} is a folder or a link, and is left as it is.")
    write_whole(path, write)
    return str(path)


def parameter_text(scope: Params, depth: int = 0) -> str:
    """A group of parameters in phil syntax, without those that are None."""
    return "".join(f"{'  ' * depth}{line}\n" for line in _lines(scope))


def _lines(scope: Params) -> Iterator[str]:
    for name, value in scope:
        groups = value if isinstance(value, tuple) and value and isinstance(value[0], Params) else [value]
        for item in groups:
            if isinstance(item, Params):
                yield f"{name} {{"
                yield from (f"  {line}" for line in _lines(item))
                yield "}"
            elif isinstance(item, tuple) and item and isinstance(item[0], tuple):
                yield from (f"{name} = {_words(each)}" for each in item)
            elif item is not None and item != ():
                yield f"{name} = {_words(item)}"


def _words(value: Any) -> str:
    items = value if isinstance(value, tuple) else (value,)
    return " ".join(f"{v:.10g}" if isinstance(v, float) else str(v) for v in items)


def untrusted_shapes(shapes: Any, n_panels: int) -> tuple[Untrusted, ...]:
    """Shapes as the page draws them, ``{"kind", "panel", "points"}``, as parameters.

    Points (px) are opposite corners of a rectangle, the centre of a circle and a point on it, corners of a polygon.
    They are rounded to whole pixels, as DIALS wants them.
    """
    found = []
    for shape in shapes:
        kind, panel = shape["kind"], int(shape["panel"])
        places = [(float(x), float(y)) for x, y in shape["points"]]
        if not all(abs(v) <= _FURTHEST for place in places for v in place):
            raise ParameterError("A shape reaches far beyond the detector.")
        points = [(round(x), round(y)) for x, y in places]
        if not 0 <= panel < n_panels:
            raise ParameterError(f"There is no panel {panel}.")
        if kind == "rectangle" and len(points) == 2:
            (x0, x1), (y0, y1) = (sorted(pair) for pair in zip(*points, strict=True))
            found.append(Untrusted(panel=panel, rectangle=((x0, x1, y0, y1),)))
        elif kind == "circle" and len(points) == 2:
            (x, y), (u, v) = points
            found.append(Untrusted(panel=panel, circle=((x, y, round(math.hypot(u - x, v - y))),)))
        elif kind == "polygon" and len(points) > 2:
            corners = points if len(points) > 3 else [*points, points[0]]  # DIALS refuses triangles
            found.append(Untrusted(panel=panel, polygon=tuple(c for point in corners for c in point)))
        else:
            raise ParameterError(f"{len(points)} points make no {kind}.")
    if not found:
        raise ParameterError("Draw a rectangle, a circle or a polygon first.")
    return tuple(found)
