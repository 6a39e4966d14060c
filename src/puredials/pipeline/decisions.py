"""The choices of an expert on the way from images to intensities: evidence in, a choice and its reason out.

Every function is pure, and every reason quotes the numbers that decided.
"""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "Decision",
    "choose_beam_search",
    "choose_joint",
    "choose_lattices",
    "choose_minimum",
    "choose_scan_varying",
    "choose_sweeps",
    "enough_indexed",
    "is_rotation",
    "may_hold_another_lattice",
]

# Below this share of indexed spots a lattice does not explain a sweep.
_POOR = 0.5
# Below this share a lattice may be an accident: what follows would not be data.
_HOPELESS = 0.2
# A sweep's own lattice must index this much more than the common one to be preferred.
_CLEARLY_BETTER = 0.2
# A further lattice is looked for among this share, and this number, of spots that have no index; it is believed if
# it explains half of them, which strays and ice do not let a lattice of chance do.
_UNEXPLAINED, _UNEXPLAINED_SPOTS, _EXPLAINS = 0.1, 100, 0.5
# The profile model's defaults; beneath its lowered minima no width can be estimated.
_SPOTS_OVERALL, _SPOTS_PER_DEGREE = 50, 20
# A crystal that varies has some 20 parameters per interval of the scan; ten spots for each are wanted.
_SPOTS_FOR_VARYING = 200
_DEGREES_FOR_VARYING = 5.0
# Angles between crystals that are told one by one; of more, their range.
_ANGLES_TOLD = 4


@dataclass(frozen=True)
class Decision:
    """A choice about `question`, and the measured reason for it."""

    question: str
    choice: str
    reason: str

    def __str__(self) -> str:
        return f"{self.question}: {self.choice}. {self.reason}"


def is_rotation(images: int, degrees: Sequence[float]) -> Decision:
    """Whether headers tell of a rotation, without which nothing can be integrated."""
    if min(degrees) <= 0.0:
        still = sum(width <= 0.0 for width in degrees)
        return Decision(
            "Rotation",
            "none recorded",
            f"The headers of {images} images tell of {still} stills, with no rotation.",
        )
    n = len(degrees)
    of = f"1 sweep of {degrees[0]:.1f}°" if n == 1 else f"{n} sweeps of {min(degrees):.1f}° or more"
    return Decision("Rotation", "as recorded", f"{images} images in {of}.")


def choose_beam_search(share: float) -> Decision:
    """Whether the geometry, the beam centre first of all, is doubted, from the share of spots indexed."""
    percent = f"{100 * share:.1f} % of the spots are indexed"
    if share < _POOR:
        return Decision("Geometry", "doubted", f"Only {percent}.")
    return Decision("Geometry", "as recorded", f"{percent}.")


def enough_indexed(share: float) -> Decision:
    """Whether the lattice explains enough of the spots to go on."""
    percent = f"{100 * share:.1f} % of the spots are indexed"
    if share < _HOPELESS:
        return Decision("Lattice", "stop", f"Only {percent}, at least {100 * _HOPELESS:.0f} % are needed.")
    return Decision("Lattice", "go on", f"{percent}.")


def choose_joint(
    joint: Sequence[float], separate: Sequence[float] | None, turned: Sequence[float | None] = ()
) -> Decision:
    """One crystal for all sweeps or one for each, from the shares indexed of each sweep either way.

    `joint` is empty if no common lattice was found; `separate` is None where that was not tried. `turned`: by how many
    degrees from the first of the crystals found apart to each of the others, None to another lattice.
    """
    how = _how_turned(turned)
    if not joint:
        if not separate:
            return Decision("Crystals", "separate", "No lattice was found, neither a common one nor one of a sweep.")
        return Decision("Crystals", "separate", f"No common lattice; apart {_percents(separate)} are indexed.{how}")
    if separate is None or min(joint) >= _POOR:
        return Decision("Crystals", "joint", f"One lattice indexes {_percents(joint)} of the sweeps' spots.")
    gain = max(b - a for a, b in zip(joint, separate, strict=True) if a < _POOR)
    against = f"together {_percents(joint)} of the sweeps' spots are indexed, apart {_percents(separate)}"
    if any(a < _HOPELESS and b == 0 for a, b in zip(joint, separate, strict=True)):
        return Decision("Crystals", "separate", f"Not every sweep shows a lattice: {against}.{how}")
    if gain > _CLEARLY_BETTER:
        return Decision("Crystals", "separate", f"The sweeps do not share one lattice: {against}.{how}")
    return Decision("Crystals", "joint", f"Lattices of their own explain no sweep clearly better: {against}.")


