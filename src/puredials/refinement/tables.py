"""What refinement tells the user: text for terminal and log."""

from puredials.refinement.refining import Macrocycle, Rmsd, Summary
from puredials.text import text_table

__all__ = ["macrocycle_text", "panel_rmsd_table", "rmsd_table", "steps_table", "summary_table"]


def rmsd_table(rmsds: tuple[Rmsd, ...], *, still: bool = False, first: int = 0) -> str:
    """RMSDs by experiment in px, px, images; `first` is the id of the first experiment."""
    header = [
        "Exp\nid",
        "Nref\n",
        "RMSD_X\n(px)",
        "RMSD_Y\n(px)",
        "RMSD_DeltaPsi\n(deg)" if still else "RMSD_Z\n(images)",
    ]
    return "RMSDs by experiment:\n" + text_table(header, [_rmsd_row(r, first) for r in rmsds])


def panel_rmsd_table(rmsds: tuple[Rmsd, ...], *, still: bool = False) -> str:
    """RMSDs by panel in px, px, images."""
    header = [
        "Panel\nid",
        "Nref\n",
        "RMSD_X\n(px)",
        "RMSD_Y\n(px)",
        "RMSD_DeltaPsi\n(deg)" if still else "RMSD_Z\n(images)",
    ]
    return "Detector 1 RMSDs by panel:\n" + text_table(header, [_rmsd_row(r) for r in rmsds])


def _rmsd_row(r: Rmsd, first: int = 0) -> list[str]:
    return [str(first + r.number), str(r.n), f"{r.x:.5g}", f"{r.y:.5g}", f"{r.z:.5g}"]


def steps_table(cycle: Macrocycle) -> str:
    """RMSDs in mm, mm, degrees after each step of the minimiser."""
    angle = "RMSD_DeltaPsi\n(deg)" if cycle.all_still else "RMSD_Phi\n(deg)"
    rows = [[str(i), str(s.n), f"{s.x:.5g}", f"{s.y:.5g}", f"{s.phi:.5g}"] for i, s in enumerate(cycle.steps)]
    return "Refinement steps:\n" + text_table(["Step\n", "Nref\n", "RMSD_X\n(mm)", "RMSD_Y\n(mm)", angle], rows)


def summary_table(summary: Summary, *, still: bool = False) -> str:
    """Residuals and weights before the minimiser starts."""
    angle = ("DeltaPsi (deg)", "DeltaPsi weights") if still else ("Phic - Phio (deg)", "Phi weights")
    names = ["Xc - Xo (mm)", "Yc - Yo (mm)", angle[0], "X weights", "Y weights", angle[1]]
    rows = [[name, *(f"{v:.4g}" for v in row)] for name, row in zip(names, summary.values, strict=True)]
    title = f"Summary statistics for {summary.n} observations matched to predictions:"
    return f"{title}\n" + text_table(["", "Min", "Q1", "Med", "Q3", "Max"], rows, left=(0,))


def macrocycle_text(cycle: Macrocycle, *, first: int = 0) -> str:
    """The whole account of one macrocycle; `first` is the id of the first experiment."""
    still = cycle.all_still
    parts = ["Scan-varying refinement\n"] if cycle.scan_varying else []
    parts.append(summary_table(cycle.before, still=still) + "\n")
    if cycle.algorithm != "null":
        parts.append(
            f"Detecting centroid outliers using the {cycle.algorithm.upper() if cycle.algorithm == 'mcd' else 'Tukey'} "
            f"algorithm\n{cycle.n_outliers} reflections have been flagged as outliers\n"
            f"{cycle.after.n} reflections remain in the manager\n"
        )
        parts.append(summary_table(cycle.after, still=still) + "\n")
    what = "a single Experiment" if cycle.n_experiments == 1 else f"{cycle.n_experiments} Experiments"
    parts.append(
        f"There are {cycle.n_parameters} parameters to refine against {cycle.after.n} reflections in 3 dimensions\n"
        f"Performing refinement of {what}...\n"
    )
    parts.append(f"{steps_table(cycle)}\n{cycle.reason}\n")
    parts.append(rmsd_table(cycle.rmsds, still=still, first=first))
    if cycle.panel_rmsds:
        parts.append("\n" + panel_rmsd_table(cycle.panel_rmsds, still=still))
    return "\n".join(parts)
