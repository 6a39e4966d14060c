"""The page of puredials process: what was chosen, why, and what each stage shows."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import gemmi

from puredials.cli.process_stages import Stages
from puredials.errors import ProcessingError, PuredialsError
from puredials.io.expt import read_experiments
from puredials.io.profiles import profiles_beside
from puredials.io.refl import read_reflections
from puredials.merging import MergeResult, merging_statistics, merging_table
from puredials.merging.tables import r_factors
from puredials.model import Experiments, Flags, ReflectionTable
from puredials.report import Report, Section, figure, report
from puredials.report.centroids import centroid_residuals

__all__ = ["story"]

# Of the plots of dials.report, those that tell how a stage went: file, heading of the stage, names of the plots.
_PLOTS = (
    ("indexed", "Spots and lattice", ("spots_per_image", "indexed_share")),
    ("refined", "Refinement", ("rmsd_along_scan", "cell_lengths", "orientation")),
    ("integrated", "Integration",
     ("i_over_sigma", "i_over_sigma_scan", "profile_correlation_scan", "reference_profiles_xy")),
    ("scaled", "Scaling and merging",
     ("scale", "decay", "batch_rmerge", "cc_one_half", "i_over_sig_i", "completeness", "r_pim")),
)  # fmt: skip
_PAGES = {
    "dials.cluster_unit_cell": ("Unit cells", "cluster_unit_cell.html"),
    "dials.symmetry": ("Symmetry", "dials.symmetry.html"),
    "dials.cosym": ("Symmetry and settings of all crystals", "dials.cosym.html"),
    "dials.compute_delta_cchalf": ("What each data set adds", "compute_delta_cchalf.html"),
    "dials.estimate_resolution": ("Resolution", "dials.estimate_resolution.html"),
    "dials.scale": ("Scaling", "dials.scale.html"),
    "dials.merge": ("Merging", "dials.merge.html"),
}
_SHELLS = 10


def story(
    stages: Stages, merged: MergeResult | None, stop: ProcessingError | None, page: Path
) -> tuple[str, str, list[Section]]:
    """Title, what to print, and the sections of the page at `page`."""
    reports = [(heading, names, _report(stem)) for stem, heading, names in _PLOTS if _is_of_this_run(stem, stages)]
    if merged is None:
        title, result, table = "Stopped on the way from images to merged intensities", str(stop), ""
    else:
        mtz = gemmi.read_mtz_file("merged.mtz")
        cell = " ".join(f"{p:.2f}" for p in mtz.cell.parameters)
        title = "From images to merged intensities"
        result = f"Space group {mtz.spacegroup.hm if mtz.spacegroup else '?'}, cell {cell}."
        table = merging_table(merging_statistics(merged, _SHELLS))
    sections = [
        Section("Result", result, header=("quantity", "value"), rows=_key_figures(stages, merged), log=table),
        Section(
            "Decisions",
            "What was chosen between the programs, and the numbers that decided.",
            header=("question", "choice", "reason"),
            rows=[(d.question, d.choice, d.reason) for d in stages.decisions],
        ),
    ]
    remarks = [(heading, remark.text) for heading, _, found in reports if found is not None for remark in found.remarks]
    if remarks:
        sections.append(Section("What deserves a look", "", header=("stage", "why"), rows=remarks))
    for heading, names, found in reports:
        shown = [s for s in found.sections if s.name in names] if found is not None else []
        sections += [replace(s, heading=f"{heading}: {s.heading}") for s in shown]
    if stages.times:
        sections.append(_times(stages.times))
    if links := _links(stages, page):
        sections.append(Section("More", "The pages of the single programs, beside this one.", links=links))
    looks = "".join(f"\n  {heading}: {text}" for heading, text in remarks)
    told = (f"{result}\n\n{table}" if table else "", f"What deserves a look:{looks}" if looks else "")
    return title, "\n\n".join(part for part in told if part), sections


def _is_of_this_run(stem: str, stages: Stages) -> bool:
    """Whether the files of a stage are those of this run, which may have stopped before."""
    if stem == "indexed":
        return any(d.question == "Lattice" and d.choice == "go on" for d in stages.decisions)
    programs = {"refined": "dials.refine", "integrated": "dials.integrate", "scaled": "dials.scale"}
    return programs[stem] in {name for name, _ in stages.times}


def _report(stem: str) -> Report | None:
    """What dials.report finds, or nothing where it finds too little."""
    try:
        return report(*_read(stem), profiles=profiles_beside([Path(f"{stem}.refl")]))
    except PuredialsError:
        return None


def _times(times: Sequence[tuple[str, float]]) -> Section:
    names = [f"{k + 1} {name}" for k, (name, _) in enumerate(times)]
    bars = {"type": "bar", "orientation": "h", "y": names, "x": [round(seconds, 1) for _, seconds in times]}
    total = sum(seconds for _, seconds in times)
    plot = figure([bars], x="time (s)", y="", yaxis={"autorange": "reversed", "automargin": True})
    return Section("Time", f"What each stage took; {total:.0f} s in all.", plot, name="time")


def _links(stages: Stages, page: Path) -> list[tuple[str, str]]:
    """The pages that the programs of this run wrote, as addresses relative to `page`."""
    programs = {name for name, _ in stages.times}
    found = [(title, Path(name)) for program, (title, name) in _PAGES.items() if program in programs]
    return [(title, os.path.relpath(name, page.parent)) for title, name in found if name.is_file()]


def _key_figures(stages: Stages, merged: MergeResult | None) -> list[tuple[str, str]]:
    """How each stage went, in a few numbers."""
    rows: list[tuple[str, str]] = []
    if _is_of_this_run("indexed", stages):
        experiments, spots = _read("indexed")
        images = {(k, e.scan and e.scan.image_range): 1 if e.scan is None else len(e.scan)
                  for k, e in zip(experiments.imageset_ids(), experiments, strict=True)}  # fmt: skip
        rows.append(("images", f"{sum(images.values())} in {len(images)} sweep{'s' if len(images) > 1 else ''}"))
        indexed = int(spots.has(Flags.INDEXED).sum())
        rows.append(("spots", f"{spots.n_rows}, of which {100 * indexed / max(spots.n_rows, 1):.1f} % are indexed"))
    if _is_of_this_run("refined", stages):
        experiments, spots = _read("refined")
        residuals = centroid_residuals(experiments, spots)
        if residuals is not None:
            x, y, phi = residuals.rmsd
            rows.append(("RMSDs after refinement", f"{x:.3f}, {y:.3f} px, {phi:.3f}°"))
    if _is_of_this_run("integrated", stages):
        _, table = _read("integrated")
        rows.append(("integrated reflections", str(int(table.has(Flags.INTEGRATED).sum()))))
    if merged is not None:
        rows += _merging_figures(merged)
    return rows


def _merging_figures(merged: MergeResult) -> list[tuple[str, str]]:
    statistics = merging_statistics(merged, _SHELLS)
    whole, outer = statistics.overall, statistics.shells
    _, r_meas, r_pim = r_factors(whole, anomalous=False)
    d_min, d_max = statistics.edges[-1], statistics.edges[0]

    def both(name: str, form: str, factor: float = 1.0, unit: str = "") -> str:
        values = factor * getattr(whole, name)[0], factor * getattr(outer, name)[-1]
        return "{} ({} in the outer shell)".format(*(f"{v:{form}}{unit}" for v in values))

    return [
        ("resolution", f"{d_max:.2f} to {d_min:.2f} Å"),
        ("observations", f"{int(whole.n_obs[0])} of {int(whole.n_unique[0])} reflections"),
        ("completeness", both("completeness", ".1f", 100.0, " %")),
        ("multiplicity", both("multiplicity", ".1f")),
        ("mean I/σ(I)", both("i_over_sigma", ".1f")),
        ("CC½", both("cc_half", ".3f")),
        ("Rmeas, Rpim", f"{r_meas[0]:.3f}, {r_pim[0]:.3f}"),
    ]


def _read(stem: str) -> tuple[Experiments, ReflectionTable]:
    return read_experiments(Path(f"{stem}.expt")), read_reflections(Path(f"{stem}.refl"))
