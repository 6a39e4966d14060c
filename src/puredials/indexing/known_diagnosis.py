"""A known cell or space group that does not fit, since the scale of reciprocal space is wrong, or it is another.

The edges of a lattice are proportional to the distance of the detector times the wavelength, nearly: so an error of
either gives a cell of the right shape and the wrong size.
"""

from dataclasses import replace

import gemmi
import numpy as np

from puredials.indexing.alternatives import with_distance, with_wavelength
from puredials.indexing.finding import Diagnosis, geometry_commands, index_command
from puredials.indexing.known_symmetry import Known
from puredials.indexing.lattices import primitive_basis, reduced_setting
from puredials.indexing.params import IndexParams
from puredials.indexing.trials import Trial, trial_lattice
from puredials.model import Experiments, ReflectionTable, cell_parameters
from puredials.symmetry.lattice import lattice_settings

__all__ = ["diagnose_known"]

# A lattice that explains less of the spots is no evidence against what is known.
CONVINCING = 0.5
# A scale nearer to 1 than this is no error of the instrument; tolerances of a cell that differs by its scale alone.
SAME_SCALE, SAME_LENGTH, SAME_ANGLE = 0.02, 0.02, 1.0
REFINEMENTS = 4
# Two-fold axes of the lattice within this angle (degrees) of where they ought to be are taken for its symmetry.
SYMMETRIC = 0.5


def diagnose_known(
    experiments: Experiments, table: ReflectionTable, known: Known, params: IndexParams, workers: int
) -> tuple[Diagnosis, ...]:
    """What the spots say of the known cell and space group if they show another lattice; else nothing."""
    if known.unit_cell is None and known.space_group is None:
        return ()
    free = Known(None, None, known.params)
    trial = trial_lattice(experiments, table, known=free, params=params, workers=workers)
    if trial is None or trial.share < CONVINCING:
        return ()
    A = reduced_setting(trial.crystal.A)
    if known.crystal(A) is not None:
        # The lattice fits once the instrument is refined: before, the scale may have been too far off.
        centring = known.centring(A)
        known = known if centring is None else replace(known, centrings=(centring,))
        return _refined_distance(experiments, table, trial, known, params, workers)
    for centring in known.centrings:
        one = replace(known, centrings=(centring,))
        if scaled := _scaled(experiments, table, trial, one, params, workers):
            return scaled
    return (_other(trial, known),)


def _refined_distance(
    experiments: Experiments, table: ReflectionTable, trial: Trial, known: Known, params: IndexParams, workers: int
) -> tuple[Diagnosis, ...]:
    """The distance, if refinement has changed it by more than instruments err."""
    old = experiments[0].detector[0].distance
    if abs(trial.model.experiments[0].detector[0].distance / old - 1) < SAME_SCALE:
        return ()
    for _ in range(REFINEMENTS):  # each starts nearer, and assigns more spots
        start = with_distance(trial.model.experiments, 1 / _scale(trial, known))
        better = trial_lattice(start, table, known=known, params=params, workers=workers)
        if better is None or better.bits <= trial.bits:
            break
        trial = better
    new = trial.model.experiments[0].detector[0].distance
    what = f"The known cell needs {new / old:.3f} times the distance"
    return (_mended("distance", old, new, trial.share, what, known),)


def _scale(trial: Trial, known: Known) -> float:
    """The size of the cell found, relative to the known one, which has one centring; 1 if none is known."""
    if known.unit_cell is None:
        return 1.0
    (wanted,) = known.primitive_cells
    volume = trial.crystal.unit_cell.volume / round(np.linalg.det(np.linalg.inv(primitive_basis(trial.crystal))))
    return float((volume / wanted.volume) ** (1 / 3))


def _scaled(
    experiments: Experiments, table: ReflectionTable, trial: Trial, known: Known, params: IndexParams, workers: int
) -> tuple[Diagnosis, ...]:
    """The distance or the wavelength with which the known cell fits, the better one first."""
    if known.unit_cell is None:
        return ()
    scale = _scale(trial, known)
    strict = {"relative_length_tolerance": SAME_LENGTH, "absolute_angle_tolerance": SAME_ANGLE}
    resized = gemmi.UnitCell(*(scale * v for v in known.unit_cell.parameters[:3]), *known.unit_cell.parameters[3:])
    wanted = replace(known, unit_cell=resized, params=known.params.model_copy(update=strict))
    if abs(scale - 1) < SAME_SCALE or wanted.crystal(reduced_setting(trial.crystal.A)) is None:
        return ()
    what = f"The cell found is {scale:.3f} times the known one"
    found = []
    for change in (with_distance, with_wavelength):
        start = change(trial.model.experiments, 1 / scale)
        mended = trial_lattice(start, table, known=known, params=params, workers=workers)
        # Refinement may have mended the distance instead, and left a cell that is as wrong as before.
        if mended is None or abs(_scale(mended, known) - 1) > SAME_SCALE:
            continue
        before, after = experiments[0], mended.model.experiments[0]
        if change is with_distance:
            said = _mended(
                "distance", before.detector[0].distance, after.detector[0].distance, mended.share, what, known
            )
        else:
            said = _mended("wavelength", before.beam.wavelength, after.beam.wavelength, mended.share, what, known)
        found.append((mended.bits, said))
    return tuple(d for _, d in sorted(found, key=lambda item: -item[0]))


def _mended(quantity: str, old: float, new: float, share: float, what: str, known: Known) -> Diagnosis:
    """That with another distance or wavelength the known cell explains a share of the spots."""
    name, unit = {
        "distance": ("geometry.detector.distance", "mm"),
        "wavelength": ("geometry.beam.wavelength", "Angstrom"),
    }[quantity]
    evidence = (
        f"{what}; with the {quantity} {abs(new):.5g} instead of {abs(old):.5g} {unit} it explains "
        f"{100 * share:.0f} % of the spots"
    )
    words = ((name, f"{abs(new):.5g}"),)
    return Diagnosis(f"the {quantity} wrong", share, evidence, geometry_commands(words, known.words), words)


def _other(trial: Trial, known: Known) -> Diagnosis:
    """The lattice that the spots show instead."""
    cell = gemmi.UnitCell(*cell_parameters(trial.crystal.A))
    best = min((s for s in lattice_settings(cell, max_delta=SYMMETRIC)), key=lambda s: (-len(s.rotations), s.delta))
    conventional = cell_parameters(trial.crystal.A @ np.linalg.inv(best.basis).T)
    text = " ".join([*(f"{v:.1f}" for v in conventional[:3]), *(f"{v:.1f}" for v in conventional[3:])])
    what = " and ".join(
        name for name, given in (("unit_cell", known.unit_cell), ("space_group", known.space_group)) if given
    )
    evidence = (
        f"No lattice fits the {what} given, but one without them explains {100 * trial.share:.0f} % of the spots, with "
        f"the cell {text} and at most the symmetry of {best.space_group}"
    )
    return Diagnosis(f"another {what}", trial.share, evidence, (index_command(),))
