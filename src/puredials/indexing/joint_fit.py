"""Whether sweeps that were indexed together share one crystal, as the recorded goniometer angles say they do."""

import itertools
from dataclasses import dataclass, replace

import numpy as np

from puredials.errors import ProcessingError
from puredials.indexing.finding import CLEARLY_BETTER, TRIAL_SPOTS, Diagnosis, index_command
from puredials.indexing.known_symmetry import Known
from puredials.indexing.lattices import OTHER_LATTICE, Assigned, Model, misorientation, refine_model
from puredials.indexing.params import IndexParams
from puredials.indexing.trials import inner, trial_lattice
from puredials.model import Crystal, Experiments, ReflectionTable
from puredials.refinement.refining import RefinementResult, Rmsd, refine_experiments
from puredials.text import text_table

__all__ = ["SweepFit", "diagnose_apart", "diagnose_joint", "joint_fits"]

# Other models for each sweep cost some fifteen parameters against three observations of each spot: by chance they
# lower RMSDs by a few percent, even with a hundred spots. A crystal that slips by less than a quarter of a pixel or an
# image is no matter, since refinement gives each sweep a crystal of its own.
CLEARLY_WORSE, MATTERS = 1.2, 0.25
# Random spots get indices by chance: (2 x 0.3)^3 = 22 % with the default tolerance.
_BELONGS = 0.3
SAME_PLACE = 1.0  # mm, of detectors that are taken for one


@dataclass(frozen=True, eq=False)
class SweepFit:
    """One image set's RMSDs with all sweeps, and by itself; and its own crystal then."""

    imageset: int
    joint: Rmsd
    alone: Rmsd
    crystal: Crystal

    @property
    def fits(self) -> bool:
        """Whether the joint RMSDs are about those of the sweep by itself."""
        together = np.array([self.joint.x, self.joint.y, self.joint.z])
        apart = np.array([self.alone.x, self.alone.y, self.alone.z])
        excess = np.sqrt(np.maximum(together**2 - apart**2, 0))
        return not bool(((together > CLEARLY_WORSE * apart) & (excess > MATTERS)).any())


def joint_fits(
    experiments: Experiments, table: ReflectionTable, rmsds: tuple[Rmsd, ...], params: IndexParams
) -> tuple[SweepFit, ...]:
    """Each sweep of a crystal refined by itself, from the joint models and with the joint indices.

    `experiments`, `table` and `rmsds` are those of the joint refinement, one experiment for each crystal and sweep.
    """
    found = []
    for number, experiment in enumerate(experiments):
        crystal = experiment.crystal
        if crystal is None or experiment.is_still or number >= len(rmsds):
            continue
        rows = table["id"] == number
        own = table.select(rows)
        if own.n_rows == 0:
            continue
        assigned = Assigned(np.zeros(own.n_rows, dtype=np.int32), own["miller_index"])
        model = Model(experiments.with_items([experiment]), (crystal,))
        try:
            free, result, _ = refine_model(model, own, assigned, params.refinement.full())
        except ProcessingError:
            continue
        if result.rmsds:
            imageset = int(own["imageset_id"][0])
            found.append(SweepFit(imageset, rmsds[number], result.rmsds[0], free.crystals[0]))
    return tuple(found)


def _own_crystals(experiments: Experiments, table: ReflectionTable, params: IndexParams) -> RefinementResult | None:
    """All sweeps refined together, each with its own crystal, and one instrument where theirs are about the same."""
    first = experiments[0]
    alike = all(
        len(e.detector) == len(first.detector)
        and np.allclose(e.detector[0].d_matrix, first.detector[0].d_matrix, atol=SAME_PLACE)
        for e in experiments
    )
    instrument = {"beam": first.beam, "detector": first.detector} if alike else {}
    items = [replace(e, crystal=e.crystal and replace(e.crystal), **instrument) for e in experiments]
    try:
        return refine_experiments(experiments.with_items(items), table, params=params.refinement.full())
    except ProcessingError:
        return None


def _turned(before: Crystal, after: Crystal) -> float:
    """The rotation, in degrees, from one setting matrix to the other."""
    u, _, v = np.linalg.svd(after.A @ np.linalg.inv(before.A))
    return float(np.degrees(np.arccos(np.clip((np.trace(u @ v) - 1) / 2, -1, 1))))


