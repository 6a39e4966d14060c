"""What the user reads of the analysis of symmetry: text for the log, figures and sections for the page."""

from typing import Any

import gemmi

from puredials.symmetry.absences import SCREW_ODDS, AbsenceAnalysis
from puredials.symmetry.determine import SymmetryAnalysis
from puredials.symmetry.lattice import basis_text
from puredials.symmetry.laue import LaueAnalysis
from puredials.text import text_table

__all__ = ["symmetry_report", "symmetry_summary"]

_RULE = "-" * 80
_ELEMENT_HEADER = ("likelihood", "Z-CC", "CC", "N", "", "Operator")
_GROUP_HEADER = (
    "Patterson group",
    "",
    "Likelihood",
    "NetZcc",
    "Zcc+",
    "Zcc-",
    "CC",
    "CC-",
    "delta",
    "Reindex operator",
)
_AXIS_HEADER = ("Screw axis", "Score", "No. present", "No. absent", "<E²> present", "<E²> absent", "<I/sig> present",
                "<I/sig> absent")  # fmt: skip


def _element_rows(laue: LaueAnalysis) -> list[list[str]]:
    return [
        [f"{e.likelihood:.3f}", f"{e.z:.2f}", f"{e.cc:.2f}", str(e.n), e.stars, f"{e.order} |{e.axis}"]
        for e in laue.elements
    ]


def _group_rows(analysis: SymmetryAnalysis) -> list[list[str]]:
    return [
        [g.setting.patterson, g.stars, f"{g.likelihood:.3f}", f"{g.net_z:.2f}", f"{g.z_with:.2f}", f"{g.z_without:.2f}",
         f"{g.cc_with:.2f}", f"{g.cc_without:.2f}", f"{g.setting.delta:.1f}",
         basis_text(analysis.minimum_basis @ g.setting.basis)]
        for g in analysis.laue.groups
    ]  # fmt: skip


def _axis_rows(absences: AbsenceAnalysis) -> list[list[str]]:
    return [
        [a.name, f"{a.probability:.3f}", str(a.n_present), str(a.n_absent), f"{a.mean_present:.3f}",
         f"{a.mean_absent:.3f}", f"{a.i_over_sigma_present:.2f}", f"{a.i_over_sigma_absent:.2f}"]
        for a in absences.axes
    ]  # fmt: skip


def _space_group_rows(absences: AbsenceAnalysis) -> list[list[str]]:
    return [[", ".join(g.space_groups), str(g.n_absent), f"{g.probability:.3f}"] for g in absences.groups]


def _cell_text(cell: gemmi.UnitCell) -> str:
    return "(" + ", ".join(f"{v:.6g}" for v in cell.parameters) + ")"


def symmetry_report(analysis: SymmetryAnalysis) -> str:
    """The story of the analysis, as text."""
    laue, limits = analysis.laue, analysis.limits
    parts = ["Performing Laue group analysis", ""]
    if limits.i_over_sigma is not None:
        parts.append(f"Resolution estimate from <I>/<σ(I)>: {limits.i_over_sigma:.2f}")
    if limits.cc_half is not None:
        parts.append(f"Resolution estimate from CC½: {limits.cc_half:.2f}")
    parts += [
        f"High resolution limit set to: {limits.d_min:.2f}",
        f"Selecting {analysis.n_observations} reflections with d > {limits.d_min:.2f}",
        "",
        f"Change of basis to minimum cell: {basis_text(analysis.minimum_basis)}",
        f"Minimum cell: {_cell_text(analysis.minimum_cell)}",
        f"Lattice point group: {analysis.lattice.patterson}",
        "",
        f"Overall CC for {laue.n_unrelated} unrelated pairs: {laue.cc_unrelated:.3f}",
        f"Estimated expectation value of true correlation coefficient E(CC) = {laue.e_cc_true:.3f}",
        f"Estimated sd(CC) = {laue.cc_sigma_factor:.3f} / sqrt(N)",
        f"Estimated E(CC) of true correlation coefficient from identity = {laue.cc_true:.3f}",
        "",
        _RULE,
        "",
        "Scoring individual symmetry elements",
        "",
        text_table(_ELEMENT_HEADER, _element_rows(laue), left=(5,)),
        "",
        _RULE,
        "",
        "Scoring all possible sub-groups",
        "",
        text_table(_GROUP_HEADER, _group_rows(analysis), left=(0, 9)),
        "",
        f"Best solution: {analysis.setting.patterson}",
        f"Unit cell: {_cell_text(analysis.setting.unit_cell)}",
        f"Reindex operator: {basis_text(analysis.minimum_basis @ analysis.setting.basis)}",
        f"Laue group probability: {laue.groups[0].likelihood:.3f}",
        f"Laue group confidence: {laue.confidence:.3f}",
    ]
    if analysis.setting is not laue.groups[0].setting:
        parts.append(f"The Laue group {analysis.setting.patterson} was given and is used.")
    if analysis.absences is not None:
        parts += ["", _RULE, "", *_absence_report(analysis.absences, analysis.setting.patterson)]
    parts += ["", f"Recommended space group: {analysis.space_group.xhm()}"]
    return "\n".join(parts)


