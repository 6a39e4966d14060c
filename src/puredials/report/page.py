"""One self-contained HTML page from sections of prose, tables and plots.

Plots are plain plotly figures, ``{"data": [...], "layout": {...}}``, built without plotly itself: the same objects go
into the ``.json`` files. The page needs no network: plotly's script is inlined once.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Section", "figure", "plain", "write_json", "write_page"]

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class Section:
    """A heading with one sentence of explanation, and any of: a figure, a table, preformatted text.

    Attributes:
        heading: of the section.
        text: says in a sentence or two what is to be seen.
        figure: a plotly figure as a dict, or None.
        header, rows: of a table; numbers are printed as they are given.
        log: text kept in its layout.
    """

    heading: str
    text: str = ""
    figure: Mapping[str, Any] | None = None
    header: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()
    log: str = ""


def figure(data: Sequence[Mapping[str, Any]], *, x: str, y: str, title: str = "", **layout: Any) -> dict[str, Any]:
    """A plotly figure with labelled axes; `x` and `y` name the quantity and its unit.

    Further keywords go into the layout; ``xaxis`` and ``yaxis`` there are merged with the titles.
    """
    axes = {
        name: {"title": {"text": label}, "zeroline": False, **layout.pop(name, {})}
        for name, label in (("xaxis", x), ("yaxis", y))
    }
    base = {
        "margin": {"l": 70, "r": 30, "t": 40 if title else 20, "b": 55},
        "font": {"family": _FONT, "size": 13},
        "hovermode": "closest",
        "legend": {"orientation": "h", "y": 1.08, "x": 0},
    }
    if title:
        base["title"] = {"text": title, "font": {"size": 15}}
    return {"data": [dict(trace) for trace in data], "layout": {**base, **axes, **layout}}


def plain(value: Any) -> Any:
    """`value` as JSON types: numpy arrays and numbers become lists and numbers, not-finite numbers null."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: Path, content: Any) -> None:
    """Write figures or results as a JSON file."""
    Path(path).write_text(json.dumps(plain(content), indent=1) + "\n", encoding="utf-8")


def write_page(path: Path, title: str, sections: Sequence[Section]) -> None:
    """Write the page; see `Section`. All text is escaped, so that names from files cannot become code."""
    import jinja2
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("puredials.report", "templates"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    figures = [plain(s.figure) if s.figure else None for s in sections]
    # Within a script element "<" could end it, or open a comment, from inside a string.
    scripts = json.dumps(figures).replace("<", "\\u003c")
    page = environment.get_template("page.html").render(
        title=title,
        sections=sections,
        figures=Markup(scripts),
        plotly=Markup(get_plotlyjs()) if any(figures) else "",
    )
    Path(path).write_text(page, encoding="utf-8")