def choose_sweeps(names: Sequence[str], indexed: Sequence[int], spots: Sequence[int]) -> Decision:
    """Which sweeps have a lattice, from the spots of each and those of them that are indexed. The choice is "all", or
    how many have one."""
    kept = [k for k in range(len(names)) if indexed[k]]
    share = {k: indexed[k] / max(spots[k], 1) for k in kept}
    poorest = min(kept, key=lambda k: share[k])
    least = f"at least {100 * share[poorest]:.1f} % of the spots ({names[poorest]}) are indexed"
    if len(kept) == len(names):
        return Decision("Sweeps", "all", f"Of each {least}.")
    lost = ", ".join(f"{names[k]} ({spots[k]} spots)" for k in range(len(names)) if not indexed[k])
    choice = f"{len(kept)} of {len(names)}"
    return Decision("Sweeps", choice, f"Left out, as no lattice was found: {lost}; of each of the others {least}.")


def may_hold_another_lattice(share: float, unindexed: int) -> bool:
    """Whether to look for a further lattice, from the share of spots indexed and the number that are not."""
    return share < 1 - _UNEXPLAINED and unindexed >= _UNEXPLAINED_SPOTS


def choose_lattices(unindexed: int, further: Sequence[int], found: int) -> Decision:
    """How many lattices to process, from the spots without index and those that each further lattice explains.

    `found` counts all spots; `further` is empty where no second lattice was found.
    """
    what = f"{unindexed} of {found} spots ({100 * unindexed / max(found, 1):.0f} %) have no index with one lattice"
    if not further:
        return Decision("Lattices", "1", f"{what}, and no further lattice explains them.")
    explained = sum(further)
    share = 100 * explained / max(unindexed, 1)
    if explained < _EXPLAINS * unindexed:
        return Decision(
            "Lattices", "1", f"{what}; a further one would explain but {explained} ({share:.0f} %) of them."
        )
    return Decision(
        "Lattices", str(1 + len(further)), f"{what}; a further one explains {explained} ({share:.0f} %) of them."
    )


def choose_scan_varying(spots: Sequence[int], degrees: Sequence[float]) -> Decision:
    """Whether crystals may vary along the scan, from the indexed spots and the width of each sweep."""
    fewest, narrowest = min(spots), min(degrees)
    what = f"{fewest} indexed spots in the poorest sweep, {narrowest:.1f}° in the narrowest"
    if fewest < _SPOTS_FOR_VARYING or narrowest < _DEGREES_FOR_VARYING:
        need = f"{_SPOTS_FOR_VARYING} spots and {_DEGREES_FOR_VARYING:.0f}°"
        return Decision("Refinement", "static", f"{what}; a crystal that varies needs {need}.")
    return Decision("Refinement", "scan-varying", f"{what}.")


def choose_minimum(spots: Sequence[int], degrees: Sequence[float]) -> Decision:
    """Whether the profile model's minimum of spots is lowered, from the indexed spots of each sweep."""
    poorest = min(range(len(spots)), key=lambda i: spots[i] / max(degrees[i], 1e-9))
    density = spots[poorest] / max(degrees[poorest], 1e-9)
    what = f"{min(spots)} indexed spots in the poorest sweep, {density:.0f} to the degree in the thinnest"
    if min(spots) < 2 * _SPOTS_OVERALL or density < 2 * _SPOTS_PER_DEGREE:
        return Decision("Profile model", "fewer spots", f"{what}: the minimum is lowered.")
    return Decision("Profile model", "default", f"{what}.")


def _how_turned(turned: Sequence[float | None]) -> str:
    """How crystals found apart lie to the first of them, and what that may be due to."""
    angles = [angle for angle in turned if angle is not None]
    others = len(turned) - len(angles)
    if not turned:
        return ""
    if not angles:
        return " Their lattices are not the same."
    degrees = (
        ", ".join(f"{angle:.1f}" for angle in angles)
        if len(angles) <= _ANGLES_TOLD
        else f"{min(angles):.1f} to {max(angles):.1f}"
    )
    lattices = f" ({others} of another lattice)" if others else ""
    return (
        f" By the recorded goniometer angles, the crystals are turned by {degrees}° from that of the first sweep"
        f"{lattices}: these are several crystals, or the angles are off by as much."
    )


def _percents(shares: Sequence[float]) -> str:
    return ", ".join(f"{100 * share:.0f}" for share in shares) + " %"
