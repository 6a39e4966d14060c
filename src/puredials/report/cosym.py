"""The page of dials.cosym."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from puredials.report.cells import cell_histogram, dendrogram_section
from puredials.report.page import Section, figure
from puredials.report.symmetry import symmetry_sections
from puredials.symmetry import CosymResult, cosym_report
from puredials.symmetry.cosym_tables import SET_HEADER, set_rows

__all__ = ["cosym_sections"]

_COLOURS = ("#1f6f8b", "#c0562f", "#4f8a3c", "#7a4fa3", "#b0892a", "#b13f6c", "#5b6875", "#2f8f7f")
# Of rotations of a lattice by half as many symmetries of the crystal, and so on: more are not told apart by colour.
_MOST_SETTINGS = len(_COLOURS)

# Principal axes of the coordinates that are plotted in pairs.
_MOST_AXES = 4
_PRINCIPAL = ("first", "second", "third", "fourth")


def cosym_sections(result: CosymResult, *, log: bool) -> list[Section]:
    """Sections of the page; `log`: the tree of cells has a logarithmic scale."""
    every = [str(k) for k in range(len(result.cells.distances))]
    sections = [
        Section(
            "Sets",
            "How each set correlates with all others in the setting that was chosen for it, and in the best of those "
            "that the symmetry of the crystal tells apart (-: there is none).",
            header=SET_HEADER, rows=set_rows(result),
        )
    ]  # fmt: skip
    if result.excluded:
        rows = [[str(number), reason] for number, reason in result.excluded.items()]
        sections.append(Section("Sets left out", "They are not in the files.", header=("Set", "Reason"), rows=rows))
    sections += [
        Section(
            "Coordinates",
            "Each point is one set in one setting of the lattice; the cosine of the angle between two points, as seen "
            "from the origin, is their correlation but for errors. Points of a colour are in one setting: clusters "
            "of one colour each mean that settings are told apart.",
            _coordinates(result), name="cosym_coordinates", wide=result.coordinates.shape[1] > 2,
        ),
        Section(
            "Correlations between sets",
            "Of pairs of sets in a common setting, and in settings that the crystal's symmetry tells apart: the less "
            "they overlap, the surer the settings.",
            _histogram(result), name="cosym_rij_histogram",
        ),
        Section(
            "Correlation matrix",
            "Of the sets as they were written; a set that stands out by low values is of another structure, or weak. "
            "Empty: too few reflections in common.",
            _matrix(result), name="cosym_rij_matrix",
        ),
        Section(
            "Dimensions",
            "The functional falls steeply until there is a dimension for each setting that differs.",
            _functional(result), name="cosym_functional",
        ),
        dendrogram_section(result.cells, every, log=log),
        Section(
            "Cell parameters",
            "Of the reduced cells of the largest cluster of lattices: one peak each speaks for one crystal form.",
            cell_histogram(result.cells.clusters[0].cells), name="cell_parameters",
        ),
        *symmetry_sections(result.analysis),
        Section("Log: settings", log=cosym_report(result)),
    ]  # fmt: skip
    return sections


def _names(result: CosymResult) -> list[str]:
    """Names of the sets that the correlations are of."""
    names = [str(number) for number in result.cb_ops]
    return names + ["reference"] * (len(result.settings.copies) - len(names))


def _settings(result: CosymResult) -> np.ndarray:
    """(n_sets, n_ops) which coset of the crystal's group turns the chosen copy of a set into each copy."""
    settings = result.settings
    number = np.empty(settings.cosets.size, dtype=int)
    number[settings.cosets] = np.arange(len(settings.cosets))[:, None]
    found = np.empty((len(settings.copies), len(settings.turned)), dtype=int)
    for k, copy in enumerate(settings.copies):
        found[k, settings.turned[:, copy]] = number
    return found


