"""The page of dials.symmetry."""

from puredials.report.page import Section, figure
from puredials.symmetry import SymmetryAnalysis
from puredials.symmetry.tables import symmetry_report

__all__ = ["symmetry_sections"]


def symmetry_sections(analysis: SymmetryAnalysis) -> list[Section]:
    """Sections of the page: scores of elements and groups, and of screw axes where there are any."""
    elements, groups = analysis.laue.elements, analysis.laue.groups[:15]
    sections = [
        Section(
            "Symmetry elements",
            "A rotation that is a symmetry of the crystal relates intensities that agree: its correlation is close to "
            "1. The others relate unrelated intensities.",
            figure(
                [{"type": "bar", "x": [f"{e.order} |{e.axis}" for e in elements], "y": [e.cc for e in elements],
                  "marker": {"color": [e.likelihood for e in elements], "cmin": 0, "cmax": 1, "colorscale": "Viridis",
                             "colorbar": {"title": {"text": "likelihood"}}}}],
                x="symmetry element of the lattice", y="correlation of related intensities",
                yaxis={"range": [min(0.0, *(e.cc for e in elements)), 1.05]},
                xaxis={"automargin": True, "tickangle": -90},
            ),
            name="elements",
        ),
        Section(
            "Laue groups",
            "Each group is judged by the elements it has and by those it lacks; those of one name have their axes "
            "along different directions of the lattice.",
            figure(
                [{"type": "bar", "orientation": "h", "x": [g.likelihood for g in groups],
                  "y": [f"{i + 1}. {g.setting.patterson}" for i, g in enumerate(groups)]}],
                x="likelihood (normalised)", y="", yaxis={"autorange": "reversed", "automargin": True},
            ),
            name="groups",
        ),
    ]  # fmt: skip
    if analysis.absences is not None and analysis.absences.axes:
        axes = analysis.absences.axes
        plot = figure(
            [
                {"type": "bar", "name": "allowed", "x": [a.name for a in axes],
                 "y": [a.i_over_sigma_present for a in axes]},
                {"type": "bar", "name": "forbidden if the screw axis exists", "x": [a.name for a in axes],
                 "y": [a.i_over_sigma_absent for a in axes]},
            ],
            x="screw axis", y="mean I/σ(I)",
        )  # fmt: skip
        text = "Reflections that a screw axis forbids are noise about zero if the axis exists."
        sections.append(Section("Screw axes", text, plot, name="screw_axes"))
    return [*sections, Section("Log", log=symmetry_report(analysis))]
