"""Tables as text, as crystallographers know them from logs."""

from collections.abc import Sequence
from typing import Any

__all__ = ["text_table"]


def text_table(header: Sequence[str], rows: Sequence[Sequence[Any]], *, left: Sequence[int] = ()) -> str:
    """A framed table. Cells are printed with ``str``; columns are right-aligned but for those numbered in `left`.

    A header may have several lines, separated by newlines.
    """
    cells = [[str(value) for value in row] for row in rows]
    titles = [title.split("\n") for title in header]
    height = max(len(t) for t in titles)
    lines = [[t[i] if i < len(t) else "" for t in titles] for i in range(height)]
    widths = [max(len(row[c]) for row in [*lines, *cells]) for c in range(len(header))]

    def line(row: Sequence[str]) -> str:
        padded = [v.ljust(w) if c in left else v.rjust(w) for c, (v, w) in enumerate(zip(row, widths, strict=True))]
        return "| " + " | ".join(padded) + " |"

    rule = "+" + "+".join("-" * (w + 2) for w in widths) + "+"
    under = "|" + "+".join("-" * (w + 2) for w in widths) + "|"
    return "\n".join([rule, *map(line, lines), under, *map(line, cells), rule])