def _coordinates(result: CosymResult) -> dict[str, Any]:
    """Pair plots of the first principal axes of the coordinates."""
    x = result.coordinates
    _, _, axes = np.linalg.svd(x, full_matrices=False)
    x = x @ axes[:_MOST_AXES].T
    setting = _settings(result).ravel()
    names = np.repeat(_names(result), len(result.settings.turned))
    pairs = [(i, j) for j in range(x.shape[1]) for i in range(j)] or [(0, 0)]
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {}
    for number, (i, j) in enumerate(pairs):
        suffix = "" if number == 0 else str(number + 1)
        on = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}", "showlegend": number == 0}
        for k in range(min(setting.max() + 1, _MOST_SETTINGS)):
            here = setting == k if k < _MOST_SETTINGS - 1 else setting >= k
            traces.append(
                {"type": "scatter", "mode": "markers", "x": x[here, i], "y": x[here, j], "text": names[here],
                 "hovertemplate": "set %{text}<extra></extra>", "name": "as written" if k == 0 else f"setting {k + 1}",
                 "marker": {"size": 7, "opacity": 0.7, "color": _COLOURS[k]}, **on}
            )  # fmt: skip
        traces.append(
            {"type": "scatter", "mode": "markers", "x": [0], "y": [0], "name": "origin", "hoverinfo": "skip",
             "marker": {"symbol": "cross-thin", "size": 12, "line": {"width": 1.5, "color": "#1d2733"}}, **on}
        )  # fmt: skip
        layout |= _pair_axes(number, suffix, _PRINCIPAL[i], _PRINCIPAL[j], len(pairs))
    if len(pairs) > 1:
        layout["height"] = 290 * -(-len(pairs) // 3) + 140
    return figure(traces, x=f"{_PRINCIPAL[0]} principal axis", y=f"{_PRINCIPAL[pairs[0][1]]} principal axis", **layout)


def _pair_axes(number: int, suffix: str, across: str, up: str, n: int) -> dict[str, Any]:
    """The axes of one of `n` plots, in rows of three."""
    columns, rows = min(n, 3), -(-n // 3)
    column, row = number % 3, number // 3
    width, height = 1 / columns, 1 / rows
    x: dict[str, Any] = {"zeroline": False, "title": {"text": f"{across} principal axis"}}
    y: dict[str, Any] = {
        "zeroline": False,
        "title": {"text": f"{up} principal axis"},
        "scaleanchor": f"x{suffix}",
        "scaleratio": 1,
    }
    if n > 1:
        x |= {"domain": [(column + 0.12) * width, (column + 0.95) * width], "anchor": f"y{suffix}"}
        top = 1 - row * height
        y |= {"domain": [top - 0.7 * height, top], "anchor": f"x{suffix}"}
    return {f"xaxis{suffix}": x, f"yaxis{suffix}": y}


def _histogram(result: CosymResult) -> dict[str, Any]:
    settings = result.settings
    label = _settings(result)
    same, other = [], []
    n_sets = len(settings.copies)
    for i in range(n_sets):
        for j in range(i):
            r, n = settings.correlations.r[i, settings.copies[i], j], settings.correlations.n[i, settings.copies[i], j]
            same.append(r[(label[j] == 0) & (n > 0)])
            other.append(r[(label[j] != 0) & (n > 0)])
    groups = [("common setting", same, _COLOURS[0]), ("another setting", other, _COLOURS[1])]
    traces = [
        {"type": "histogram", "x": np.concatenate(values), "name": name, "opacity": 0.65, "histnorm": "percent",
         "xbins": {"start": -1, "end": 1, "size": 0.04}, "marker": {"color": colour}}
        for name, values, colour in groups if values and sum(map(len, values))
    ]  # fmt: skip
    return figure(
        traces, x="correlation", y="pairs of sets (%)", barmode="overlay", xaxis={"range": [-1, 1]}, showlegend=True
    )


def _matrix(result: CosymResult) -> dict[str, Any]:
    settings = result.settings
    everyone = np.arange(len(settings.copies))
    chosen = np.ix_(everyone, settings.copies, everyone, settings.copies)
    r, n = settings.correlations.r[chosen], settings.correlations.n[chosen]
    r = np.einsum("iijj->ij", r).copy()
    r[np.einsum("iijj->ij", n) == 0] = np.nan
    np.fill_diagonal(r, 1)
    names = _names(result)
    axis = {"type": "category", "constrain": "domain", **_ticks(names)}
    return figure(
        [{"type": "heatmap", "z": r, "x": names, "y": names, "zmin": min(0.0, float(np.nanmin(r))), "zmax": 1,
          "colorscale": "Viridis", "hoverongaps": False, "colorbar": {"title": {"text": "CC"}},
          "hovertemplate": "sets %{x} and %{y}: %{z:.3f}<extra></extra>"}],
        x="set", y="set", xaxis=axis, yaxis={**axis, "scaleanchor": "x", "autorange": "reversed"},
    )  # fmt: skip


def _ticks(names: Sequence[str]) -> dict[str, Any]:
    step = max(1, len(names) // 20)
    return {"tickvals": list(names[::step])}


def _functional(result: CosymResult) -> dict[str, Any]:
    dimensions, values = zip(*result.functional, strict=True)
    used = result.coordinates.shape[1]
    return figure(
        [
            {"type": "scatter", "mode": "lines+markers", "x": dimensions, "y": values, "showlegend": False},
            {"type": "scatter", "mode": "markers", "x": [used], "y": [values[dimensions.index(used)]],
             "name": "used", "marker": {"size": 12, "color": _COLOURS[1]}},
        ],
        x="number of dimensions", y="functional", xaxis={"dtick": 1}, yaxis={"rangemode": "tozero"},
    )  # fmt: skip
