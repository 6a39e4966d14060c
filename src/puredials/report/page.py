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

__all__ = ["Section", "band", "figure", "figures_of", "plain", "stacked", "write_json", "write_page"]

# More than can be seen in a plot, of cells that change by parts in 10,000 too.
_DIGITS = 8
# Names that a legend has room for; what is pointed at shows its own.
_MOST_NAMES = 12
_COLOURS = (
    "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf",
)  # fmt: skip
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
        name: of the figure, in files of figures; letters, digits, "_" and "/".
        wide: as wide as the page, as tables are.
        links: names and relative addresses of other files.
    """

    heading: str
    text: str = ""
    figure: Mapping[str, Any] | None = None
    header: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()
    log: str = ""
    name: str = ""
    wide: bool = False
    links: Sequence[tuple[str, str]] = ()

    @property
    def in_words(self) -> Sequence[bool]:
        """Which columns of the table hold words, not numbers: any cell with a space in it makes one."""
        return [any(" " in str(row[k]) for row in self.rows if k < len(row)) for k in range(len(self.header))]


def figures_of(sections: Sequence[Section]) -> dict[str, Mapping[str, Any]]:
    """The figures of sections by name."""
    return {s.name: s.figure for s in sections if s.figure is not None}


def figure(data: Sequence[Mapping[str, Any]], *, x: str, y: str, title: str = "", **layout: Any) -> dict[str, Any]:
    """A plotly figure with labelled axes; `x` and `y` name the quantity and its unit.

    Further keywords go into the layout; ``xaxis`` and ``yaxis`` there are merged with the titles.
    """
    axes = {
        name: {
            "title": {"text": label, "standoff": 8},
            "zeroline": False,
            "exponentformat": "power",
            "automargin": True,
            **layout.pop(name, {}),
        }
        for name, label in (("xaxis", x), ("yaxis", y))
    }
    base = {
        "margin": {"l": 70, "r": 30, "t": 40 if title else 20, "b": 55},
        "font": {"family": _FONT, "size": 13},
        "hovermode": "closest",
        "legend": {"orientation": "h", "y": 1.01, "yanchor": "bottom", "x": 0},
    }
    traces = _coloured(data)
    if sum(bool(t.get("name")) and t.get("showlegend", True) for t in traces) > _MOST_NAMES:
        base["showlegend"] = False
    if title:
        base["title"] = {"text": title, "font": {"size": 15}}
    return {"data": traces, "layout": {**base, **axes, **layout}}


def _coloured(data: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Traces of which those of one name (or `legendgroup`) have one colour, where none was chosen for them."""
    colours: dict[str, str] = {}
    traces = [dict(trace) for trace in data]
    for trace in traces:
        parts = [trace.get(part, {}) for part in ("line", "marker")]
        if trace.get("type", "scatter") not in ("scatter", "scattergl", "bar") or "fill" in trace:
            continue
        if any("color" in part for part in parts):
            continue
        name = str(trace.get("legendgroup", trace.get("name", "")))
        colour = colours.setdefault(name, _COLOURS[len(colours) % len(_COLOURS)])
        trace["marker"] = {**trace.get("marker", {}), "color": colour}
        if trace.get("type", "scatter") != "bar":
            trace["line"] = {**trace.get("line", {}), "color": colour}
    return traces


def band(x: Any, y: Any, error: Any, name: str) -> list[dict[str, Any]]:
    """Traces of a curve (arrays) and of one standard error to each side of it."""
    outline = {"x": [*x, *x[::-1]], "y": [*(y + error), *(y - error)[::-1]]}
    return [
        {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": name},
        {"type": "scatter", "mode": "lines", **outline, "fill": "toself", "line": {"width": 0},
         "fillcolor": "rgba(120,120,120,0.25)", "showlegend": False, "hoverinfo": "skip"},
    ]  # fmt: skip


def stacked(parts: Mapping[str, Sequence[Mapping[str, Any]]], *, x: str, **layout: Any) -> dict[str, Any]:
    """A plotly figure of plots one above the other on a common x axis: label of the y axis -> traces."""
    n = max(len(parts), 1)
    traces: list[dict[str, Any]] = []
    axes: dict[str, Any] = {}
    for k, (label, own) in enumerate(parts.items()):
        number = "" if k == 0 else str(k + 1)
        # Names are those of the first plot; others have the same.
        several = k == 0 and sum(trace.get("showlegend", True) for trace in own) > 1
        traces += [{"showlegend": several, **trace, "yaxis": f"y{number}"} for trace in own]
        top = 1 - k / n
        axes[f"yaxis{number}"] = {
            "title": {"text": label, "standoff": 8}, "zeroline": False, "exponentformat": "power",
            "domain": [top - 0.9 / n, top], "automargin": True,
        }  # fmt: skip
    anchor = "y" if n == 1 else f"y{n}"
    first = axes.pop("yaxis", {})
    return figure(traces, x=x, y="", **{**axes, "xaxis": {"anchor": anchor}, "yaxis": first, **layout})


def plain(value: Any, digits: int | None = None) -> Any:
    """`value` as JSON types: numpy arrays and numbers become lists and numbers, not-finite numbers null.

    `digits`: significant digits to which numbers are rounded.
    """
    if isinstance(value, Mapping):
        return {str(k): plain(v, digits) for k, v in value.items()}
    if hasattr(value, "tolist"):
        return plain(value.tolist(), digits)
    if isinstance(value, list | tuple):
        return [plain(v, digits) for v in value]
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    return value if digits is None else float(f"{value:.{digits}g}")


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
    figures = [plain(s.figure, _DIGITS) if s.figure else None for s in sections]
    # Within a script element "<" could end it, or open a comment, from inside a string.
    scripts = json.dumps(figures).replace("<", "\\u003c")
    page = environment.get_template("page.html").render(
        title=title,
        sections=sections,
        figures=Markup(scripts),
        plotly=Markup(get_plotlyjs()) if any(figures) else "",
    )
    Path(path).write_text(page, encoding="utf-8")
