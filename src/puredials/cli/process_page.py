"""The page of puredials process: what was chosen, why, and what came out."""

import json
from collections.abc import Sequence
from pathlib import Path

import gemmi

from puredials.merging import MergeResult, merging_statistics, merging_table
from puredials.pipeline import Decision
from puredials.report.page import Section, figure

__all__ = ["story"]

# Plots of the programs' own JSON files: file, name, heading, what is to be seen.
_PLOTS = (
    ("dials.merge.json", "cc_one_half", "CC½", "Correlation of two halves of the data, merged apart."),
    ("dials.merge.json", "i_over_sig_i", "I/σ(I)", "Strength of the merged intensities."),
    ("dials.merge.json", "completeness", "Completeness", "Share of the possible reflections that were measured."),
    ("dials.merge.json", "r_pim", "R factors", "Spread of equivalent reflections about their means."),
)
_SHELLS = 10


def story(
    merged: MergeResult, decisions: Sequence[Decision], times: Sequence[tuple[str, float]]
) -> tuple[str, str, list[Section]]:
    """Title, merging table as text, and the sections of the page."""
    table = merging_table(merging_statistics(merged, _SHELLS))
    mtz = gemmi.read_mtz_file("merged.mtz")
    cell = " ".join(f"{p:.2f}" for p in mtz.cell.parameters)
    result = f"Space group {mtz.spacegroup.hm if mtz.spacegroup else '?'}, cell {cell}."
    sections = [
        Section("Result", result, log=table),
        Section(
            "Decisions",
            "What was chosen between the programs, and the numbers that decided.",
            header=("question", "choice", "reason"),
            rows=[(d.question, d.choice, d.reason) for d in decisions],
        ),
    ]
    for file, name, heading, text in _PLOTS:
        figures = json.loads(Path(file).read_text(encoding="utf-8")) if Path(file).exists() else {}
        if name in figures:
            sections.append(Section(heading, text, figures[name]))
    if times:
        bars = [{"type": "bar", "x": [n for n, _ in times], "y": [round(s, 1) for _, s in times]}]
        sections.append(Section("Time", "What each program took in this run.", figure(bars, x="", y="time (s)")))
    return "From images to merged intensities", f"{result}\n\n{table}", sections
