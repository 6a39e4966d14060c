"""Integrated reflections of a crystal whose scales, absorption and errors are known."""

from collections.abc import Callable
from dataclasses import dataclass

import gemmi
import numpy as np

from puredials.geometry import rlp_to_r
from puredials.model import (
    Beam,
    Crystal,
    Detector,
    Experiment,
    Experiments,
    Flags,
    Goniometer,
    Panel,
    ReflectionTable,
    Scan,
)
from puredials.scaling.components import absorption_terms

__all__ = ["Sweeps", "curve", "on_lattice", "sweeps"]


# Scaled intensities are counts times lp; this makes counts of the size of `level` at the mean lp.
_UNIT = 0.05


@dataclass(frozen=True)
class Sweeps:
    """Experiments and reflections; for each reflection its true intensity and true inverse scale factor."""

    experiments: Experiments
    table: ReflectionTable
    true: np.ndarray
    scale: np.ndarray


def curve(phi: np.ndarray) -> np.ndarray:
    """A smooth scale: 15 % up and down."""
    return 1 + 0.15 * np.sin(2 * phi) + 0.1 * np.cos(phi)


def sweeps(
    *,
    symbol: str = "P 4",
    n_sweeps: int = 1,
    images: int = 180,
    d_min: float = 2.2,
    level: float = 3000.0,
    background: float = 100.0,
    b: float = 0.02,
    sigma_factor: float = 1.0,
    decay: float = 2.0,
    absorption: float = 0.03,
    scale: Callable[[np.ndarray], np.ndarray] = curve,
    share: float = 0.6,
    counted: bool = False,
    tails: float | None = None,
    seed: int = 1,
) -> Sweeps:
    """Reflections at random places of `n_sweeps` sweeps of one degree an image, about half of all equivalents.

    Counts are of Poisson type with `background` under each; `b` is the relative error; stated variances are
    `sigma_factor` squared times the true ones without b; if `counted`, of the photons counted, not those expected.
    Relative errors follow Student's t with `tails` degrees of freedom, if given.
    """
    rng = np.random.default_rng(seed)
    group = gemmi.SpaceGroup(symbol)
    cell = gemmi.UnitCell(40, 40, 50, 90, 90, 90)
    unique = gemmi.make_miller_array(cell, group, d_min).astype(int)
    intensity = level * rng.exponential(size=len(unique)) * np.exp(-10 / cell.calculate_d_array(unique) ** 2)
    rotations = [np.array(op.rot) // op.DEN for op in group.operations().sym_ops]
    axis = np.array([1.0, 0.0, 0.0])
    goniometer = Goniometer(axis[None])
    B = np.array(cell.frac.mat.tolist()).T
    panel = Panel(
        np.array([1, 0, 0], float),
        np.array([0, -1, 0], float),
        np.array([-100, 100, -100], float),
        (2000, 2000),
        (0.1, 0.1),
    )
    beam, detector = Beam(np.array([0, 0, 1.0]), 1.0), Detector((panel,))
    coefficients = absorption * rng.normal(size=24) / 2
    experiments, tables, trues, scales = [], [], [], []
    for number in range(n_sweeps):
        hkl = np.concatenate([unique @ r * sign for r in rotations for sign in (1, -1)])
        true = np.tile(intensity, 2 * len(rotations))
        keep = rng.random(len(hkl)) < share
        hkl, true = hkl[keep].astype(np.int32), true[keep]
        n = len(hkl)
        scan = Scan((1, images), (0.0, 1.0))
        experiment = Experiment(
            beam, detector, goniometer, scan, Crystal(B, gemmi.SpaceGroup(symbol).hall), identifier=f"sweep-{number}"
        )
        z = rng.uniform(0, images, n)
        phi = scan.phi(z)
        d = np.asarray(cell.calculate_d_array(hkl))
        s1 = rng.normal(size=(n, 3)) * [0.4, 0.4, 0] + [0, 0, -1]
        s1 /= np.linalg.norm(s1, axis=1)[:, None]
        g = (1 + number) * scale(phi) * np.exp(-decay * (z / images - 0.5) / (2 * d**2))
        g *= 1 + absorption_terms(experiment, s1, phi, 4).astype(float) @ coefficients
        lp = rng.uniform(0.02, 0.1, n)
        expected = true * g
        counts = expected / lp * _UNIT
        variance = counts + background
        relative = rng.normal(size=n) if tails is None else rng.standard_t(tails, n)
        error = np.sqrt(variance) * rng.normal(size=n) + b * counts * relative
        stated = (np.maximum(counts + error, 0) if counted else counts) + background
        tables.append(
            ReflectionTable(
                {
                    "id": np.full(n, number, np.int32),
                    "miller_index": hkl,
                    "d": d,
                    "s1": s1,
                    "lp": lp,
                    "qe": np.ones(n),
                    "partiality": np.ones(n),
                    "flags": np.full(n, int(Flags.INTEGRATED), np.uint64),
                    "xyzobs.px.value": np.column_stack([np.full(n, 1000.0), np.full(n, 1000.0), z]),
                    "xyzcal.px": np.column_stack([np.full(n, 1000.0), np.full(n, 1000.0), z]),
                    "intensity.prf.value": counts + error,
                    "intensity.prf.variance": stated * sigma_factor**2,
                    "intensity.sum.value": counts + 1.5 * error,
                    "intensity.sum.variance": stated * (1.5 * sigma_factor) ** 2,
                }
            )
        )
        experiments.append(experiment)
        trues.append(_UNIT * true)
        scales.append(g)
    table = ReflectionTable.concatenate(tables)
    table = table.with_identifiers({i: e.identifier for i, e in enumerate(experiments)})
    return Sweeps(Experiments(tuple(experiments)), table, np.concatenate(trues), np.concatenate(scales))


def on_lattice(experiments: Experiments, table: ReflectionTable) -> ReflectionTable:
    """The table with rays to where the crystals have their lattice points, for programs that compare the two.

    The rays of `sweeps` cover the sphere of directions for the sake of absorption, whatever the indices.
    """
    s1 = table["s1"].copy()
    for number, e in enumerate(experiments):
        assert e.crystal is not None
        assert e.goniometer is not None
        assert e.scan is not None
        own = table["id"] == number
        rlp = table["miller_index"][own] @ e.crystal.A.T
        s1[own] = e.beam.s0 + rlp_to_r(rlp, e.scan.phi(table["xyzcal.px"][own, 2]), e.goniometer)
    return table.with_columns({"s1": s1})
