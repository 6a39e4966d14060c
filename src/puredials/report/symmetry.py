"""The page of dials.symmetry."""

from typing import Any

from puredials.report.page import Section, figure
from puredials.symmetry import SymmetryResult
from puredials.symmetry.tables import symmetry_report

__all__ = ["symmetry_figures", "symmetry_sections"]


def symmetry_figures(result: SymmetryResult) -> dict[str, dict[str, Any]]:
    """Plots by name: scores of elements and groups, and of screw axes where there are any."""
    elements, groups = result.laue.elements, result.laue.groups[:15]
    figures = {
        "elements": figure(
            [{"type": "bar", "x": [f"{e.order} |{e.axis}" for e in elements], "y": [e.cc for e in elements],
              "marker": {"color": [e.likelihood for e in elements], "cmin": 0, "cmax": 1, "colorscale": "Viridis",
                         "colorbar": {"title": {"text": "likelihood"}}}}],
            x="symmetry element of the lattice", y="correlation of related intensities",
            yaxis={"range": [min(0.0, *(e.cc for e in elements)), 1.05]}, margin={"l": 70, "r": 30, "t": 20, "b": 95},
        ),
        "groups": figure(
            [{"type": "bar", "orientation": "h", "y": [f"{i + 1}. {g.setting.patterson}" for i, g in enumerate(groups)],
              "x": [g.likelihood for g in groups]}],
            x="likelihood (normalised)", y="", yaxis={"autorange": "reversed", "automargin": True},
        ),
    }  # fmt: skip
    if result.absences is not None and result.absences.axes:
        axes = result.absences.axes
        figures["screw_axes"] = figure(
            [
                {"type": "bar", "name": "allowed", "x": [a.name for a in axes],
                 "y": [a.i_over_sigma_present for a in axes]},
                {"type": "bar", "name": "forbidden if the screw axis exists", "x": [a.name for a in axes],
                 "y": [a.i_over_sigma_absent for a in axes]},
            ],
            x="screw axis", y="mean I/σ(I)",
        )  # fmt: skip
    return figures


def symmetry_sections(result: SymmetryResult) -> list[Section]:
    """Sections of the page."""
    texts = {
        "elements": ("Symmetry elements", "A rotation that is a symmetry of the crystal relates intensities that "
                     "agree: its correlation is close to 1. The others relate unrelated intensities."),
        "groups": ("Laue groups", "Each group is judged by the elements it has and by those it lacks."),
        "screw_axes": ("Screw axes", "Reflections that a screw axis forbids are noise about zero if the axis exists."),
    }  # fmt: skip
    plots = [Section(*texts[name], plot) for name, plot in symmetry_figures(result).items()]
    return [*plots, Section("Log", log=symmetry_report(result))]