def diagnose_joint(
    experiments: Experiments, table: ReflectionTable, rmsds: tuple[Rmsd, ...], known: Known, params: IndexParams
) -> tuple[Diagnosis, ...]:
    """What does not fit, with the evidence, and what to do; nothing if one crystal fits all sweeps."""
    shares = _shares(table)
    strangers = [k for k, share in shares.items() if share < _BELONGS]
    if strangers:
        return (_not_of_the_lattice(strangers, shares, float((table["id"] >= 0).mean()), known),)
    fits = joint_fits(experiments, table, rmsds, params)
    if all(fit.fits for fit in fits):
        return ()
    own = _own_crystals(experiments, table, params)
    freed = {r.number: r for r in own.rmsds} if own else {}
    rows = [
        [name, f.imageset, f"{rmsd.x:.2f}", f"{rmsd.y:.2f}", f"{rmsd.z:.2f}"]
        for f in fits
        for name, rmsd in (
            ("one crystal for all", f.joint), ("its own crystal", freed.get(f.joint.number)), ("by itself", f.alone)
        )
        if rmsd is not None
    ]  # fmt: skip
    header = ("Fit", "Imageset", "RMSD x\n(px)", "RMSD y\n(px)", "RMSD z\n(images)")
    crystals = [e.crystal for e in own.experiments if e.crystal is not None] if own else [f.crystal for f in fits]
    apart = max((_turned(c, d) for c, d in itertools.combinations(crystals, 2)), default=0.0)
    evidence = (
        "One crystal does not fit all sweeps as well as each has its own (table below). Their own crystals are turned "
        f"by up to {apart:.2f} degrees to one another: the recorded goniometer angles are off by as much, or the "
        "crystal slipped between sweeps. dials.refine gives each sweep a crystal of its own, which will do if all are "
        "indexed alike; to index each by itself"
    )
    share = float((table["id"] >= 0).mean())
    table_of_fits = text_table(header, rows, left=(0,))
    return (Diagnosis("sweeps that do not fit together", share, evidence, _apart(known), table=table_of_fits),)


def _shares(table: ReflectionTable) -> dict[int, float]:
    """The share of the spots of each image set that are indexed."""
    return {
        int(k): float((table["id"][table["imageset_id"] == k] >= 0).mean()) for k in np.unique(table["imageset_id"])
    }


def _apart(known: Known) -> tuple[str, ...]:
    """What to type to index each sweep by itself."""
    return (index_command(*known.words, "joint_indexing=False"),)


def _not_of_the_lattice(strangers: list[int], shares: dict[int, float], share: float, known: Known) -> Diagnosis:
    """That sweeps show no sign of the lattice that was found; their models are then those of accidents."""
    one = len(strangers) == 1
    numbers, percent = (", ".join(map(str, v)) for v in (strangers, [f"{100 * shares[k]:.0f}" for k in strangers]))
    evidence = (
        f"Of the spots of image set{'' if one else 's'} {numbers} only {percent} % have indices, about as many as "
        f"chance gives: {'it holds' if one else 'they hold'} no crystal, or another one than the other sweeps, or "
        f"{'its' if one else 'their'} recorded goniometer angles are wrong. To index each sweep by itself"
    )
    return Diagnosis("sweeps that the lattice does not explain", share, evidence, _apart(known))


def diagnose_apart(
    experiments: Experiments, table: ReflectionTable, share: float, known: Known, params: IndexParams, workers: int
) -> tuple[Diagnosis, ...]:
    """That sweeps by themselves are indexed clearly better than the `share` that they are together."""
    if len(experiments) < 2:
        return ()
    crystals, shares = [], []
    for number, experiment in enumerate(experiments):
        own = table.select(table["imageset_id"] == number)
        own = own.with_columns({"imageset_id": np.zeros(own.n_rows, dtype=np.int32)})
        alone = experiments.with_items([experiment])
        trial = trial_lattice(alone, inner(alone, own, TRIAL_SPOTS), known=known, params=params, workers=workers)
        tolerance = params.indexing.index_assignment.simple.hkl_tolerance
        shares.append(trial.share_of(own, tolerance) if trial else 0.0)
        crystals += [trial.crystal] if trial else []
    counts = np.bincount(table["imageset_id"], minlength=len(experiments))
    better = float(np.average(shares, weights=counts))
    if better <= share + CLEARLY_BETTER:
        return ()
    angles = [misorientation(a, b) for a, b in itertools.combinations(crystals, 2)]
    if max(angles, default=0.0) == OTHER_LATTICE:
        how = "Their lattices are not the same"
    else:
        how = f"Their crystals are turned by up to {max(angles, default=0.0):.1f} degrees to one another"
    evidence = (
        f"Together {100 * share:.0f} % of the spots of the sweeps are indexed, by themselves "
        f"{', '.join(f'{100 * s:.0f}' for s in shares)} %. {how}: the recorded goniometer angles are wrong, or "
        "these are several crystals. To index each sweep by itself"
    )
    return (Diagnosis("sweeps that do not belong together", better, evidence, _apart(known)),)