def _absence_report(absences: AbsenceAnalysis, patterson: str) -> list[str]:
    lines = ["Analysing systematic absences", "", f"Laue group: {patterson}"]
    if not absences.axes:
        return [*lines, "No absences to check for this Laue group", *_equivalent(absences)]
    return [
        *lines,
        text_table(_AXIS_HEADER, _axis_rows(absences), left=(0,)),
        text_table(("Space group", "No. absent", "Score"), _space_group_rows(absences), left=(0,)),
        *_equivalent(absences),
        *_doubts(absences),
    ]


def _equivalent(absences: AbsenceAnalysis) -> list[str]:
    if not absences.equivalent:
        return []
    return [
        f"Space group with equivalent score (the absences cannot tell it from {absences.best}): "
        + ", ".join(absences.equivalent)
    ]


def _doubts(absences: AbsenceAnalysis) -> list[str]:
    """What the absences leave open."""
    lines = []
    if missing := ", ".join(a.name for a in absences.axes if a.n_absent == 0):
        scores = (
            f"their scores only say that axes are screw axes {SCREW_ODDS:.0f} times as often as not"
            if absences.measured
            else "their scores are the shares of space groups that have them"
        )
        lines.append(f"Unknown: {missing}. No reflection that would show these screw axes was measured; {scores}.")
    if absences.alternatives and not absences.measured:
        others = ", ".join(g for s in absences.alternatives for g in s.space_groups)
        lines.append(f"{absences.best} stands for {others}, too: nothing was measured that tells them apart.")
    elif absences.alternatives:
        others = ", ".join(f"{g} ({s.probability:.2f})" for s in absences.alternatives for g in s.space_groups)
        lines.append(f"{absences.best} ({absences.groups[0].probability:.2f}) is not certain: think of {others}, too.")
    return lines


def symmetry_summary(analysis: SymmetryAnalysis) -> dict[str, Any]:
    """The analysis as JSON-able numbers."""
    laue = analysis.laue
    return {
        "cb_op_inp_min": basis_text(analysis.minimum_basis),
        "cb_op_inp_best": basis_text(analysis.basis),
        "min_cell": list(analysis.minimum_cell.parameters),
        "lattice_point_group": analysis.lattice.patterson,
        "cc_unrelated_pairs": laue.cc_unrelated,
        "n_unrelated_pairs": laue.n_unrelated,
        "E_cc_true": laue.e_cc_true,
        "cc_sig_fac": laue.cc_sigma_factor,
        "cc_true": laue.cc_true,
        "d_min": analysis.limits.d_min,
        "sym_op_scores": [
            {"likelihood": e.likelihood, "z_cc": e.z, "cc": e.cc, "n_ref": e.n, "order": e.order, "axis": e.axis,
             "rotation": e.rotation.tolist()}
            for e in laue.elements
        ],
        "subgroup_scores": [
            {"patterson_group": g.setting.patterson, "likelihood": g.likelihood, "z_cc_for": g.z_with,
             "z_cc_against": g.z_without, "cc_for": g.cc_with, "cc_against": g.cc_without, "z_cc_net": g.net_z,
             "max_angular_difference": g.setting.delta, "cb_op": basis_text(analysis.minimum_basis @ g.setting.basis),
             "unit_cell": list(g.setting.unit_cell.parameters)}
            for g in laue.groups
        ],
        "confidence": laue.confidence,
        "screw_axes": [vars(a) for a in analysis.absences.axes] if analysis.absences else [],
        "space_group_scores": [vars(g) for g in analysis.absences.groups] if analysis.absences else [],
        "space_group_alternatives": [vars(g) for g in analysis.absences.alternatives] if analysis.absences else [],
        "space_group": analysis.space_group.xhm(),
    }  # fmt: skip
