"""What indexing tells the user: text for terminal and log."""

import numpy as np

from puredials.indexing.candidates import Candidate
from puredials.indexing.cycles import Cycle
from puredials.indexing.indexing import GroupResult, IndexResult, Lattice
from puredials.model import Crystal
from puredials.refinement.crystals import crystal_text
from puredials.refinement.tables import macrocycle_text
from puredials.text import text_table

__all__ = ["candidate_table", "course_text", "index_text"]

_RULE = "#" * 80


def index_text(result: IndexResult) -> str:
    """The whole account: for each group of image sets its course, then the sets without a lattice."""
    parts = []
    first = 0
    for group in result.groups:
        if len(result.groups) > 1 or result.failures:
            numbers = ", ".join(str(n) for n in group.imagesets)
            parts.append(f"{_RULE}\nIndexing imageset {numbers}\n{_RULE}\n")
        parts.append(course_text(group, first=first))
        first += len(group.lattices[-1].cycles[-1].result.experiments)
    if len(result.groups) > 1:
        shares = [row for group in result.groups for row in zip(group.imagesets, group.counts.tolist(), strict=True)]
        parts.append(f"{_RULE}\nAll imagesets\n{_RULE}\n\n{_share_text([(i, *n) for i, n in shares])}\n")
    parts += [f"Imageset {number} could not be indexed: {reason}" for number, reason in result.failures]
    return "\n".join([*parts, *result.advice])


def course_text(group: GroupResult, *, first: int = 0) -> str:
    """One group's course, ending with the refined crystals and the share of spots that are indexed.

    `first` is the id of its first experiment among those of all groups.
    """
    what = "Found" if group.max_cell_estimated else "Using"
    parts = [f"{what} max_cell: {group.max_cell:.1f} Angstrom"]
    for lattice in group.lattices:
        parts.append(_search_text(lattice))
        for number, cycle in enumerate(lattice.cycles, 1):
            parts.append(_cycle_text(group, cycle, number, first))
    if group.ended:
        parts.append(group.ended)
    if group.remark:
        parts.append(group.remark)
    return "\n".join(parts)


def _search_text(lattice: Lattice) -> str:
    n = lattice.n_points
    grid = f"FFT gridding: ({n},{n},{n})\n" if n else ""
    return (
        f"Setting d_min: {lattice.d_min:.2f}\n{grid}"
        f"Number of centroids used: {lattice.n_used}\n"
        f"Candidate solutions:\n{candidate_table(lattice.candidates)}\n"
    )


def candidate_table(candidates: tuple[Candidate, ...]) -> str:
    """Candidates, the best first. The score is in bits: how much less a spot is explained than by the best one."""
    best = candidates[0].evidence.bits
    header = ["unit_cell", "volume", "#indexed", "% indexed", "rmsd_xy", "score"]
    rows = [
        [
            " ".join([*(f"{v:.2f}" for v in c.cell[:3]), *(f"{v:.1f}" for v in c.cell[3:])]),
            f"{c.volume:.0f}",
            str(c.n_indexed),
            f"{100 * c.share_indexed:.0f}",
            "-" if c.rmsd_xy is None else f"{c.rmsd_xy:.2f}",
            f"{best - c.evidence.bits:.2f}",
        ]
        for c in candidates
    ]
    return text_table(header, rows, left=(0,))


def _cycle_text(group: GroupResult, cycle: Cycle, number: int, first: int) -> str:
    n_sets = len(group.imagesets)
    before, after = cycle.assigned.id, _expanded_ids(cycle)
    sets = cycle.result.table["imageset_id"]
    limit = f" (d_min {cycle.d_min:.2f})" if cycle.d_min > 0 else ""
    start = [  # of later cycles, what the one before ended with
        "Indexed crystal models:",
        _crystals_text(cycle.crystals_before, before, n_sets),
        _share_table(group, before, sets),
        "",
    ]
    return "\n".join(
        [
            *(start if number == 1 else []),
            f"{_RULE}\nStarting refinement (macro-cycle {number}){limit}\n{_RULE}\n",
            macrocycle_text(cycle.result.history[-1], first=first),
            "\nRefined crystal models:",
            _crystals_text(cycle.crystals, after, n_sets),
            _share_table(group, after, sets),
            "",
        ]
    )


def _expanded_ids(cycle: Cycle) -> np.ndarray:
    """Ids of the refined table as crystal by crystal, image set by image set."""
    back = np.flatnonzero(cycle.number >= 0)
    ids = cycle.result.table["id"]
    return np.where(ids >= 0, back[ids], -1)


def _crystals_text(crystals: tuple[Crystal, ...], ids: np.ndarray, n_sets: int) -> str:
    """Each crystal once for each image set that has spots of it."""
    parts = []
    for i, crystal in enumerate(crystals):
        for j in range(n_sets):
            n = int((ids == i * n_sets + j).sum())
            if n:
                parts.append(f"model {len(parts) + 1} ({n} reflections):\n{crystal_text(crystal)}")
    return "\n".join(parts)


def _share_table(group: GroupResult, ids: np.ndarray, sets: np.ndarray) -> str:
    shares = []
    for j, number in enumerate(group.imagesets):
        here = ids[sets == j]
        n = int((here >= 0).sum())
        shares.append((number, n, len(here) - n))
    return _share_text(shares)


def _share_text(shares: list[tuple[int, int, int]]) -> str:
    """A table of image sets: number, spots indexed, and not."""
    rows = [[str(i), str(n), str(rest), f"{100 * n / max(n + rest, 1):.1f}%"] for i, n, rest in shares]
    return text_table(["Imageset", "# indexed", "# unindexed", "% indexed"], rows, left=(3,))
